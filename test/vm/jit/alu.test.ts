import { describe, expect, test } from 'vitest'
import type { AluOp, Operation } from '../../../src/isa/index.ts'
import { REGS_ADDRESS } from '../../../src/vm/engine.ts'
import { jit } from '../../../src/vm/jit/index.ts'
import { aluModel, branchModel, endianModel } from './model.ts'
import { alu, assemble, branch, DATA, exit, imm64, jump, load, mov, store, TestMachine } from './support.ts'
import { BRANCH_NAMES, EDGES, IMMEDIATES } from './values.ts'

const OPS: readonly AluOp[] = ['add', 'sub', 'mul', 'div', 'sdiv', 'mod', 'smod', 'or', 'and', 'xor']
const SHIFTS: readonly AluOp[] = ['lsh', 'rsh', 'arsh']
const MOVES: readonly AluOp[] = ['mov', 'movsx8', 'movsx16', 'movsx32']

/** Runs code after two loads from the context to r2 and r3, and gives r0, for many pairs of operands. */
function withOperands(body: readonly Operation[]): (a: bigint, b: bigint) => bigint {
  const machine = new TestMachine()
  const compiled = jit.compile(assemble([load(8, 2, 1, 0), load(8, 3, 1, 8), ...body]), machine)
  const { view } = machine
  return (a, b) => {
    view.setBigUint64(DATA, a, true)
    view.setBigUint64(DATA + 8, b, true)
    compiled.run(DATA)
    return view.getBigUint64(REGS_ADDRESS, true)
  }
}

const binary = (instruction: Operation): ((a: bigint, b: bigint) => bigint) =>
  withOperands([instruction, alu('mov', 0, 2), exit])

/** Pairs for which the instruction does not give what the model says. */
function differences(
  instruction: Operation,
  bs: readonly bigint[],
  model: (a: bigint, b: bigint) => bigint,
): readonly { a: bigint; b: bigint; got: bigint; expected: bigint }[] {
  const run = binary(instruction)
  return EDGES.flatMap((a) => bs.map((b) => ({ a, b, got: run(a, b), expected: model(a, b) }))).filter(
    (c) => c.got !== c.expected,
  )
}

describe('arithmetic', () => {
  for (const wide of [true, false]) {
    for (const op of [...OPS, ...SHIFTS, ...MOVES]) {
      if (op === 'movsx32' && !wide) continue
      test(`${op} of ${wide ? 64 : 32} bits by a register`, () => {
        expect(differences(alu(op, 2, 3, wide), EDGES, (a, b) => aluModel(op, wide, a, b))).toEqual([])
        expect(differences(alu(op, 2, 2, wide), [0n], (a) => aluModel(op, wide, a, a))).toEqual([])
      })
      if (op.startsWith('movsx')) continue
      test(`${op} of ${wide ? 64 : 32} bits by a constant`, () => {
        for (const imm of IMMEDIATES) {
          expect(differences(alu(op, 2, { imm }, wide), [0n], (a) => aluModel(op, wide, a, BigInt(imm)))).toEqual([])
        }
      })
    }
    test(`neg of ${wide ? 64 : 32} bits`, () => {
      expect(differences(alu('neg', 2, { imm: 0 }, wide), [0n], (a) => aluModel('neg', wide, a, 0n))).toEqual([])
    })
  }

  for (const op of ['le', 'be', 'bswap'] as const) {
    for (const bits of [16, 32, 64] as const) {
      test(`${op}${bits}`, () => {
        expect(differences({ kind: 'endian', op, bits, dst: 2 }, [0n], (a) => endianModel(op, bits, a))).toEqual([])
      })
    }
  }

  test('address space casts keep the low half', () => {
    for (const [from, to] of [
      [0, 1],
      [1, 0],
    ] as const) {
      const run = binary({ kind: 'addrSpaceCast', dst: 2, src: 3, from, to })
      for (const b of EDGES) expect(run(0n, b)).toBe(BigInt.asUintN(32, b))
    }
  })

  test('64-bit immediates', () => {
    const machine = new TestMachine()
    for (const value of EDGES) {
      jit.compile(assemble([imm64(0, value), exit]), machine).run(0)
      expect(machine.reg(0)).toBe(value)
    }
  })

  test('every register is one of its own', () => {
    const machine = new TestMachine()
    const registers = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    const code = assemble([
      ...registers.map((r) => mov(r, 100 + r)),
      ...registers.map((r) => store(8, 10, -8 * (r + 1), r)),
      ...registers.flatMap((r) => (r === 0 ? [] : [load(8, r, 10, -8 * (r + 1)), alu('add', 0, r)])),
      exit,
    ])
    jit.compile(code, machine).run(0)
    expect(machine.reg(0)).toBe(BigInt(registers.reduce((sum, r) => sum + 100 + r, 0)))
  })
})

describe('branches', () => {
  /** 1 when taken; slot 2 is the first. Both arms in place, then a target and a fall-through where paths join. */
  const shapes: readonly ((b: (target: number) => Operation) => Operation[])[] = [
    (b) => [b(5), mov(0, 0), exit, mov(0, 1), exit],
    (b) => [mov(0, 1), b(5), mov(0, 0), exit],
    (b) => [mov(0, 0), b(5), exit, mov(0, 1), jump(4)],
  ]
  for (const wide of [true, false]) {
    for (const op of BRANCH_NAMES) {
      test(`${op} of ${wide ? 64 : 32} bits`, () => {
        const wrong: unknown[] = []
        for (const shape of shapes) {
          const run = withOperands(shape((target) => branch(op, 2, 3, target, wide)))
          for (const a of EDGES) {
            for (const b of EDGES) if (run(a, b) !== (branchModel(op, wide, a, b) ? 1n : 0n)) wrong.push([a, b])
          }
          for (const imm of IMMEDIATES) {
            const runImm = withOperands(shape((target) => branch(op, 2, { imm }, target, wide)))
            for (const a of EDGES) {
              if (runImm(a, 0n) !== (branchModel(op, wide, a, BigInt(imm)) ? 1n : 0n)) wrong.push([a, imm])
            }
          }
        }
        expect(wrong).toEqual([])
      })
    }
  }
})
