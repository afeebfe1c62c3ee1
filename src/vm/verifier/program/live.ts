import type { Operation } from '../../../isa/index.ts'
import { unreachable } from '../../../isa/operation.ts'
import { successors, type CallMarks } from './flow.ts'
import type { Operations } from './layout.ts'

const CALLER_SAVED = 0b111111

interface UseDef {
  use: number
  def: number
}

/** Registers that each instruction reads and writes, as bit sets. */
function useDef(op: Operation, params: number): UseDef {
  switch (op.kind) {
    case 'alu': {
      const src = op.src === null ? 0 : 1 << op.src
      const dst = 1 << op.dst
      return op.op === 'mov' || op.op.startsWith('movsx') ? { use: src, def: dst } : { use: src | dst, def: dst }
    }
    case 'endian':
      return { use: 1 << op.dst, def: 1 << op.dst }
    case 'addrSpaceCast':
      return { use: 1 << op.src, def: 1 << op.dst }
    case 'loadImm64':
      return { use: 0, def: 1 << op.dst }
    case 'load':
    case 'loadAcquire':
      return { use: 1 << op.src, def: 1 << op.dst }
    case 'store':
      return { use: (1 << op.dst) | (op.src === null ? 0 : 1 << op.src), def: 0 }
    case 'storeRelease':
      return { use: (1 << op.dst) | (1 << op.src), def: 0 }
    case 'loadAbs':
    case 'loadInd':
      return { use: 0xffff, def: 0 }
    case 'atomic': {
      const use = (1 << op.dst) | (1 << op.src)
      if (op.op === 'cmpxchg') return { use: use | 1, def: 1 }
      return { use, def: op.fetch ? 1 << op.src : 0 }
    }
    case 'branch':
      return { use: (1 << op.dst) | (op.src === null ? 0 : 1 << op.src), def: 0 }
    case 'call':
      return { use: ((1 << params) - 1) << 1, def: CALLER_SAVED }
    case 'exit':
      return { use: 1, def: 0 }
    case 'jump':
    case 'mayGoto':
      return { use: 0, def: 0 }
    case 'gotox':
      return { use: 1 << op.dst, def: 0 }
    default:
      return unreachable(op)
  }
}

/**
 * Registers whose value may still be read, before each slot, as a bit set.
 * @param params number of registers that a call at a slot reads
 */
export function liveRegisters(ops: Operations, calls: CallMarks, params: (at: number) => number): Uint16Array {
  const n = ops.length
  const live = new Uint16Array(n)
  const facts = ops.map((op, at) =>
    op === null ? { use: 0, def: 0 } : useDef(op, op.kind === 'call' ? params(at) : 0),
  )
  const next = ops.map((op, at) => (op === null ? [] : successors(ops, at, calls)))
  for (let changed = true; changed;) {
    changed = false
    for (let i = n - 1; i >= 0; i--) {
      if (ops[i] === null) continue
      let out = 0
      for (const to of next[i] as readonly number[]) out |= live[to] ?? 0
      const { use, def } = facts[i] as UseDef
      const now = use | (out & ~def)
      if (now === live[i]) continue
      live[i] = now
      changed = true
    }
  }
  return live
}
