import type { Operation } from '../../isa/index.ts'
import { FRAME_SIZE, GUARD_SIZE } from '../engine.ts'
import type { BlockValues } from './values.ts'

/** A read or write of memory by an instruction. */
export interface Access {
  readonly verb: 'read' | 'write'
  readonly size: number
  readonly register: number
  readonly off: number
}

/** The access of an instruction, null when it has none (or several, as calls). */
export function accessOf(op: Operation): Access | null {
  if (op.kind === 'load' || op.kind === 'loadAcquire') {
    return { verb: 'read', size: op.size, register: op.src, off: op.off }
  }
  if (op.kind === 'store' || op.kind === 'storeRelease' || op.kind === 'atomic') {
    return { verb: 'write', size: op.size, register: op.dst, off: op.off }
  }
  return null
}

/** Where an access goes, as far as it is known when the program is compiled. */
export type Place =
  /** In the function's own frame, this far above its bottom. */
  | { readonly kind: 'frame'; readonly offset: number }
  /** At this address, which is memory. */
  | { readonly kind: 'constant'; readonly address: number }
  /** Anywhere. */
  | null

/** Accesses whose place is known need no check. `memorySize`: bytes of memory, which never gets smaller. */
export function placeOf(
  values: BlockValues,
  { register, off, size }: Pick<Access, 'register' | 'off' | 'size'>,
  memorySize: number,
): Place {
  const value = values.get(register)
  if (value?.kind === 'frame') {
    const offset = FRAME_SIZE + value.offset + off
    return offset >= 0 && offset + size <= FRAME_SIZE ? { kind: 'frame', offset } : null
  }
  if (value?.kind !== 'constant' || value.high !== 0) return null
  const address = (value.low >>> 0) + off
  return address >= GUARD_SIZE && address + size <= memorySize ? { kind: 'constant', address } : null
}
