/**
 * 64-bit multiplication and division on two 32-bit halves. Functions return the low half and leave the high half in
 * `high.value`, so that nothing is allocated.
 */
export const high: { value: number } = { value: 0 }

const TWO32 = 4294967296

/** High half of the unsigned product of two 32-bit numbers. */
export function multiplyHigh(a: number, b: number): number {
  const a0 = a & 0xffff
  const a1 = a >>> 16
  const b0 = b & 0xffff
  const b1 = b >>> 16
  const low = a0 * b0
  const cross = a1 * b0 + (low >>> 16)
  const middle = a0 * b1 + (cross & 0xffff)
  return (a1 * b1 + Math.floor(cross / 65536) + Math.floor(middle / 65536)) | 0
}

export function multiply(aLow: number, aHigh: number, bLow: number, bHigh: number): number {
  high.value = (multiplyHigh(aLow, bLow) + Math.imul(aLow, bHigh) + Math.imul(aHigh, bLow)) | 0
  return Math.imul(aLow, bLow)
}

function toBig(low: number, highHalf: number): bigint {
  return (BigInt(highHalf) << 32n) | BigInt(low >>> 0)
}

function fromBig(value: bigint): number {
  high.value = Number(BigInt.asIntN(32, value >> 32n))
  return Number(BigInt.asIntN(32, value))
}

/** Quotient; division by zero gives 0 (RFC 9669, section 4.1). */
export function divide(aLow: number, aHigh: number, bLow: number, bHigh: number): number {
  if ((bLow | bHigh) === 0) {
    high.value = 0
    return 0
  }
  // Below 2^53 the quotient of doubles, rounded down, is exact.
  if (aHigh >>> 21 === 0 && bHigh >>> 21 === 0) {
    const a = aHigh * TWO32 + (aLow >>> 0)
    const b = bHigh * TWO32 + (bLow >>> 0)
    const quotient = Math.floor(a / b)
    high.value = (quotient / TWO32) | 0
    return quotient | 0
  }
  return fromBig(BigInt.asUintN(64, toBig(aLow, aHigh)) / BigInt.asUintN(64, toBig(bLow, bHigh)))
}

/** Remainder; modulo zero leaves the dividend. */
export function modulo(aLow: number, aHigh: number, bLow: number, bHigh: number): number {
  if ((bLow | bHigh) === 0) {
    high.value = aHigh
    return aLow
  }
  if (aHigh >>> 21 === 0 && bHigh >>> 21 === 0) {
    const rest = (aHigh * TWO32 + (aLow >>> 0)) % (bHigh * TWO32 + (bLow >>> 0))
    high.value = (rest / TWO32) | 0
    return rest | 0
  }
  return fromBig(BigInt.asUintN(64, toBig(aLow, aHigh)) % BigInt.asUintN(64, toBig(bLow, bHigh)))
}

/** Signed quotient, rounded towards zero; the smallest number divided by -1 is itself. */
export function divideSigned(aLow: number, aHigh: number, bLow: number, bHigh: number): number {
  if ((bLow | bHigh) === 0) {
    high.value = 0
    return 0
  }
  return fromBig(toBig(aLow, aHigh) / toBig(bLow, bHigh))
}

export function moduloSigned(aLow: number, aHigh: number, bLow: number, bHigh: number): number {
  if ((bLow | bHigh) === 0) {
    high.value = aHigh
    return aLow
  }
  return fromBig(toBig(aLow, aHigh) % toBig(bLow, bHigh))
}
