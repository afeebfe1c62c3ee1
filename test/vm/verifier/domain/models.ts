// Small worlds in which everything can be tried: windows of a few neighbouring numbers where signs and halves change.
import { Bounds, type Scalar } from '../../../../src/vm/verifier/domain/bounds.ts'
import { highOf, lowOf } from '../../../../src/vm/verifier/domain/int64.ts'
import { tnumIntersect } from '../../../../src/vm/verifier/domain/tnum.ts'

/** A number as its halves, for fast comparisons. */
export interface Point {
  readonly x: bigint
  readonly h: number
  readonly l: number
}

/** What may be known of a scalar, and all numbers of its window for which it is true. */
export interface Element {
  readonly s: Scalar
  readonly members: readonly Point[]
}

export function point(x: bigint): Point {
  return { x: BigInt.asUintN(64, x), h: highOf(x), l: lowOf(x) }
}

/** Middles of the windows: around 0, 2^31, 2^32, 2^32 + 2^31, 2^63, and the same below zero. */
export const CENTRES: readonly bigint[] = [
  0n,
  1n << 31n,
  1n << 32n,
  (1n << 32n) + (1n << 31n),
  1n << 63n,
  -(1n << 31n),
  -(1n << 32n),
]

/** The 2^bits numbers around `centre`. */
export function window(centre: bigint, bits: number): readonly Point[] {
  const size = 1 << bits
  return Array.from({ length: size }, (_, i) => point(centre + BigInt(i - size / 2)))
}

/** Whether all that is known is true of the number. Without BigInt: it is asked millions of times. */
export function has(s: Scalar, { h, l }: Point): boolean {
  if ((h & ~s.mh) !== s.vh || (l & ~s.ml) !== s.vl) return false
  const u = h >>> 0
  const ul = l >>> 0
  if (u < s.uminH >>> 0 || (h === s.uminH && ul < s.uminL >>> 0)) return false
  if (u > s.umaxH >>> 0 || (h === s.umaxH && ul > s.umaxL >>> 0)) return false
  if (h < s.sminH || (h === s.sminH && ul < s.sminL >>> 0)) return false
  if (h > s.smaxH || (h === s.smaxH && ul > s.smaxL >>> 0)) return false
  return ul >= s.u32min >>> 0 && ul <= s.u32max >>> 0 && l >= s.s32min && l <= s.s32max
}

/** Bounds of all kinds that hold for both numbers; what is between them is true as far as it is one piece. */
const RANGES: readonly ((a: Point, b: Point) => Bounds)[] = [
  (a, b) => {
    const to = new Bounds()
    to.raiseUmin(a.h, a.l)
    to.lowerUmax(b.h, b.l)
    return to
  },
  (a, b) => {
    const to = new Bounds()
    to.raiseSmin(a.h, a.l)
    to.lowerSmax(b.h, b.l)
    return to
  },
  (a, b) => {
    const to = new Bounds()
    to.raiseU32(a.l)
    to.lowerU32(b.l)
    return to
  },
  (a, b) => {
    const to = new Bounds()
    to.raiseS32(a.l)
    to.lowerS32(b.l)
    return to
  },
]

/** All tnums with unknown bits among the low ones, and the number's other bits. */
function tnums(points: readonly Point[], bits: number): Bounds[] {
  const found: Bounds[] = []
  for (const p of [points[0] as Point, points[points.length - 1] as Point]) {
    for (let mask = 0; mask < 1 << bits; mask++) {
      for (let value = 0; value < 1 << bits; value++) {
        if ((value & mask) !== 0) continue
        const to = new Bounds()
        to.vh = p.h
        to.vl = (p.l & (-1 << bits)) | value
        to.mh = 0
        to.ml = mask
        found.push(to)
      }
    }
  }
  return found
}

/** Everything that one range of one kind, or known low bits, can say of a window's numbers, before sync(). */
export function unsynced(points: readonly Point[], bits: number): Bounds[] {
  const found = tnums(points, bits)
  for (const range of RANGES) {
    for (let i = 0; i < points.length; i++) {
      for (let j = i; j < points.length; j++) {
        const bounds = range(points[i] as Point, points[j] as Point)
        if (bounds.consistent()) found.push(bounds)
      }
    }
  }
  return found
}

/** What two say together, before sync(). */
export function both(a: Scalar, b: Scalar): Bounds {
  const to = Bounds.copy(a)
  to.raiseUmin(b.uminH, b.uminL)
  to.lowerUmax(b.umaxH, b.umaxL)
  to.raiseSmin(b.sminH, b.sminL)
  to.lowerSmax(b.smaxH, b.smaxL)
  to.raiseU32(b.u32min)
  to.lowerU32(b.u32max)
  to.raiseS32(b.s32min)
  to.lowerS32(b.s32max)
  tnumIntersect(to, to, b)
  return to
}

function elementOf(s: Scalar, points: readonly Point[]): Element {
  return { s, members: points.filter((p) => has(s, p)) }
}

/** Everything different that can be known of a window: each range and tnum, and each `mixed`th pair of them. */
export function elements(centre: bigint, bits: number, mixed: number): Element[] {
  const points = window(centre, bits)
  const single = unsynced(points, bits)
  const found = new Map<string, Element>()
  const add = (bounds: Bounds): void => {
    const element = elementOf(bounds.sync(), points)
    if (element.members.length > 0) found.set(JSON.stringify(bounds), element)
  }
  for (let n = 0; n < single.length ** 2; n += mixed) {
    const [a, b] = [single[Math.floor(n / single.length)] as Bounds, single[n % single.length] as Bounds]
    if (points.some((p) => has(a, p) && has(b, p))) add(both(a, b))
  }
  for (const bounds of single) add(bounds)
  return [...found.values()]
}

/** Calls back with every `step`th pair, so that a prime step meets all combinations of kinds. */
export function pairs<T>(of: readonly T[], step: number, visit: (a: T, b: T) => void): void {
  const total = of.length ** 2
  for (let n = 0; n < total; n += step) visit(of[Math.floor(n / of.length)] as T, of[n % of.length] as T)
}

/** For messages of failures. */
export function show(s: Scalar): string {
  return JSON.stringify(s)
}
