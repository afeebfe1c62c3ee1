import { BtfKind, type Btf } from '../../../btf/index.ts'
import { HelperId } from '../../../uapi/index.ts'
import { invalid } from '../reject.ts'
import type { Operations, Subprogram } from './layout.ts'
import { prototypeOf } from './signature.ts'

/**
 * A failed legacy load and a successful tail call leave a function at once, with a number, so that the function must be
 * one that returns a number.
 */
export function checkAbnormalReturns(subs: readonly Subprogram[], ops: Operations, btf: Btf | null): void {
  for (const sub of subs) {
    if (sub.index === 0) continue
    const what = leaves(sub, ops)
    if (what === null) continue
    const proto = prototypeOf(btf, sub)
    if (btf === null || proto === null) return invalid(`${what} is not allowed in subprogs without BTF`)
    const kind = btf.kind(btf.skipModifiersAndTypedefs(proto.returnType))
    if (kind !== BtfKind.INT && kind !== BtfKind.ENUM && kind !== BtfKind.ENUM64) {
      invalid(`${what} is only allowed in functions that return 'int'.`)
    }
  }
}

function leaves(sub: Subprogram, ops: Operations): 'LD_ABS' | 'tail_call' | null {
  let found: 'tail_call' | null = null
  for (let i = sub.start; i < sub.end; i++) {
    const op = ops[i]
    if (op?.kind === 'loadAbs' || op?.kind === 'loadInd') return 'LD_ABS'
    if (op?.kind === 'call' && op.call === 'helper' && op.imm === HelperId.tail_call) found = 'tail_call'
  }
  return found
}
