import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isBpfError } from '../../../src/bytes/index.ts'
import { slotsAt, type Operation } from '../../../src/isa/index.ts'
import { interpreterEngine } from '../../../src/vm/interpreter/index.ts'
import { jit } from '../../../src/vm/jit/index.ts'
import type { Engine, VmCode } from '../../../src/vm/engine.ts'
import { Outcome as Branch } from '../../../src/vm/facts.ts'
import { alu, assemble, branch, DATA, exit, imm64, load, MEMORY_END, mov, store, TestMachine } from './support.ts'

interface Outcome {
  readonly r0: bigint | null
  readonly trap: number | undefined
  readonly memory: Uint8Array
}

/** Result, instruction of the trap, and the memory of the data, whose words count up at the start. */
function outcome(engine: Engine, code: VmCode, ctx: number): Outcome {
  const machine = new TestMachine()
  for (let at = DATA; at < MEMORY_END; at += 4) machine.view.setUint32(at, at * 2654435761, true)
  let trap: number | undefined
  let r0: bigint | null = null
  try {
    engine.compile(code, machine).run(ctx)
    r0 = machine.reg(0)
  } catch (error) {
    if (!isBpfError(error)) throw error
    expect(error.code).toBe('trap')
    trap = error.where.insn
  }
  return { r0, trap, memory: new Uint8Array(machine.memory.buffer.slice(DATA)) }
}

function same(code: VmCode, ctx: number): Outcome {
  const [one, two] = [jit, interpreterEngine].map((engine) => outcome(engine, code, ctx)) as [Outcome, Outcome]
  expect([one.r0, one.trap]).toEqual([two.r0, two.trap])
  expect(one.memory.findIndex((byte, i) => byte !== two.memory[i])).toBe(-1)
  return one
}

describe('accesses that share a check', () => {
  const loads = [load(4, 2, 1, 0), load(4, 3, 1, 8), load(8, 4, 1, -16), alu('mov', 0, 2), exit]

  test.each([
    ['all good', DATA, undefined],
    ['the last one behind the memory', MEMORY_END - 8, 1],
    ['the first one behind the memory', MEMORY_END, 0],
    ['the lowest one in the guard', 0x10000 + 4, 2],
    ['all in the guard', 0x100, 0],
  ])('%s', (_, ctx, insn) => {
    expect(same(assemble(loads), ctx).trap).toBe(insn)
  })

  test('a write before a bad read is done', () => {
    const ops = [load(4, 2, 1, 0), mov(3, 77), store(4, 1, 4, 3), load(4, 0, 1, 8), exit]
    expect(same(assemble(ops), MEMORY_END - 8).trap).toBe(3)
  })

  test('a write elsewhere before a bad read is done', () => {
    const ops = [imm64(5, BigInt(DATA)), load(4, 2, 1, 0), mov(3, 77), store(4, 5, 4, 3), load(4, 0, 1, 8), exit]
    expect(same(assemble(ops), MEMORY_END - 8).trap).toBe(5)
  })

  test('through copies and sums of the address', () => {
    const ops = [
      alu('mov', 6, 1),
      load(1, 2, 6, 3),
      alu('add', 6, { imm: 100 }),
      alu('mov', 7, 6),
      load(4, 3, 7, -98),
      load(4, 4, 6, 0),
      alu('mov', 0, 4),
      exit,
    ]
    for (const ctx of [DATA, MEMORY_END - 104, MEMORY_END - 103, MEMORY_END - 5, MEMORY_END - 3])
      same(assemble(ops), ctx)
  })

  test('a register that a loop changes is checked in each iteration', () => {
    const ops = [
      load(4, 0, 1, 0),
      load(4, 2, 1, 0),
      alu('add', 0, 2),
      alu('add', 1, { imm: 0x4000 }),
      branch('ne', 0, { imm: 1 }, 1),
      exit,
    ]
    expect(same(assemble(ops), DATA).trap).toBe(1)
  })
})

test('what is proved is not checked', () => {
  const ops = [load(4, 0, 1, 0), exit]
  const facts = { goodAccess: Uint8Array.of(1, 0), reached: Uint8Array.of(1, 1), outcome: new Uint8Array(2) }
  expect(same(assemble(ops, { facts }), DATA).trap).toBe(undefined)
})

test('conditions whose outcome is proved are not looked at', () => {
  const ops = [mov(0, 1), branch('eq', 1, { imm: 0 }, 3), mov(0, 2), exit]
  const zeros = new Uint8Array(4)
  const result = (known: number): bigint | null => {
    const facts = { goodAccess: zeros, reached: Uint8Array.of(1, 1, 1, 1), outcome: Uint8Array.of(0, known, 0, 0) }
    return outcome(jit, assemble(ops, { facts }), DATA).r0
  }
  expect([Branch.OPEN, Branch.NEVER_TAKEN, Branch.ALWAYS_TAKEN].map(result)).toEqual([2n, 2n, 1n])
})

/** Straight and branching code with accesses by a few registers near the ends of the memory. */
const register = fc.integer({ min: 1, max: 4 })
const step: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc
      .tuple(fc.constantFrom(1, 2, 4, 8), register, fc.integer({ min: -24, max: 24 }))
      .map(([size, src, off]) => load(size as 1, 5, src, off)),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.constantFrom(1, 2, 4, 8), register, fc.integer({ min: -24, max: 24 }))
      .map(([size, dst, off]) => store(size as 1, dst, off, 5)),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(register, fc.integer({ min: -40, max: 40 })).map(([r, imm]) => alu('add', r, { imm })),
  },
  { weight: 1, arbitrary: fc.tuple(register, register).map(([a, b]) => alu('mov', a, b)) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(register, fc.integer({ min: 1, max: 6 }))
      .map(([r, skip]) => branch('set', 5, { imm: r }, skip)),
  },
)

test('random accesses behave as in the interpreter', () => {
  const starts = fc.constantFrom(DATA, DATA + 64, MEMORY_END - 8, MEMORY_END - 32, MEMORY_END - 64, 0x8000)
  fc.assert(
    fc.property(fc.array(step, { minLength: 3, maxLength: 40 }), starts, (steps, ctx) => {
      const ops: Operation[] = [mov(5, 0x12345678), alu('mov', 2, 1), alu('mov', 3, 1), alu('mov', 4, 1)]
      const first = ops.length
      const length = first + steps.length
      // Branch targets are distances until here.
      steps.forEach((op, i) =>
        ops.push(op.kind === 'branch' ? { ...op, target: Math.min(length, first + i + 1 + op.target) } : op),
      )
      ops.push(alu('mov', 0, 5), exit)
      const code = assemble(ops)
      expect(slotsAt(code.insns, 0)).toBe(1)
      same(code, ctx)
    }),
    { numRuns: 120 },
  )
})
