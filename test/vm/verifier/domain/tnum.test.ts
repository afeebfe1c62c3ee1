import { describe, expect, test } from 'vitest'
import { bigU, highOf, lowOf } from '../../../../src/vm/verifier/domain/int64.ts'
import * as t from '../../../../src/vm/verifier/domain/tnum.ts'
import { random, number } from './scalars.ts'

/** All tnums of four bits, with the numbers that they describe, moved to bit `at`. */
function all(at: bigint): { tnum: t.Tnum; members: bigint[] }[] {
  const found: { tnum: t.Tnum; members: bigint[] }[] = []
  for (let mask = 0n; mask < 16n; mask++) {
    for (let value = 0n; value < 16n; value++) {
      if ((value & mask) !== 0n) continue
      const members: bigint[] = []
      for (let x = 0n; x < 16n; x++) if ((x & ~mask) === value) members.push(x << at)
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

function same(a: t.Tnum, b: t.Tnum): boolean {
  return a.vh === b.vh && a.vl === b.vl && a.mh === b.mh && a.ml === b.ml
}

/** The narrowest tnum that has all the numbers. */
function hull(numbers: readonly bigint[]): t.Tnum {
  const first = BigInt.asUintN(64, numbers[0] ?? 0n)
  const mask = numbers.reduce((seen, x) => seen | (BigInt.asUintN(64, x) ^ first), 0n)
  return make(first & ~mask, mask)
}

function expectNormal(s: t.Tnum): void {
  if (((s.vh & s.mh) | (s.vl & s.ml)) !== 0) throw new Error(`unknown bits have values: ${show(s)}`)
}

function show(s: t.Tnum): string {
  return `${bigU(s.vh, s.vl).toString(16)}/${bigU(s.mh, s.ml).toString(16)}`
}

describe.each([30n, 60n])('tnums of four bits at bit %s describe all results', (at) => {
  const cases = all(at)
  type Operation = (to: t.Tnum, a: t.Tnum, b: t.Tnum) => void
  const operations: [string, Operation, (x: bigint, y: bigint) => bigint][] = [
    ['add', t.tnumAdd, (x, y) => x + y],
    ['sub', t.tnumSub, (x, y) => x - y],
    ['mul', t.tnumMul, (x, y) => x * y],
    ['and', t.tnumAnd, (x, y) => x & y],
    ['or', t.tnumOr, (x, y) => x | y],
    ['xor', t.tnumXor, (x, y) => x ^ y],
  ]
  test.each(operations)('%s', (name, operate, compute) => {
    for (const a of cases) {
      for (const b of cases) {
        const to = make(0n, 0n)
        operate(to, a.tnum, b.tnum)
        expectNormal(to)
        const results = a.members.flatMap((x) => b.members.map((y) => compute(x, y)))
        for (const x of results) if (!has(to, x)) throw new Error(`${x} is not in ${show(to)}`)
        // All of these but products claim no more than they must.
        if (name === 'mul') continue
        const best = hull(results)
        if (!same(to, best)) throw new Error(`${show(a.tnum)} ${name} ${show(b.tnum)}: ${show(to)}, ${show(best)}`)
      }
    }
  })

  test('an operation may write to its operands', () => {
    for (const a of cases) {
      for (const b of cases) {
        for (const [, operate] of [
          ...operations,
          ['union', t.tnumUnion] as const,
          ['meet', t.tnumIntersect] as const,
        ]) {
          const [to, first, second] = [make(0n, 0n), { ...a.tnum }, { ...b.tnum }]
          operate(to, a.tnum, b.tnum)
          operate(first, first, b.tnum)
          operate(second, a.tnum, second)
          if (!same(to, first) || !same(to, second)) throw new Error(`${show(to)} ${show(first)} ${show(second)}`)
        }
      }
    }
  })

  test('union, intersection, overlap and inclusion', () => {
    for (const a of cases) {
      for (const b of cases) {
        const union = make(0n, 0n)
        t.tnumUnion(union, a.tnum, b.tnum)
        if (!same(union, hull([...a.members, ...b.members]))) throw new Error(show(union))
        const both = a.members.filter((x) => b.members.includes(x))
        expect(t.tnumOverlap(a.tnum, b.tnum)).toBe(both.length > 0)
        const meet = make(0n, 0n)
        t.tnumIntersect(meet, a.tnum, b.tnum)
        if (both.length > 0 && !same(meet, hull(both))) throw new Error(show(meet))
        expect(t.tnumIn(a.tnum, b.tnum)).toBe(b.members.every((x) => a.members.includes(x)))
      }
    }
  })

  test('shifts', () => {
    for (const a of cases) {
      for (let n = 0; n < 64; n++) {
        const by = BigInt(n)
        const to = make(0n, 0n)
        t.tnumShl(to, a.tnum, n)
        if (!same(to, hull(a.members.map((x) => x << by)))) throw new Error(`${show(a.tnum)} << ${n}`)
        t.tnumShr(to, a.tnum, n)
        if (!same(to, hull(a.members.map((x) => BigInt.asUintN(64, x) >> by)))) throw new Error(`>> ${n}`)
        t.tnumSar(to, a.tnum, n, 64)
        if (!same(to, hull(a.members.map((x) => BigInt.asIntN(64, x) >> by)))) throw new Error(`s>> ${n}`)
        if (n >= 32) continue
        t.tnumSar(to, a.tnum, n, 32)
        const low = a.members.map((x) => BigInt.asUintN(32, BigInt.asIntN(32, x) >> by))
        if (!same(to, hull(low))) throw new Error(`w s>> ${n}`)
      }
    }
  })

  test('a constant, and a multiple of a power of two', () => {
    for (const a of cases) {
      expect(t.tnumIsConst(a.tnum)).toBe(a.members.length === 1)
      for (const size of [1, 2, 4, 8, 16, 2 ** 31]) {
        expect(t.tnumAligned(a.tnum, size)).toBe(a.members.every((x) => x % BigInt(size) === 0n))
      }
    }
  })

  test('the next member above a number', () => {
    const numbers = Array.from({ length: 16 }, (_, i) => BigInt(i) << at)
    for (const { tnum, members } of cases) {
      for (const x of numbers.flatMap((n) => [n, BigInt.asUintN(64, n - 1n), n + 1n])) {
        const to = make(0n, 0n)
        t.tnumNext(to, tnum, highOf(x), lowOf(x))
        const next = members.find((m) => m > x) ?? members.at(-1)
        if (bigU(to.vh, to.vl) !== next) throw new Error(`${show(to)} after ${x} in ${show(tnum)}, expected ${next}`)
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

test('a short range is described by the bits that all its numbers begin with', () => {
  for (const centre of [16n, 1n << 31n, 1n << 32n, 1n << 63n]) {
    for (let min = centre - 16n; min < centre + 16n; min++) {
      for (let max = min; max < centre + 16n; max++) {
        const to = make(0n, 0n)
        t.tnumRange(to, highOf(min), lowOf(min), highOf(max), lowOf(max))
        const bits = BigInt((min ^ max).toString(2).length)
        const mask = min === max ? 0n : BigInt.asUintN(64, (1n << bits) - 1n)
        if (!same(to, make(min & ~mask, mask))) throw new Error(`${min} to ${max}: ${show(to)}`)
      }
    }
  }
})
