import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { buildCfg, type Operation } from '../../../src/isa/index.ts'
import { findIndirectJumps, type JumpTable } from '../../../src/vm/indirect.ts'
import { interpreterEngine } from '../../../src/vm/interpreter/index.ts'
import { jit, quickJit, translate } from '../../../src/vm/jit/index.ts'
import type { VmCode } from '../../../src/vm/engine.ts'
import { thrown } from '../../support/thrown.ts'
import { alu, assemble, branch, DATA, exit, imm64, jump, load, mov, TestMachine } from './support.ts'

const gotox = (dst: number): Operation => ({ kind: 'gotox', dst })
const CODE = 0xffffffff_00000000n

/** A program and where its jumps lead, by tables that slots load. */
function programOf(ops: readonly Operation[], tables: readonly JumpTable[], starts: number[] = [0]): VmCode {
  const code = assemble(ops, { starts })
  return { ...code, jumps: findIndirectJumps(code.insns, starts, tables) }
}

type Outcome = { r0: bigint } | { code: string; insn: number | undefined; message: string }

function outcomeOf(engine: typeof jit, code: VmCode, ctx: number, prepare: (machine: TestMachine) => void): Outcome {
  const machine = new TestMachine(10_000)
  prepare(machine)
  const compiled = engine.compile(code, machine)
  try {
    compiled.run(ctx)
    return { r0: machine.reg(0) }
  } catch {
    const error = thrown(() => compiled.run(ctx))
    // Engines count rounds of loops at different places.
    const insn = error.message.startsWith('no end') ? undefined : error.where.insn
    return { code: error.code, insn, message: error.message }
  }
}

/** What all engines say, which is the same. */
function run(code: VmCode, ctx: number = 0, prepare: (machine: TestMachine) => void = () => {}): Outcome {
  const outcomes = [interpreterEngine, jit, quickJit].map((engine) => outcomeOf(engine, code, ctx, prepare))
  expect(outcomes[1]).toEqual(outcomes[0])
  expect(outcomes[2]).toEqual(outcomes[0])
  return outcomes[0] as Outcome
}

/** Jumps to the value in memory; the cases give 10, 20, 30. */
const TO_VALUE: readonly Operation[] = [
  imm64(2, BigInt(DATA)),
  load(8, 2, 2, 0),
  gotox(2),
  mov(0, 10),
  exit,
  mov(0, 20),
  exit,
  mov(0, 30),
  exit,
]
const CASES = [4, 6, 8]

describe('an indirect jump', () => {
  const code = programOf(TO_VALUE, [{ insn: 0, targets: CASES }])
  const to = (value: bigint, program: VmCode = code): Outcome =>
    run(program, 0, (machine) => machine.view.setBigUint64(DATA, value, true))

  test('goes where the value says', () => {
    expect([0n, 1n, 2n].map((number) => to(CODE + number))).toEqual([{ r0: 10n }, { r0: 20n }, { r0: 30n }])
  })

  test.each([
    0n,
    4n,
    2n << 32n,
    CODE - 1n,
    CODE + 3n,
    CODE + 0x80000000n,
    CODE + 0xffffffffn,
    CODE ^ (1n << 63n),
    CODE ^ (1n << 32n),
  ])('to 0x%s, which is no instruction, stops the program', (value) => {
    const message = `r2 is 0x${value.toString(16)}, which is no target of this indirect jump (gotox)`
    expect(to(value)).toEqual({ code: 'trap', insn: 3, message })
  })

  test('does not go to targets of other tables', () => {
    const two = programOf(TO_VALUE, [
      { insn: 0, targets: [4, 8] },
      { insn: 99, targets: [6] },
    ])
    expect([0n, 2n].map((number) => to(CODE + number, two))).toEqual([{ r0: 10n }, { r0: 30n }])
    expect(to(CODE + 1n, two)).toMatchObject({ code: 'trap', insn: 3 })
  })

  test('leads nowhere in a program without tables', () => {
    expect(to(CODE, programOf(TO_VALUE, []))).toMatchObject({ code: 'trap', insn: 3 })
    const { jumps: _, ...bare } = code
    expect(to(CODE, bare)).toMatchObject({ code: 'trap', insn: 3 })
  })

  test('leads to targets in its own function only', () => {
    const ops: Operation[] = [
      imm64(1, CODE),
      { kind: 'call', call: 'local', imm: 0, off: 0, target: 6 },
      exit,
      mov(0, 1),
      exit,
      // The function.
      gotox(1),
      mov(0, 2),
      exit,
    ]
    const inside = run(programOf(ops, [{ insn: 0, targets: [7] }], [0, 6]))
    const outside = run(programOf(ops, [{ insn: 0, targets: [4, 7] }], [0, 6]))
    expect([inside, outside]).toEqual([{ r0: 2n }, expect.objectContaining({ code: 'trap', insn: 6 })])
  })

  test('back uses fuel up', () => {
    const ops = [imm64(2, CODE), alu('add', 0, { imm: 1 }), gotox(2), exit]
    expect(run(programOf(ops, [{ insn: 0, targets: [2] }]))).toMatchObject({
      message: expect.stringMatching(/no end after/),
    })
  })
})

const BLOCK = 12

/** Blocks that mix their number into r0 and go on by a bit of it: to one of two blocks, or to one of their table's. */
function randomGraph(blocks: readonly { readonly to: readonly number[]; readonly known: boolean }[]): VmCode {
  const n = blocks.length
  const start = (block: number): number => 2 + (block % n) * BLOCK
  const tables: JumpTable[] = []
  const ops: Operation[] = [mov(7, 50), alu('mov', 0, 1)]
  blocks.forEach(({ to, known }, i) => {
    const at = start(i)
    ops.push(
      alu('sub', 7, { imm: 1 }),
      branch('ne', 7, { imm: 0 }, at + 3),
      exit,
      alu('mul', 0, { imm: 0x5bd1e995 }),
      alu('xor', 0, { imm: 7919 * (i + 1) }),
    )
    if (to.length <= 2) {
      ops.push(branch('set', 0, { imm: 1 << (8 + (i % 16)) }, start(to[0] ?? 0)), jump(start(to[1] ?? 0)))
      for (let slot = at + 7; slot < at + BLOCK; slot++) ops.push(exit)
      return
    }
    tables.push({ insn: known ? at + 5 : -1, targets: to.map((b) => start(b)) })
    ops.push(imm64(2, BigInt(DATA)), alu('mov', 3, 0))
    ops.push(alu('and', 3, { imm: 8 }), alu('add', 2, 3), load(8, 2, 2, 0), gotox(2))
  })
  return programOf(ops, tables)
}

describe('graphs with indirect jumps', () => {
  test('run the same in interpreter and JIT, reducible and not', () => {
    let irreducible = 0
    const block = fc.record({ to: fc.array(fc.nat(15), { minLength: 1, maxLength: 6 }), known: fc.boolean() })
    fc.assert(
      fc.property(fc.array(block, { minLength: 1, maxLength: 12 }), fc.nat(12), fc.nat(12), (blocks, first, second) => {
        const code = randomGraph(blocks)
        const { length } = code.insns
        if (!buildCfg(code.insns, 0, length, (at) => code.jumps?.get(at)?.targets ?? []).reducible) irreducible++
        expect(WebAssembly.validate(translate(code, new TestMachine()))).toBe(true)
        for (const ctx of [1, 0xffffffff]) {
          run(code, ctx, ({ view }) => {
            view.setBigUint64(DATA, CODE + BigInt(first), true)
            view.setBigUint64(DATA + 8, CODE + BigInt(second), true)
          })
        }
      }),
      { numRuns: 100 },
    )
    expect(irreducible).toBeGreaterThan(20)
  })

  test('with too many targets are left to the interpreter', () => {
    const ops: Operation[] = [mov(0, 7), exit]
    const targets: number[] = []
    for (let i = 0; i < 1100; i++) {
      targets.push(ops.length)
      ops.push(gotox(2))
    }
    ops.push(exit)
    const code = programOf(ops, [{ insn: -1, targets }])
    expect(thrown(() => jit.compile(code, new TestMachine())).code).toBe('limit')
    expect(outcomeOf(interpreterEngine, code, 0, () => {})).toEqual({ r0: 7n })
  })
})
