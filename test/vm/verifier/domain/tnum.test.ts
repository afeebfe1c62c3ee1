import { describe, expect, test } from 'vitest'
import { bigU, highOf, lowOf } from '../../../../src/vm/verifier/domain/int64.ts'
import * as t from '../../../../src/vm/verifier/domain/tnum.ts'
import { random, number } from './scalars.ts'

/** All tnums of three bits, with the numbers that they describe, moved to bit `at`. */
function all(at: bigint): { tnum: t.Tnum; members: bigint[] }[] {
  const found: { tnum: t.Tnum; members: bigint[] }[] = []
  for (let mask = 0n; mask < 8n; mask++) {
    for (let value = 0n; value < 8n; value++) {
      if ((value & mask) !== 0n) continue
      const members: bigint[] = []
      for (let x = 0n; x < 8n; x++) if ((x & ~mask) === value) members.push(x << at)
      found.push({ tnum: make(value << at, mask << at), members })
    }
  }
  return found
}

function make(value: bigint, mask: bigint): t.Tnum {
  return { vh: highOf(value), vl: lowOf(value), mh: highOf(mask), ml: lowOf(mask) }
}

function has(s: t.Tnum, x: bigint): boolean {
  return (BigInt.asUintN(64, x) & BigInt.asUintN(64, ~bigU(s.mh, s.ml))) === bigU(s.vh, s.vl)
}

describe.each([0n, 30n, 61n])('tnums of three bits at bit %s describe all results', (at) => {
  const cases = all(at)
  const operations: [string, (to: t.Tnum, a: t.Tnum, b: t.Tnum) => void, (x: bigint, y: bigint) => bigint][] = [
    ['add', t.tnumAdd, (x, y) => x + y],
    ['sub', t.tnumSub, (x, y) => x - y],
    ['mul', t.tnumMul, (x, y) => x * y],
    ['and', t.tnumAnd, (x, y) => x & y],
    ['or', t.tnumOr, (x, y) => x | y],
    ['xor', t.tnumXor, (x, y) => x ^ y],
  ]
  test.each(operations)('%s', (_, operate, compute) => {
    for (const a of cases) {
      for (const b of cases) {
        const to = make(0n, 0n)
        operate(to, a.tnum, b.tnum)
        expect((to.vh & to.mh) | (to.vl & to.ml)).toBe(0)
        for (const x of a.members) for (const y of b.members) if (!has(to, compute(x, y))) throw new Error(`${x} ${y}`)
      }
    }
  })

  test('union, intersection, overlap and inclusion', () => {
    for (const a of cases) {
      for (const b of cases) {
        const union = make(0n, 0n)
        t.tnumUnion(union, a.tnum, b.tnum)
        expect([...a.members, ...b.members].every((x) => has(union, x))).toBe(true)
        const both = a.members.filter((x) => b.members.includes(x))
        expect(t.tnumOverlap(a.tnum, b.tnum)).toBe(both.length > 0)
        const meet = make(0n, 0n)
        t.tnumIntersect(meet, a.tnum, b.tnum)
        expect(both.every((x) => has(meet, x))).toBe(true)
        expect(t.tnumIn(a.tnum, b.tnum)).toBe(b.members.every((x) => a.members.includes(x)))
      }
    }
  })

  test('shifts', () => {
    for (const a of cases) {
      for (const n of [0, 1, 5, 31, 32, 33, 63]) {
        const to = make(0n, 0n)
        t.tnumShl(to, a.tnum, n)
        expect(a.members.every((x) => has(to, x << BigInt(n)))).toBe(true)
        t.tnumShr(to, a.tnum, n)
        expect(a.members.every((x) => has(to, x >> BigInt(n)))).toBe(true)
        t.tnumSar(to, a.tnum, n, 64)
        expect(a.members.every((x) => has(to, BigInt.asIntN(64, x) >> BigInt(n)))).toBe(true)
      }
    }
  })
})

test('a range is described whole', () => {
  const next = random(11)
  for (let i = 0; i < 2000; i++) {
    const [a, b] = [number(next), number(next)]
    const [min, max] = a < b ? [a, b] : [b, a]
    const to = make(0n, 0n)
    t.tnumRange(to, highOf(min), lowOf(min), highOf(max), lowOf(max))
    expect(has(to, min) && has(to, max) && has(to, (min + max) / 2n)).toBe(true)
  }
})
