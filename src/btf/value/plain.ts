import type { Btf } from '../btf.ts'
import { BtfKind } from '../types.ts'
import { resolveType } from './types.ts'

/**
 * Largest number, of at most 32 bits, that a type takes as a plain little-endian integer, lowest byte first; -1 for all
 * other types.
 */
export function plainIntegerMax(btf: Btf, typeId: number): number {
  const { id, bigEndian } = resolveType(btf, typeId)
  const type = btf.type(id)
  if (type.kind !== BtfKind.INT || bigEndian || !btf.littleEndian || type.bool) return -1
  if (type.bitOffset !== 0 || type.bits !== type.size * 8) return -1
  return Math.min(2 ** (type.bits - (type.signed ? 1 : 0)), 2 ** 32) - 1
}
