import { describe, expect, test } from 'vitest'
import type { AluOp, BranchOp } from '../../../../src/isa/index.ts'
import { arithmetic } from '../../../../src/vm/verifier/domain/arithmetic.ts'
import {
  Bounds,
  loaded,
  type Scalar,
  signedRange,
  unsignedUpTo,
  within,
} from '../../../../src/vm/verifier/domain/bounds.ts'
import { decide, FLIPPED, NEGATED, refine } from '../../../../src/vm/verifier/domain/compare.ts'
import {
  signExtend32,
  signExtend64,
  swapBytes,
  truncate,
  zeroExtend32,
} from '../../../../src/vm/verifier/domain/resize.ts'
import { compute, holds } from './concrete.ts'
import {
  both,
  CENTRES,
  type Element,
  elements,
  has,
  pairs,
  type Point,
  point,
  show,
  unsynced,
  window,
} from './models.ts'

/** Elements of windows of three and of four bits. */
const SMALL = CENTRES.flatMap((c) => elements(c, 3, 97))
const LARGE = CENTRES.flatMap((c) => elements(c, 4, 997))

function fail(what: string, a: Scalar, x: Point, b: Scalar, y: Point, result: Scalar): never {
  throw new Error(`${what}: ${x.x} and ${y.x} of ${show(a)} and ${show(b)}, not in ${show(result)}`)
}

/** Remembers results of concrete operations: the same few numbers meet in many elements. */
function remembered<T>(of: (x: Point, y: Point) => T): (x: Point, y: Point) => T {
  const known = new Map<bigint, Map<bigint, T>>()
  return (x, y) => {
    let row = known.get(x.x)
    if (row === undefined) known.set(x.x, (row = new Map()))
    let value = row.get(y.x)
    if (value === undefined) row.set(y.x, (value = of(x, y)))
    return value
  }
}

test('the model has something to try', () => {
  expect(SMALL.length).toBeGreaterThan(500)
  expect(LARGE.length).toBeGreaterThan(1500)
  const sizes = new Set(LARGE.map((e) => e.members.length))
  for (const size of [1, 2, 3, 7, 15, 16]) expect(sizes).toContain(size)
})

describe('agreement of ranges and bits', () => {
  test('keeps every number of a range or tnum, and of two of them', () => {
    for (const centre of CENTRES) {
      const points = window(centre, 3)
      const all = unsynced(points, 3)
      const members = new Map(all.map((s) => [s, points.filter((p) => has(s, p))]))
      pairs(all, 1, (a, b) => {
        const common = (members.get(a) ?? []).filter((p) => has(b, p))
        if (common.length === 0) return
        const result = both(a, b).sync()
        for (const p of common) if (!has(result, p)) fail('sync', a, p, b, p, result)
        if (!result.consistent()) fail('consistent', a, common[0] as Point, b, common[0] as Point, result)
      })
    }
  })

  test('is reached: a second time changes nothing that matters', () => {
    for (const { s, members } of LARGE) {
      const again = Bounds.copy(s).sync()
      expect(within(s, again), show(s)).toBe(true)
      for (const p of members) if (!has(again, p)) fail('again', s, p, s, p, again)
    }
  })

  test('within() is true only where every number is in the older range', () => {
    pairs([...SMALL, ...LARGE.filter((_, i) => i % 20 === 0)], 3, (old, now) => {
      if (!within(old.s, now.s)) return
      for (const p of now.members) if (!has(old.s, p)) fail('within', old.s, p, now.s, p, old.s)
    })
  })

  test('ranges and loads made from numbers', () => {
    for (const max of [0, 1, 7, 255, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 52]) {
      const s = unsignedUpTo(max)
      for (const x of [0n, BigInt(max) / 2n, BigInt(max)]) expect(has(s, point(x)), `${x} up to ${max}`).toBe(true)
      for (const x of [BigInt(max) + 1n, -1n]) expect(has(s, point(x)), `${x} up to ${max}`).toBe(false)
    }
    for (let min = -9; min <= 9; min++) {
      for (let max = min; max <= 9; max++) {
        const s = signedRange(min, max)
        for (let x = -12; x <= 12; x++) expect(has(s, point(BigInt(x)))).toBe(x >= min && x <= max)
      }
    }
    for (const size of [1, 2, 4]) {
      const end = 1n << BigInt(size * 8)
      for (const x of [0n, 1n, end / 2n, end - 1n]) expect(has(loaded(size), point(x))).toBe(true)
      for (const x of [end, -1n, 1n << 63n]) expect(has(loaded(size), point(x))).toBe(false)
    }
    for (const p of CENTRES.map(point)) expect(has(loaded(8), p)).toBe(true)
  })
})

describe.each([true, false])('arithmetic, 64 bits: %s', (wide) => {
  function check(op: AluOp, of: readonly Element[], step: number): void {
    const concrete = remembered((x, y) => point(compute(op, wide, x.x, y.x)))
    pairs(of, step, (a, b) => {
      const result = arithmetic(op, wide, a.s, b.s)
      if (result === null) throw new Error(`${op} of ${show(a.s)} and ${show(b.s)}`)
      for (const x of a.members) {
        for (const y of b.members) if (!has(result, concrete(x, y))) fail(op, a.s, x, b.s, y, result)
      }
    })
  }

  test.each(['add', 'sub', 'mul', 'and', 'or', 'xor'] as const)('%s', (op) => {
    check(op, SMALL, op === 'mul' ? 211 : 71)
    check(op, LARGE, 8009)
  })

  test('neg', () => {
    for (const { s, members } of [...SMALL, ...LARGE]) {
      const result = arithmetic('neg', wide, s, s)
      if (result === null) throw new Error(show(s))
      for (const x of members) {
        if (!has(result, point(compute('neg', wide, x.x, 0n)))) fail('neg', s, x, s, x, result)
      }
    }
  })

  test.each(['lsh', 'rsh', 'arsh'] as const)('%s by every number of bits', (op) => {
    const bits = wide ? 64 : 32
    for (let n = 0; n < bits; n++) {
      const by = Bounds.known(0, n)
      const y = point(BigInt(n))
      const concrete = remembered((x) => point(compute(op, wide, x.x, y.x)))
      for (const [i, { s, members }] of [...SMALL, ...LARGE].entries()) {
        if (i >= SMALL.length && (i + n) % 17 !== 0) continue
        const result = arithmetic(op, wide, s, by)
        if (result === null) throw new Error(show(s))
        for (const x of members) if (!has(result, concrete(x, y))) fail(op, s, x, by, y, result)
      }
    }
    const [element] = SMALL as [Element]
    expect(arithmetic(op, wide, element.s, Bounds.known(0, bits))).toBeNull()
    expect(arithmetic(op, wide, element.s, Bounds.known(-1, -1))).toBeNull()
    expect(arithmetic(op, wide, element.s, signedRange(1, 2))).toBeNull()
  })

  test.each(['div', 'mod', 'sdiv', 'smod'] as const)('nothing is claimed of %s', (op) => {
    for (const { s } of SMALL) expect(arithmetic(op, wide, s, Bounds.known(0, 2))).toBeNull()
  })

  test('is exact for constants', () => {
    const numbers = CENTRES.flatMap((c) => window(c, 3))
    for (const op of ['add', 'sub', 'mul', 'and', 'or', 'xor'] as const) {
      for (const x of numbers) {
        for (const y of numbers) {
          const s = arithmetic(op, wide, Bounds.known(x.h, x.l), Bounds.known(y.h, y.l))
          const z = point(compute(op, wide, x.x, y.x))
          if (s === null || s.mh !== 0 || s.ml !== 0 || !has(s, z)) throw new Error(`${x.x} ${op} ${y.x}`)
        }
      }
    }
  })
})

describe('resizing', () => {
  const casts: Record<string, readonly [(s: Scalar) => Scalar, (x: bigint) => bigint]> = {
    'the low half': [zeroExtend32, (x) => BigInt.asUintN(32, x)],
    'a sign-extended word': [(s) => signExtend64(s, 4), (x) => BigInt.asIntN(32, x)],
  }
  for (const size of [1, 2]) {
    const bits = size * 8
    casts[`${size} bytes, sign-extended to 64 bits`] = [(s) => signExtend64(s, size), (x) => BigInt.asIntN(bits, x)]
    casts[`${size} bytes, sign-extended to 32 bits`] = [
      (s) => signExtend32(s, size),
      (x) => BigInt.asUintN(32, BigInt.asIntN(bits, x)),
    ]
  }
  for (const size of [1, 2, 4, 8]) {
    casts[`${size} bytes, zero-extended`] = [(s) => truncate(s, size), (x) => BigInt.asUintN(size * 8, x)]
  }
  for (const bits of [16, 32, 64] as const) {
    casts[`${bits} bits with their bytes swapped`] = [(s) => swapBytes(s, bits), (x) => swapped(x, bits)]
  }
  // Where the sign of a byte or half-word changes, besides the usual places.
  const near = [0x80n, 0x100n, 0x8000n, 0x10000n, -0x80n, -0x8000n, (1n << 32n) + 0x80n, (1n << 63n) + 0x8000n]
  const of = [...SMALL, ...LARGE, ...near.flatMap((c) => elements(c, 4, 4999))]
  test.each(Object.entries(casts))('%s', (what, [cast, concrete]) => {
    for (const { s, members } of of) {
      const result = cast(s)
      for (const x of members) if (!has(result, point(concrete(x.x)))) fail(what, s, x, s, x, result)
      const [only] = members
      if (s.mh === 0 && s.ml === 0 && only !== undefined && (result.mh !== 0 || result.ml !== 0)) {
        throw new Error(`${what}: ${only.x} is known, its result is not`)
      }
    }
  })
})

function swapped(x: bigint, bits: number): bigint {
  let to = 0n
  for (let i = 0; i < bits; i += 8) to = (to << 8n) | ((x >> BigInt(i)) & 0xffn)
  return to
}

describe.each([true, false])('comparisons, 64 bits: %s', (wide) => {
  const OPS = Object.keys(FLIPPED) as BranchOp[]
  const unknown: Element[] = CENTRES.map((c) => ({ s: new Bounds(), members: window(c, 2) }))

  function check(op: BranchOp, of: readonly Element[], step: number): { decided: number; learnt: number } {
    const truth = remembered((x, y) => holds(op, wide, x.x, y.x))
    const seen = { decided: 0, learnt: 0 }
    pairs(of, step, (a, b) => {
      const certain = decide(op, a.s, b.s, wide)
      if (certain !== null) {
        seen.decided++
        for (const x of a.members) {
          for (const y of b.members) if (truth(x, y) !== certain) fail(`${op} is ${certain}`, a.s, x, b.s, y, a.s)
        }
        return
      }
      for (const way of [true, false]) {
        const [s, t] = [Bounds.copy(a.s), Bounds.copy(b.s)]
        refine(way ? op : NEGATED[op], s, t, wide)
        s.sync()
        t.sync()
        if (!within(s, a.s) || !within(t, b.s)) seen.learnt++
        for (const x of a.members) {
          for (const y of b.members) {
            if (truth(x, y) !== way) continue
            if (!has(s, x)) fail(`${way} ${op}`, a.s, x, b.s, y, s)
            if (!has(t, y)) fail(`${way} ${op}, second operand`, a.s, x, b.s, y, t)
          }
        }
      }
    })
    return seen
  }

  test.each(OPS)('%s', (op) => {
    const constants = SMALL.filter((e) => e.members.length === 1)
    for (const [of, step] of [
      [[...SMALL, ...unknown], 127],
      [[...SMALL.filter((_, i) => i % 4 === 0), ...constants], 23],
      [LARGE, 16001],
    ] as const) {
      const seen = check(op, of, step)
      expect(seen.decided).toBeGreaterThan(0)
      expect(seen.learnt).toBeGreaterThan(0)
    }
  })

  test.each(OPS)('%s of constants is decided', (op) => {
    const numbers = CENTRES.flatMap((c) => window(c, 3))
    for (const x of numbers) {
      for (const y of numbers) {
        const certain = decide(op, Bounds.known(x.h, x.l), Bounds.known(y.h, y.l), wide)
        if (certain !== holds(op, wide, x.x, y.x)) throw new Error(`${x.x} ${op} ${y.x} is ${certain}`)
      }
    }
  })

  test('the same with the operands exchanged', () => {
    for (const op of OPS) {
      pairs(SMALL, 211, (a, b) => {
        expect(decide(FLIPPED[op], b.s, a.s, wide), `${op} ${show(a.s)} ${show(b.s)}`).toBe(decide(op, a.s, b.s, wide))
      })
    }
  })
})
