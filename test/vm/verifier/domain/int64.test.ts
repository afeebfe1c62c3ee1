import { expect, test } from 'vitest'
import * as i64 from '../../../../src/vm/verifier/domain/int64.ts'
import { CENTRES, type Point, point, window } from './models.ts'

const NUMBERS: readonly Point[] = CENTRES.flatMap((c) => window(c, 3))
const signed = (x: bigint): bigint => BigInt.asIntN(64, x)
const isPair = (high: number, low: number, x: bigint): boolean => high === i64.highOf(x) && low === i64.lowOf(x)

test('sums, differences and order of all pairs', () => {
  for (const a of NUMBERS) {
    for (const b of NUMBERS) {
      const right =
        isPair(i64.addHigh(a.h, a.l, b.h, b.l), (a.l + b.l) | 0, a.x + b.x) &&
        isPair(i64.subHigh(a.h, a.l, b.h, b.l), (a.l - b.l) | 0, a.x - b.x) &&
        i64.lessU(a.h, a.l, b.h, b.l) === a.x < b.x &&
        i64.lessS(a.h, a.l, b.h, b.l) === signed(a.x) < signed(b.x)
      if (!right) throw new Error(`${a.x} and ${b.x}`)
    }
  }
})

test('shifts by every number of bits', () => {
  for (const { x, h, l } of NUMBERS) {
    for (let n = 0; n < 64; n++) {
      const by = BigInt(n)
      const right =
        isPair(i64.shlHigh(h, l, n), i64.shlLow(l, n), x << by) &&
        isPair(i64.shrHigh(h, n), i64.shrLow(h, l, n), x >> by) &&
        isPair(i64.sarHigh(h, n), i64.sarLow(h, l, n), signed(x) >> by)
      if (!right) throw new Error(`${x} by ${n}`)
    }
  }
})

test('halves, numbers and lengths', () => {
  for (const { x, h, l } of NUMBERS) {
    expect(i64.bigU(h, l)).toBe(x)
    expect(i64.bigS(h, l)).toBe(signed(x))
    expect(i64.numberU(h, l)).toBe(Number(x))
    expect(i64.numberS(h, l)).toBe(Number(signed(x)))
    expect(i64.bitLength(h, l)).toBe(x === 0n ? 0 : x.toString(2).length)
  }
  expect(point(-1n)).toEqual({ x: (1n << 64n) - 1n, h: -1, l: -1 })
})
