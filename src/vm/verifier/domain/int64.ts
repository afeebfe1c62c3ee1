/**
 * 64-bit integers as two int32 halves. The verifier computes with millions of them; pairs of small integers stay in
 * machine registers, BigInts would be allocated (the measured comparison is in docs/verifier.md).
 */

/** High half of the sum of two pairs; the low half is `(al + bl) | 0`. */
export function addHigh(ah: number, al: number, bh: number, bl: number): number {
  return (ah + bh + (((al + bl) | 0) >>> 0 < al >>> 0 ? 1 : 0)) | 0
}

/** High half of the difference of two pairs; the low half is `(al - bl) | 0`. */
export function subHigh(ah: number, al: number, bh: number, bl: number): number {
  return (ah - bh - (al >>> 0 < bl >>> 0 ? 1 : 0)) | 0
}

/** a < b, unsigned. */
export function lessU(ah: number, al: number, bh: number, bl: number): boolean {
  return ah === bh ? al >>> 0 < bl >>> 0 : ah >>> 0 < bh >>> 0
}

/** a < b, signed. */
export function lessS(ah: number, al: number, bh: number, bl: number): boolean {
  return ah === bh ? al >>> 0 < bl >>> 0 : ah < bh
}

/** The pair as an unsigned number; exact up to 2^53, monotone above. */
export function numberU(high: number, low: number): number {
  return (high >>> 0) * 4294967296 + (low >>> 0)
}

/** The pair as a signed number; exact up to 2^53, monotone above. */
export function numberS(high: number, low: number): number {
  return high * 4294967296 + (low >>> 0)
}

export function bigU(high: number, low: number): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)
}

export function bigS(high: number, low: number): bigint {
  return (BigInt(high) << 32n) | BigInt(low >>> 0)
}

export function highOf(value: bigint): number {
  return Number(BigInt.asIntN(32, value >> 32n))
}

export function lowOf(value: bigint): number {
  return Number(BigInt.asIntN(32, value))
}

/** High half of a left shift by 0 to 63 bits. */
export function shlHigh(high: number, low: number, n: number): number {
  if (n === 0) return high
  return n >= 32 ? low << (n - 32) : (high << n) | (low >>> (32 - n))
}

export function shlLow(low: number, n: number): number {
  return n >= 32 ? 0 : low << n
}

export function shrHigh(high: number, n: number): number {
  return n >= 32 ? 0 : (high >>> n) | 0
}

/** Low half of a right shift by 0 to 63 bits; `fill` is the high half shifted in by the arithmetic or logical form. */
export function shrLow(high: number, low: number, n: number): number {
  if (n === 0) return low
  return n >= 32 ? (high >>> (n - 32)) | 0 : (low >>> n) | (high << (32 - n))
}

export function sarHigh(high: number, n: number): number {
  return n >= 32 ? high >> 31 : high >> n
}

export function sarLow(high: number, low: number, n: number): number {
  if (n === 0) return low
  return n >= 32 ? high >> (n - 32) : (low >>> n) | (high << (32 - n))
}

/** Number of significant bits, 0 to 64. */
export function bitLength(high: number, low: number): number {
  return high !== 0 ? 64 - Math.clz32(high) : 32 - Math.clz32(low)
}
