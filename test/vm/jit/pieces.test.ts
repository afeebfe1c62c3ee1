import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isBpfError } from '../../../src/bytes/index.ts'
import type { Operation } from '../../../src/isa/index.ts'
import { interpreterEngine } from '../../../src/vm/interpreter/index.ts'
import { jit, translate } from '../../../src/vm/jit/index.ts'
import type { VmCode } from '../../../src/vm/engine.ts'
import {
  alu,
  assemble,
  branch,
  callHelper,
  DATA,
  exit,
  imm64,
  load,
  MEMORY_END,
  mov,
  store,
  TestMachine,
} from './support.ts'

interface Outcome {
  readonly r0: bigint | null
  readonly trap: number | undefined
}

/** Result or trapping instruction, which must be the same in both engines. */
function same(ops: readonly Operation[], ctx: number = DATA, options: Partial<VmCode> = {}): Outcome {
  const [one, two] = [jit, interpreterEngine].map((engine): Outcome => {
    const machine = new TestMachine()
    for (const start of [DATA, MEMORY_END - 128]) {
      for (let at = start; at < start + 128; at++) machine.view.setUint8(at, at * 37 + 0x81)
    }
    machine.helpers.set(200, (at) => {
      machine.view.setUint8(Number(at), 0xee)
      return 0n
    })
    try {
      engine.compile(assemble(ops, options), machine).run(ctx)
      return { r0: machine.reg(0), trap: undefined }
    } catch (error) {
      if (!isBpfError(error)) throw error
      return { r0: null, trap: error.where.insn }
    }
  }) as [Outcome, Outcome]
  expect(one).toEqual(two)
  return one
}

const shl = (register: number, bits: number, wide: boolean = true): Operation =>
  alu('lsh', register, { imm: bits }, wide)
/** r0 = the two bytes at r1 + off, as compilers load them. */
const two = (off: number): Operation[] => [load(1, 2, 1, off), load(1, 0, 1, off + 1), shl(0, 8), alu('or', 0, 2)]
/** Four bytes to r0; r2 to r4 are used. */
const four = (off: number, wide: boolean = true): Operation[] => [
  load(1, 2, 1, off),
  load(1, 0, 1, off + 1),
  shl(0, 8, wide),
  alu('or', 0, 2, wide),
  load(1, 3, 1, off + 2),
  shl(3, 16, wide),
  load(1, 4, 1, off + 3),
  shl(4, 24, wide),
  alu('or', 4, 3, wide),
  alu('or', 0, 4, wide),
]

describe('bytes that are loaded one by one', () => {
  test.each([two(1), four(1), four(1, false), [...four(5), alu('mov', 5, 0), ...four(1), shl(5, 32), alu('or', 0, 5)]])(
    'are one number (%#)',
    (...ops) => {
      expect(same([...ops, exit]).r0).not.toBe(null)
    },
  )

  test('are loaded at once', () => {
    const length = (ops: readonly Operation[]): number => translate(assemble(ops), new TestMachine()).length
    // Combined by something that is not followed, at the same number of instructions.
    const apart = four(0).map((op) => (op.kind === 'alu' && op.op === 'or' ? { ...op, op: 'xor' as const } : op))
    expect(length([...four(0), exit])).toBeLessThan(length([...apart, exit]) - 30)
  })

  test.each([
    ['big-endian', [load(1, 0, 1, 0), load(1, 2, 1, 1), shl(0, 8), alu('or', 0, 2)]],
    ['with a hole', [load(1, 2, 1, 0), load(1, 0, 1, 2), shl(0, 16), alu('or', 0, 2)]],
    ['the same byte twice', [load(1, 2, 1, 0), load(1, 0, 1, 0), shl(0, 8), alu('or', 0, 2)]],
    ['from the wrong place', [load(1, 2, 1, 0), load(1, 0, 1, 2), shl(0, 8), alu('or', 0, 2)]],
    ['signed', [load(1, 2, 1, 0, true), load(1, 0, 1, 1, true), shl(0, 8), alu('or', 0, 2)]],
    ['shifted by no whole bytes', [load(1, 2, 1, 0), load(1, 0, 1, 1), shl(0, 9), alu('or', 0, 2)]],
    ['shifted out', [load(2, 2, 1, 0), load(2, 0, 1, 2), shl(0, 24, false), shl(2, 8, false), alu('or', 0, 2)]],
    ['shifted by 0', [load(1, 2, 1, 0), load(1, 0, 1, 1), shl(0, 0), alu('or', 0, 2)]],
    ['shifted by 72', [load(1, 2, 1, 0), load(1, 0, 1, 1), shl(0, 72), alu('or', 0, 2)]],
    ['above the low half, cut', [...two(0), shl(0, 24), load(1, 2, 1, 5), shl(2, 40), alu('or', 0, 2, false)]],
    ['above the low half', [...two(0), shl(0, 24), load(1, 2, 1, 2), shl(2, 40), alu('or', 0, 2)]],
    ['moved as 32 bits', [load(4, 2, 1, 4), shl(2, 32), load(4, 0, 1, 0), alu('mov', 2, 2, false), alu('or', 0, 2)]],
    [
      'of two sizes',
      [load(2, 2, 1, 3), load(4, 0, 1, 5), shl(0, 16), alu('or', 0, 2), load(2, 3, 1, 9), shl(3, 48), alu('or', 0, 3)],
    ],
    ['added up', [load(1, 2, 1, 0), load(1, 0, 1, 1), shl(0, 8), alu('add', 0, 2)]],
    ['by exclusive or', [load(1, 2, 1, 0), load(1, 0, 1, 1), shl(0, 8), alu('xor', 0, 2)]],
    ['as a high part', [...two(2), shl(0, 16)]],
    ['with itself', [load(1, 0, 1, 0), alu('add', 0, 0), alu('or', 0, 0)]],
  ] as [string, Operation[]][])('%s', (_, ops) => {
    same([...ops, exit])
  })

  test('of which some are used otherwise too', () => {
    same([...two(0), alu('mul', 0, { imm: 3 }), alu('add', 0, 2), exit])
    same([...four(0), alu('add', 0, 4), alu('add', 0, 3), exit])
    // In a block behind.
    same([...four(0), branch('eq', 0, { imm: 1 }, 12), mov(5, 1), alu('add', 0, 3), exit])
  })

  test('the last of which overwrites the address', () => {
    same([load(1, 2, 1, 0), load(1, 1, 1, 1), shl(1, 8), alu('or', 1, 2), alu('mov', 0, 1), exit])
    same([
      alu('mov', 3, 1),
      alu('add', 3, { imm: 1 }),
      load(1, 3, 3, 0),
      load(1, 2, 1, 0),
      shl(3, 8),
      alu('or', 3, 2),
      alu('mov', 0, 3),
      exit,
    ])
  })

  test('through different registers with the same address', () => {
    const ops = [
      alu('mov', 3, 1),
      alu('add', 3, { imm: 100 }),
      load(1, 2, 3, -97),
      load(1, 0, 1, 4),
      shl(0, 8),
      alu('or', 0, 2),
      exit,
    ]
    same(ops)
  })

  test('with a write in between', () => {
    const write = [mov(5, 0xaa), store(1, 1, 0, 5)]
    same([load(1, 2, 1, 0), ...write, load(1, 0, 1, 1), shl(0, 8), alu('or', 0, 2), exit])
    same([load(1, 2, 1, 0), load(1, 0, 1, 1), ...write, shl(0, 8), alu('or', 0, 2), exit])
    same([
      load(1, 6, 1, 0),
      load(1, 7, 1, 1),
      { kind: 'atomic', op: 'add', fetch: false, size: 4, dst: 1, src: 7, off: 0 },
      shl(7, 8),
      alu('or', 6, 7),
      alu('mov', 0, 6),
      exit,
    ])
    same([load(1, 6, 1, 0), load(1, 7, 1, 1), callHelper(200), shl(7, 8), alu('or', 6, 7), alu('mov', 0, 6), exit])
  })

  // Each byte is checked where it is loaded.
  test.each([0, 1, 2, 3, 4].map((n) => MEMORY_END - n))('at the end of the memory (%i)', (ctx) => {
    same([...four(0), exit], ctx)
    same([load(1, 0, 1, 3), load(1, 2, 1, 2), shl(0, 8), alu('or', 0, 2), exit], ctx)
    same([...four(0), exit], ctx, { faultReadsZero: true })
  })

  test('in a loop, at an address that moves on', () => {
    const ops = [
      mov(5, 0),
      mov(6, 0),
      ...four(1),
      alu('add', 5, 0),
      alu('add', 1, { imm: 3 }),
      alu('add', 6, { imm: 1 }),
      branch('lt', 6, { imm: 9 }, 2),
      alu('mov', 0, 5),
      exit,
    ]
    same(ops)
  })

  test('more at a time than there are locals for', () => {
    const ops: Operation[] = []
    // Ten pairs, all of which are combined only at the end of the loads.
    for (let i = 0; i < 4; i++) ops.push(load(1, 2 + i, 1, 2 * i), load(1, 6 + i, 1, 2 * i + 1))
    for (let i = 0; i < 4; i++) ops.push(shl(6 + i, 8), alu('or', 6 + i, 2 + i))
    ops.push(mov(0, 0))
    for (let i = 0; i < 4; i++) ops.push(alu('mul', 0, { imm: 31 }), alu('add', 0, 6 + i))
    same([...ops, exit])
  })

  test('any combination is what the interpreter makes of it', () => {
    const register = fc.integer({ min: 2, max: 5 })
    const step: fc.Arbitrary<Operation> = fc.oneof(
      {
        weight: 5,
        arbitrary: fc
          .tuple(fc.constantFrom(1, 1, 1, 2, 4), register, fc.integer({ min: 0, max: 7 }), fc.boolean())
          .map(([size, dst, off, signed]) => load(size, dst, 1, off, signed && off === 7)),
      },
      {
        weight: 4,
        arbitrary: fc
          .tuple(register, fc.constantFrom(8, 8, 16, 24, 32, 48, 5), fc.boolean())
          .map(([dst, bits, wide]) => shl(dst, wide ? bits : bits & 31, wide)),
      },
      {
        weight: 4,
        arbitrary: fc
          .tuple(fc.constantFrom('or', 'or', 'add', 'mov', 'xor'), register, register, fc.boolean())
          .map(([op, dst, src, wide]) => alu(op as 'or', dst, src, wide)),
      },
      {
        weight: 1,
        arbitrary: fc.tuple(register, fc.integer({ min: 0, max: 7 })).map(([src, off]) => store(1, 1, off, src)),
      },
    )
    fc.assert(
      fc.property(fc.array(step, { minLength: 4, maxLength: 24 }), (steps) => {
        const zero = [2, 3, 4, 5].map((r) => mov(r, r))
        const sum = [3, 4, 5].flatMap((r) => [alu('mul', 2, { imm: 31 }), alu('add', 2, r)])
        same([...zero, ...steps, ...sum, alu('mov', 0, 2), exit])
      }),
      { numRuns: 400 },
    )
  })
})

describe('what nobody reads', () => {
  test('is still checked when it is loaded', () => {
    expect(same([load(4, 2, 1, 0), mov(0, 1), exit], MEMORY_END - 2).trap).toBe(0)
    expect(same([load(4, 2, 1, 0), load(4, 2, 1, 4), mov(0, 1), exit], MEMORY_END - 6).trap).toBe(1)
  })

  test('goes without a trace', () => {
    expect(same([imm64(2, 5n), alu('div', 2, { imm: 0 }), alu('mod', 3, 2), mov(0, 1), exit]).r0).toBe(1n)
  })

  test('is kept for a call', () => {
    const ops = [alu('mov', 6, 1), alu('add', 1, { imm: 3 }), callHelper(200), load(1, 0, 6, 3), exit]
    expect(same(ops).r0).toBe(0xeen)
  })

  test('is kept for the next round of a loop', () => {
    const ops = [
      mov(2, 1),
      mov(3, 0),
      mov(0, 0),
      alu('add', 0, 2),
      alu('mul', 2, { imm: 3 }),
      alu('add', 3, { imm: 1 }),
      branch('lt', 3, { imm: 5 }, 3),
      exit,
    ]
    expect(same(ops).r0).toBe(121n)
  })

  test('is kept for compare-and-exchange', () => {
    const ops: Operation[] = [
      load(4, 0, 1, 0),
      mov(2, 7),
      { kind: 'atomic', op: 'cmpxchg', fetch: true, size: 4, dst: 1, src: 2, off: 0 },
      load(4, 0, 1, 0),
      exit,
    ]
    expect(same(ops).r0).toBe(7n)
  })
})
