import type { Operation } from '../isa/index.ts'

/** Bits of the registers that an operation may change. The engines' calls leave r1 to r5 as they were. */
export function writes(op: Operation): number {
  switch (op.kind) {
    case 'alu':
    case 'endian':
    case 'addrSpaceCast':
    case 'loadImm64':
    case 'load':
    case 'loadAcquire':
      return 1 << op.dst
    case 'atomic':
      if (!op.fetch) return 0
      return op.op === 'cmpxchg' ? 1 : 1 << op.src
    case 'loadAbs':
    case 'loadInd':
    case 'call':
      return 1
    case 'store':
    case 'storeRelease':
    case 'jump':
    case 'branch':
    case 'mayGoto':
    case 'gotox':
    case 'exit':
  }
  return 0
}
