import { Bounds, type Scalar } from '../../../../src/vm/verifier/domain/bounds.ts'
import { bigS, bigU, highOf, lowOf } from '../../../../src/vm/verifier/domain/int64.ts'
import { refine } from '../../../../src/vm/verifier/domain/compare.ts'

/** A small deterministic generator (mulberry32), so that failures can be repeated. */
export function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

const EDGES = [
  0n,
  1n,
  2n,
  7n,
  8n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0x8000n,
  0xffffn,
  1n << 31n,
  (1n << 31n) - 1n,
  1n << 32n,
  1n << 63n,
]

/** A 64-bit number, often close to where signs and halves change. */
export function number(next: () => number): bigint {
  const kind = next()
  const edge = EDGES[Math.floor(next() * EDGES.length)] as bigint
  const near = edge + BigInt(Math.floor(next() * 9) - 4)
  if (kind < 0.4) return BigInt.asUintN(64, near)
  if (kind < 0.7) return BigInt.asUintN(64, -near)
  if (kind < 0.85) return BigInt(Math.floor(next() * 64))
  return (BigInt(Math.floor(next() * 4294967296)) << 32n) | BigInt(Math.floor(next() * 4294967296))
}

export function contains(s: Scalar, x: bigint): boolean {
  const u = BigInt.asUintN(64, x)
  const i = BigInt.asIntN(64, x)
  const u32 = BigInt.asUintN(32, x)
  const i32 = BigInt.asIntN(32, x)
  const value = bigU(s.vh, s.vl)
  const mask = bigU(s.mh, s.ml)
  return (
    (u & ~mask) === value &&
    u >= bigU(s.uminH, s.uminL) &&
    u <= bigU(s.umaxH, s.umaxL) &&
    i >= bigS(s.sminH, s.sminL) &&
    i <= bigS(s.smaxH, s.smaxL) &&
    u32 >= BigInt(s.u32min >>> 0) &&
    u32 <= BigInt(s.u32max >>> 0) &&
    i32 >= BigInt(s.s32min) &&
    i32 <= BigInt(s.s32max)
  )
}

/** A number and something true that is known of it: from nothing to all, learnt by comparisons and known bits. */
export function known(next: () => number): { x: bigint; s: Scalar } {
  const x = number(next)
  const s = new Bounds()
  const mask = next() < 0.5 ? -1n : number(next) | number(next)
  const bits = BigInt.asUintN(64, x) & BigInt.asUintN(64, ~mask)
  s.vh = highOf(bits)
  s.vl = lowOf(bits)
  s.mh = highOf(BigInt.asUintN(64, mask))
  s.ml = lowOf(BigInt.asUintN(64, mask))
  s.sync()
  for (let i = 0; i < 3; i++) {
    const y = number(next)
    const c = Bounds.known(highOf(y), lowOf(y))
    const wide = next() < 0.7
    const [a, b] = wide ? [x, y] : [BigInt.asUintN(32, x), BigInt.asUintN(32, y)]
    const [sa, sb] = wide ? [BigInt.asIntN(64, x), BigInt.asIntN(64, y)] : [BigInt.asIntN(32, x), BigInt.asIntN(32, y)]
    if (next() < 0.5) refine(a <= b ? 'le' : 'gt', s, c, wide)
    else refine(sa <= sb ? 'sle' : 'sgt', s, c, wide)
    s.sync()
  }
  return { x, s }
}
