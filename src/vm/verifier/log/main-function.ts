import type { Btf } from '../../../btf/index.ts'
import { BtfKind } from '../../../btf/index.ts'
import { isContextParameter } from '../program/signature.ts'
import type { ProgramFacts } from '../walk.ts'
import type { Trace } from './trace.ts'

/** Kinds in the words of the kernel's log. */
const KIND_NAMES: Readonly<Record<number, string>> = {
  0: 'UNKNOWN',
  [BtfKind.FWD]: 'FWD',
  [BtfKind.FUNC_PROTO]: 'FUNC_PROTO',
  [BtfKind.STRUCT]: 'STRUCT',
  [BtfKind.UNION]: 'UNION',
}

function isNumber(btf: Btf, id: number): boolean {
  const kind = btf.kind(btf.skipModifiersAndTypedefs(id))
  return kind === BtfKind.INT || kind === BtfKind.ENUM || kind === BtfKind.ENUM64
}

/**
 * The kernel reads main's BTF as that of a global function. What does not fit is only said: main gets the context
 * whatever its BTF says.
 */
export function logMainFunction(trace: Trace, facts: ProgramFacts): void {
  const { btf } = facts
  const main = facts.subprograms[0]
  if (btf === null || main === undefined || main.btfId === 0 || !trace.hasLines) return
  const func = btf.type(main.btfId)
  const proto = func.kind === BtfKind.FUNC ? btf.type(func.type) : null
  if (func.kind !== BtfKind.FUNC || func.linkage !== 1 || proto?.kind !== BtfKind.FUNC_PROTO) return
  if (!isNumber(btf, proto.returnType)) {
    trace.log.write(`Global function ${func.name}() doesn't return scalar. Only those are supported.\n`)
    return
  }
  for (let i = 0; i < proto.params.length; i++) {
    const id = btf.skipModifiersAndTypedefs((proto.params[i] as { type: number }).type)
    const type = btf.type(id)
    if (type.kind !== BtfKind.PTR) {
      if (isNumber(btf, id)) continue
      trace.log.write(`Arg#${i} type ${KIND_NAMES[type.kind] ?? ''} in ${func.name}() is not supported yet.\n`)
      return
    }
    if (isContextParameter(facts, main.btfId, i, type.type)) continue
    const target = btf.type(btf.skipModifiersAndTypedefs(type.type))
    const unsized = KIND_NAMES[target.kind]
    if (unsized === undefined || target.kind === BtfKind.STRUCT || target.kind === BtfKind.UNION) continue
    const name = `${unsized} ${target.kind === 0 ? '' : target.name}`
    trace.log.write(`arg#${i} reference type('${name}') size cannot be determined: -22\n`)
    return
  }
}
