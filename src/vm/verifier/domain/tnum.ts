import { addHigh, bitLength, lessU, sarHigh, sarLow, shlHigh, shlLow, shrHigh, shrLow, subHigh } from './int64.ts'

/**
 * A number of which some bits are known: a bit set in the mask is unknown, otherwise the value has it. Halves are
 * int32: `vh`, `vl` the value, `mh`, `ml` the mask. Operations write to their first argument, which may be an operand.
 * Algorithms: "Sound, Precise, and Fast Abstract Interpretation with Tristate Numbers" (CGO 2022) and Linux 6.18.
 */
export interface Tnum {
  vh: number
  vl: number
  mh: number
  ml: number
}

export function tnumSet(to: Tnum, vh: number, vl: number, mh: number, ml: number): void {
  to.vh = vh & ~mh
  to.vl = vl & ~ml
  to.mh = mh
  to.ml = ml
}

export function tnumIsConst(t: Tnum): boolean {
  return t.mh === 0 && t.ml === 0
}

export function tnumAdd(to: Tnum, a: Tnum, b: Tnum): void {
  const smL = (a.ml + b.ml) | 0
  const smH = addHigh(a.mh, a.ml, b.mh, b.ml)
  const svL = (a.vl + b.vl) | 0
  const svH = addHigh(a.vh, a.vl, b.vh, b.vl)
  const muL = (((smL + svL) | 0) ^ svL) | a.ml | b.ml
  const muH = (addHigh(smH, smL, svH, svL) ^ svH) | a.mh | b.mh
  tnumSet(to, svH, svL, muH, muL)
}

export function tnumSub(to: Tnum, a: Tnum, b: Tnum): void {
  const dvL = (a.vl - b.vl) | 0
  const dvH = subHigh(a.vh, a.vl, b.vh, b.vl)
  const alphaL = (dvL + a.ml) | 0
  const alphaH = addHigh(dvH, dvL, a.mh, a.ml)
  const betaL = (dvL - b.ml) | 0
  const betaH = subHigh(dvH, dvL, b.mh, b.ml)
  tnumSet(to, dvH, dvL, (alphaH ^ betaH) | a.mh | b.mh, (alphaL ^ betaL) | a.ml | b.ml)
}

export function tnumAnd(to: Tnum, a: Tnum, b: Tnum): void {
  const vh = a.vh & b.vh
  const vl = a.vl & b.vl
  const mh = (a.vh | a.mh) & (b.vh | b.mh) & ~vh
  const ml = (a.vl | a.ml) & (b.vl | b.ml) & ~vl
  tnumSet(to, vh, vl, mh, ml)
}

export function tnumOr(to: Tnum, a: Tnum, b: Tnum): void {
  const vh = a.vh | b.vh
  const vl = a.vl | b.vl
  tnumSet(to, vh, vl, (a.mh | b.mh) & ~vh, (a.ml | b.ml) & ~vl)
}

export function tnumXor(to: Tnum, a: Tnum, b: Tnum): void {
  tnumSet(to, a.vh ^ b.vh, a.vl ^ b.vl, a.mh | b.mh, a.ml | b.ml)
}

/** Numbers that either describes. */
export function tnumUnion(to: Tnum, a: Tnum, b: Tnum): void {
  tnumSet(to, a.vh & b.vh, a.vl & b.vl, (a.vh ^ b.vh) | a.mh | b.mh, (a.vl ^ b.vl) | a.ml | b.ml)
}

/** Numbers that both describe; where they contradict each other, the bit counts as 1. */
export function tnumIntersect(to: Tnum, a: Tnum, b: Tnum): void {
  tnumSet(to, a.vh | b.vh, a.vl | b.vl, a.mh & b.mh, a.ml & b.ml)
}

/** Whether some number is described by both. */
export function tnumOverlap(a: Tnum, b: Tnum): boolean {
  const h = ~a.mh & ~b.mh
  const l = ~a.ml & ~b.ml
  return (a.vh & h) === (b.vh & h) && (a.vl & l) === (b.vl & l)
}

/** Whether every number of `b` is one of `a`. */
export function tnumIn(a: Tnum, b: Tnum): boolean {
  if ((b.mh & ~a.mh) !== 0 || (b.ml & ~a.ml) !== 0) return false
  return a.vh === (b.vh & ~a.mh) && a.vl === (b.vl & ~a.ml)
}

export function tnumShl(to: Tnum, a: Tnum, n: number): void {
  const { vl, ml } = a
  to.vh = shlHigh(a.vh, vl, n)
  to.mh = shlHigh(a.mh, ml, n)
  to.vl = shlLow(vl, n)
  to.ml = shlLow(ml, n)
}

export function tnumShr(to: Tnum, a: Tnum, n: number): void {
  const { vh, mh } = a
  to.vl = shrLow(vh, a.vl, n)
  to.ml = shrLow(mh, a.ml, n)
  to.vh = shrHigh(vh, n)
  to.mh = shrHigh(mh, n)
}

/** Arithmetic shift right; with `bits` 32 only the low half counts and the high half becomes 0. */
export function tnumSar(to: Tnum, a: Tnum, n: number, bits: 32 | 64): void {
  if (bits === 32) {
    to.vl = a.vl >> n
    to.ml = a.ml >> n
    to.vh = to.mh = 0
    return
  }
  const { vh, mh } = a
  to.vl = sarLow(vh, a.vl, n)
  to.ml = sarLow(mh, a.ml, n)
  to.vh = sarHigh(vh, n)
  to.mh = sarHigh(mh, n)
}

/** Product: adds `b` for each set bit of `a`; for an unknown bit, joins the sums with and without it. */
export function tnumMul(to: Tnum, a: Tnum, b: Tnum): void {
  const acc: Tnum = { vh: 0, vl: 0, mh: 0, ml: 0 }
  const sum: Tnum = { vh: 0, vl: 0, mh: 0, ml: 0 }
  const left: Tnum = { vh: a.vh, vl: a.vl, mh: a.mh, ml: a.ml }
  const right: Tnum = { vh: b.vh, vl: b.vl, mh: b.mh, ml: b.ml }
  while ((left.vh | left.vl | left.mh | left.ml) !== 0) {
    if ((left.vl & 1) !== 0) tnumAdd(acc, acc, right)
    else if ((left.ml & 1) !== 0) {
      tnumAdd(sum, acc, right)
      tnumUnion(acc, acc, sum)
    }
    tnumShr(left, left, 1)
    tnumShl(right, right, 1)
  }
  tnumSet(to, acc.vh, acc.vl, acc.mh, acc.ml)
}

/** The narrowest tnum that has all numbers from min to max (unsigned). */
export function tnumRange(to: Tnum, minH: number, minL: number, maxH: number, maxL: number): void {
  const bits = bitLength(minH ^ maxH, minL ^ maxL)
  if (bits === 64) return tnumSet(to, 0, 0, -1, -1)
  const maskH = bits > 32 ? (1 << (bits - 32)) - 1 : 0
  const maskL = bits >= 32 ? -1 : (1 << bits) - 1
  tnumSet(to, minH & ~maskH, minL & ~maskL, maskH, maskL)
}

/** Whether the low bits are known to be zero, so that the number is a multiple of `size` (a power of two up to 2^31). */
export function tnumAligned(t: Tnum, size: number): boolean {
  return size === 0 || ((t.vl | t.ml) & (size - 1)) === 0
}

/**
 * The smallest member of a tnum above a number, as the value of `to`: the tnum's smallest one for numbers below it, its
 * largest one for all from there on.
 */
export function tnumNext(to: Tnum, t: Tnum, high: number, low: number): void {
  const { vh, vl, mh, ml } = t
  const maxH = vh | mh
  const maxL = vl | ml
  if (!lessU(high, low, maxH, maxL)) return tnumSet(to, maxH, maxL, 0, 0)
  if (lessU(high, low, vh, vl)) return tnumSet(to, vh, vl, 0, 0)
  // Counts up within the mask: all bits outside of it, and all below the highest one that the distance has there, are
  // set, so that adding one carries through them.
  const dl = (low - vl) | 0
  const dh = subHigh(high, low, vh, vl)
  const bits = bitLength(dh & ~mh, dl & ~ml)
  const carryH = bits <= 32 ? 0 : -1 >>> (64 - bits)
  const carryL = bits === 0 ? 0 : bits >= 32 ? -1 : -1 >>> (32 - bits)
  const fullH = dh | carryH | ~mh
  const fullL = dl | carryL | ~ml
  const sumL = (fullL + 1) | 0
  const sumH = sumL === 0 ? (fullH + 1) | 0 : fullH
  tnumSet(to, vh | (sumH & mh), vl | (sumL & ml), 0, 0)
}
