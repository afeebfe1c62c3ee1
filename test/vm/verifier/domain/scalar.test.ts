import { describe, expect, test } from 'vitest'
import { arithmetic } from '../../../../src/vm/verifier/domain/arithmetic.ts'
import { Bounds, within } from '../../../../src/vm/verifier/domain/bounds.ts'
import { decide, NEGATED, refine } from '../../../../src/vm/verifier/domain/compare.ts'
import { signExtend32, signExtend64, truncate, zeroExtend32 } from '../../../../src/vm/verifier/domain/resize.ts'
import { compute, holds } from './concrete.ts'
import { contains, known, random } from './scalars.ts'

const ROUNDS = 500

describe('what is known of a scalar stays true', () => {
  for (const op of ['add', 'sub', 'neg', 'mul', 'and', 'or', 'xor', 'lsh', 'rsh', 'arsh'] as const) {
    for (const wide of [true, false]) {
      test(`${op} of ${wide ? 64 : 32} bits`, () => {
        const next = random(op.length * 1000 + op.charCodeAt(0) + Number(wide))
        for (let i = 0; i < ROUNDS; i++) {
          const a = known(next)
          let b = known(next)
          if (op === 'lsh' || op === 'rsh' || op === 'arsh') {
            const n = Math.floor(next() * (wide ? 64 : 32))
            b = { x: BigInt(n), s: Bounds.known(0, n) }
          }
          const result = arithmetic(op, wide, a.s, b.s)
          if (result === null) throw new Error('nothing known')
          const x = compute(op, wide, a.x, b.x)
          if (!contains(result, x)) throw new Error(`${a.x} ${op} ${b.x} = ${x}: ${JSON.stringify([a.s, b.s, result])}`)
        }
      })
    }
  }

  test('truncation and extension', () => {
    const next = random(7)
    for (let i = 0; i < ROUNDS; i++) {
      const { x, s } = known(next)
      for (const size of [1, 2, 4]) {
        const bits = size * 8
        expect(contains(truncate(s, size), BigInt.asUintN(bits, x))).toBe(true)
        expect(contains(signExtend64(s, size), BigInt.asIntN(bits, x)), `sign extension of ${x} to ${size}`).toBe(true)
        if (size < 4) expect(contains(signExtend32(s, size), BigInt.asUintN(32, BigInt.asIntN(bits, x)))).toBe(true)
      }
      expect(contains(zeroExtend32(s), BigInt.asUintN(32, x))).toBe(true)
    }
  })

  for (const op of ['eq', 'ne', 'set', 'gt', 'ge', 'lt', 'le', 'sgt', 'sge', 'slt', 'sle'] as const) {
    test(`both ways of a branch on ${op}`, () => {
      const next = random(op.charCodeAt(0) * 31 + op.length)
      for (let i = 0; i < ROUNDS; i++) {
        const a = known(next)
        const b = next() < 0.3 ? { x: a.x, s: a.s } : known(next)
        const wide = next() < 0.5
        const truth = holds(op, wide, a.x, b.x)
        const certain = decide(op, a.s, b.s, wide)
        expect(certain === null || certain === truth, `${a.x} ${op} ${b.x}`).toBe(true)
        if (certain !== null) continue
        const x = Bounds.copy(a.s)
        const y = Bounds.copy(b.s)
        refine(truth ? op : NEGATED[op], x, y, wide)
        expect(contains(x.sync(), a.x), `${a.x} after ${truth} ${op} ${b.x}`).toBe(true)
        expect(contains(y.sync(), b.x)).toBe(true)
      }
    })
  }

  test('a scalar is within itself, and what is known more exactly is within what is known less exactly', () => {
    const next = random(3)
    for (let i = 0; i < ROUNDS; i++) {
      const { s } = known(next)
      expect(within(s, s)).toBe(true)
      expect(within(new Bounds(), s)).toBe(true)
    }
  })
})
