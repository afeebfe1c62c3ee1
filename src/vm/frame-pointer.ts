import type { Operation } from '../isa/index.ts'
import { Trap } from './trap.ts'

const FRAME_POINTER = 10

/** Kinds of operations whose `dst` is written. */
const WRITE_DST: ReadonlySet<Operation['kind']> = new Set<Operation['kind']>([
  'alu',
  'endian',
  'addrSpaceCast',
  'loadImm64',
  'load',
  'loadAcquire',
])

/** Whether an operation writes r10, which is read-only: where control gets there, it traps. */
export function writesFramePointer(op: Operation): boolean {
  if (op.kind === 'atomic') return op.fetch && op.op !== 'cmpxchg' && op.src === FRAME_POINTER
  return 'dst' in op && op.dst === FRAME_POINTER && WRITE_DST.has(op.kind)
}

export function framePointerTrap(): Trap {
  return new Trap('instruction', 'the instruction writes r10, which is read-only')
}
