import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { AluOp, Operation } from '../../../src/isa/index.ts'
import { interpreterEngine } from '../../../src/vm/interpreter/index.ts'
import { jit, quickJit } from '../../../src/vm/jit/index.ts'
import type { VmCode } from '../../../src/vm/engine.ts'
import {
  alu,
  assemble,
  branch,
  callHelper,
  callLocal,
  DATA,
  exit,
  imm64,
  jump,
  load,
  mov,
  store,
  TestMachine,
} from './support.ts'
import { EDGES } from './values.ts'

/** r0 from the JIT, with and without optimisations, and from the interpreter, which must all be the same. */
function same(
  ops: readonly Operation[],
  words: readonly bigint[] = [],
  options: Partial<VmCode> & { starts?: number[] } = {},
): bigint {
  const results = [interpreterEngine, jit, quickJit].map((engine) => {
    const machine = new TestMachine()
    words.forEach((word, i) => machine.view.setBigUint64(DATA + 8 * i, word, true))
    machine.helpers.set(200, (...all) => all.reduce((sum, x) => BigInt.asUintN(64, sum * 31n + x), 0n))
    engine.compile(assemble(ops, options), machine).run(DATA)
    return machine.reg(0)
  })
  expect(results[1]).toBe(results[0])
  expect(results[2]).toBe(results[0])
  return results[0] as bigint
}

/** r2 and r3 are words of memory, with all 64 bits or the low half. */
const operands = (narrow2: boolean, narrow3: boolean): Operation[] => [
  load(narrow2 ? 4 : 8, 2, 1, 0),
  load(narrow3 ? 4 : 8, 3, 1, 8),
]
const BINARY: readonly AluOp[] = [
  'add',
  'sub',
  'mul',
  'div',
  'sdiv',
  'mod',
  'smod',
  'or',
  'and',
  'xor',
  'lsh',
  'rsh',
  'arsh',
  'mov',
]
const PAIRS = EDGES.filter((_, i) => i % 2 === 0).flatMap((a) =>
  EDGES.filter((_, i) => i % 3 === 0).map((b) => [a, b] as const),
)

describe('operations on 64 bits whose operands have 32', () => {
  test.each(
    BINARY.flatMap((op) =>
      [
        [true, true],
        [true, false],
        [false, true],
      ].map(([a, b]) => ({ op, a: a === true, b: b === true })),
    ),
  )('$op, upper halves 0: $a $b', ({ op, a, b }) => {
    const compiled = [interpreterEngine, jit].map((engine) => {
      const machine = new TestMachine()
      const code = [
        ...operands(a, b),
        alu(op, 2, 3),
        alu('mov', 0, 2),
        alu('mul', 0, { imm: 31 }),
        alu('add', 0, 3),
        exit,
      ]
      return { machine, code: engine.compile(assemble(code), machine) }
    })
    for (const words of PAIRS) {
      const [one, two] = compiled.map(({ machine, code }) => {
        words.forEach((word, i) => machine.view.setBigUint64(DATA + 8 * i, word, true))
        code.run(DATA)
        return machine.reg(0)
      })
      if (one !== two) expect({ words, r0: two }).toEqual({ words, r0: one })
    }
  })

  test.each([0, 1, -1, 7, 31, 32, 33, 63, 0x7fffffff, -0x80000000])('with the constant %i', (imm) => {
    for (const op of BINARY) {
      for (const word of [0n, 1n, 0x80000000n, 0xffffffffn, 0x123456789abcdefn]) {
        same([...operands(true, false), alu(op, 2, { imm }), alu('mov', 0, 2), exit], [word])
        same([...operands(false, false), alu(op, 2, { imm }), alu('mov', 0, 2), exit], [word])
      }
    }
  })
})

describe('where ways meet', () => {
  const words = [0xfedcba9876543210n, 1n, 0n]

  test.each([0, 1])('a value of 32 bits on one of them, of 64 on the other (%i)', (way) => {
    const ops = [
      mov(4, way),
      branch('eq', 4, { imm: 0 }, 4),
      load(8, 2, 1, 0),
      jump(5),
      load(4, 2, 1, 0),
      alu('mov', 0, 2),
      exit,
    ]
    expect(same(ops, words)).toBe(way === 0 ? 0x76543210n : 0xfedcba9876543210n)
  })

  test('a loop that makes a value wider', () => {
    const ops = [
      load(4, 2, 1, 0),
      mov(3, 0),
      alu('add', 2, 2),
      alu('add', 3, { imm: 1 }, false),
      branch('lt', 3, { imm: 20 }, 2, false),
      alu('mov', 0, 2),
      exit,
    ]
    expect(same(ops, words)).toBe(0x76543210n << 20n)
  })

  test('a loop that makes a value narrower', () => {
    const ops = [
      load(8, 2, 1, 0),
      mov(3, 0),
      mov(0, 0),
      alu('add', 0, 2),
      alu('mov', 2, 2, false),
      alu('add', 3, { imm: 1 }, false),
      branch('lt', 3, { imm: 3 }, 3, false),
      exit,
    ]
    expect(same(ops, words)).toBe(BigInt.asUintN(64, 0xfedcba9876543210n + 2n * 0x76543210n))
  })

  test('a value that one way leaves as the function got it', () => {
    const ops = [load(4, 2, 1, 0), branch('eq', 2, { imm: 0 }, 3), alu('mov', 1, 2, false), alu('mov', 0, 1), exit]
    expect(same(ops, words)).toBe(0x76543210n)
    expect(same(ops, [0n])).toBe(BigInt(DATA))
  })

  test('swapped in a loop', () => {
    const ops = [
      load(4, 2, 1, 0),
      load(8, 3, 1, 0),
      mov(5, 0),
      alu('mov', 4, 2),
      alu('mov', 2, 3),
      alu('mov', 3, 4),
      alu('add', 5, { imm: 1 }),
      branch('lt', 5, { imm: 5 }, 3),
      alu('mov', 0, 2),
      exit,
    ]
    expect(same(ops, words)).toBe(words[0])
  })
})

describe('values of 32 bits', () => {
  const words = [0xfedcba9876543210n, 0x1111111189abcdefn]

  test('are arguments of helpers and functions', () => {
    const loads = [load(4, 2, 1, 0), load(2, 3, 1, 8), load(1, 4, 1, 9), alu('mov', 5, 2, false), alu('mov', 1, 3)]
    same([...loads, callHelper(200), exit], words)
    const callee = [alu('add', 1, 2), alu('mul', 3, 4), alu('sub', 1, 3), alu('xor', 1, 5), alu('mov', 0, 1), exit]
    same([...loads, callLocal(5, 7), exit, ...callee], words, { starts: [0, 7] })
  })

  test('survive calls in r6 to r9', () => {
    const ops = [load(4, 6, 1, 0), load(4, 9, 1, 8), callHelper(200), alu('mov', 0, 6), alu('add', 0, 9), exit]
    expect(same(ops, words)).toBe(0x76543210n + 0x89abcdefn)
  })

  test('are results of the program', () => {
    expect(same([load(4, 0, 1, 0), exit], words)).toBe(0x76543210n)
    expect(same([alu('mov', 0, { imm: -1 }, false), exit])).toBe(0xffffffffn)
    expect(same([alu('mov', 0, { imm: -1 }), exit])).toBe(0xffffffffffffffffn)
  })

  test('are stored and compared in both widths', () => {
    for (const size of [1, 2, 4, 8] as const) {
      same([load(4, 2, 1, 0), store(size, 1, 16, 2), load(8, 0, 1, 16), exit], [...words, 0x5555555555555555n])
      same([load(8, 2, 1, 0), store(size, 1, 16, 2), load(8, 0, 1, 16), exit], [...words, 0x5555555555555555n])
    }
    for (const op of ['gt', 'sgt', 'slt', 'eq', 'set'] as const) {
      for (const wide of [true, false]) {
        same([load(4, 2, 1, 0), load(4, 3, 1, 8), mov(0, 1), branch(op, 2, 3, 5, wide), mov(0, 0), exit], words)
        same([load(4, 2, 1, 0), mov(0, 1), branch(op, 2, { imm: -1 }, 4, wide), mov(0, 0), exit], words)
      }
    }
  })

  test('are compared and exchanged', () => {
    const ops: Operation[] = [
      load(4, 0, 1, 0),
      load(4, 2, 1, 8),
      { kind: 'atomic', op: 'cmpxchg', fetch: true, size: 8, dst: 1, src: 2, off: 0 },
      { kind: 'atomic', op: 'xchg', fetch: true, size: 4, dst: 1, src: 2, off: 0 },
      alu('add', 0, 2),
      exit,
    ]
    same(ops, words)
  })

  test.each(['le', 'be', 'bswap'] as const)('%s of them', (op) => {
    for (const bits of [16, 32, 64] as const) {
      for (const size of [4, 8] as const) same([load(size, 0, 1, 0), { kind: 'endian', op, bits, dst: 0 }, exit], words)
    }
  })

  test('are cast between address spaces', () => {
    const cast: Operation = { kind: 'addrSpaceCast', dst: 0, src: 2, from: 1, to: 0 }
    expect(same([load(8, 2, 1, 0), cast, exit], words)).toBe(0x76543210n)
  })
})

test('loops of any operations are what the interpreter makes of them', () => {
  const register = fc.constantFrom(0, 2, 3, 4)
  const step: fc.Arbitrary<Operation> = fc.oneof(
    fc
      .tuple(fc.constantFrom(...BINARY), register, register, fc.boolean())
      .map(([op, a, b, wide]) => alu(op, a, b, wide)),
    fc
      .tuple(fc.constantFrom(...BINARY), register, fc.constantFrom(0, 1, -1, 5, 0x7fffffff), fc.boolean())
      .map(([op, a, imm, wide]) => alu(op, a, { imm }, wide)),
    fc
      .tuple(fc.constantFrom(1, 2, 4, 8), register, fc.integer({ min: 0, max: 8 }), fc.boolean())
      .map(([size, dst, off, signed]) => load(size, dst, 1, off, signed && size < 8)),
    fc
      .tuple(fc.constantFrom('movsx8', 'movsx16'), register, register, fc.boolean())
      .map(([op, a, b, wide]) => alu(op, a, b, wide)),
  )
  const body = fc.array(step, { minLength: 1, maxLength: 6 })
  fc.assert(
    fc.property(body, body, body, fc.constantFrom('gt', 'slt', 'set'), fc.boolean(), (first, then, last, op, wide) => {
      const ops: Operation[] = [mov(0, 1), load(4, 2, 1, 0), load(8, 3, 1, 8), mov(4, 3), mov(7, 0)]
      const top = ops.length
      ops.push(...first)
      ops.push(branch(op, 2, 3, ops.length + 1 + then.length, wide), ...then, ...last)
      ops.push(alu('add', 7, { imm: 1 }), branch('lt', 7, { imm: 4 }, top))
      for (const r of [2, 3, 4]) ops.push(alu('mul', 0, { imm: 31 }), alu('add', 0, r))
      same([...ops, exit], [0xfedcba9876543210n, 0x1111111189abcdefn])
    }),
    { numRuns: 300 },
  )
})

test('constants of 64 bits are wide', () => {
  expect(same([imm64(2, 0xffffffffn), alu('add', 2, { imm: 1 }), alu('mov', 0, 2), exit])).toBe(0x100000000n)
})
