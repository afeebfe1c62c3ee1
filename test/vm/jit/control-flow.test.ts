import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { buildCfg, type Operation } from '../../../src/isa/index.ts'
import { jit, translate } from '../../../src/vm/jit/index.ts'
import { interpret } from './interpret.ts'
import { randomGraph } from './random-graph.ts'
import { alu, assemble, branch, exit, jump, mov, TestMachine } from './support.ts'

function expectSame(ops: readonly Operation[], inputs: readonly bigint[]): void {
  const code = assemble(ops)
  const machine = new TestMachine()
  expect(WebAssembly.validate(translate(code, machine))).toBe(true)
  const compiled = jit.compile(code, machine)
  // r1 is 32 bits at the start of a run.
  for (const input of inputs) {
    compiled.run(Number(input))
    expect(machine.reg(0)).toBe(interpret(code, input, 1e6))
  }
}

const isReducible = (ops: readonly Operation[]): boolean => buildCfg(assemble(ops).insns, 0, ops.length).reducible
const INPUTS = [0n, 1n, 2n, 3n, 5n, 77n, 123456789n, 0xffffffffn]

describe('control flow', () => {
  test('random graphs, reducible and not', () => {
    let reducible = 0
    let irreducible = 0
    const edge = fc.tuple(fc.nat(63), fc.nat(63))
    fc.assert(
      fc.property(fc.array(edge, { minLength: 1, maxLength: 24 }), (edges) => {
        const ops = randomGraph(edges)
        if (isReducible(ops)) reducible++
        else irreducible++
        expectSame(ops, INPUTS)
      }),
      { numRuns: 400 },
    )
    expect(irreducible).toBeGreaterThan(50)
    expect(reducible).toBeGreaterThan(20)
  })

  test('random graphs whose jumps are short or go forward', () => {
    const step = fc.oneof(fc.integer({ min: 1, max: 6 }), fc.integer({ min: -3, max: 8 }))
    fc.assert(
      fc.property(fc.array(fc.tuple(step, step), { minLength: 1, maxLength: 60 }), (steps) => {
        const n = steps.length
        const to = (i: number, by: number): number => Math.min(n - 1, Math.max(0, i + by))
        expectSame(randomGraph(steps.map(([a, b], i) => [to(i, a), to(i, b)])), INPUTS)
      }),
      { numRuns: 300 },
    )
  })

  test('a jump into a loop', () => {
    const ops = [
      mov(0, 0),
      alu('mov', 6, 1),
      branch('set', 1, { imm: 1 }, 5),
      // Top of the loop.
      alu('add', 0, { imm: 100 }),
      alu('xor', 0, { imm: 3 }),
      // Where odd numbers enter.
      alu('add', 0, { imm: 1 }),
      alu('rsh', 6, { imm: 1 }),
      branch('ne', 6, { imm: 0 }, 3),
      exit,
    ]
    expect(isReducible(ops)).toBe(false)
    expectSame(ops, INPUTS)
  })

  test("Duff's device", () => {
    // switch (n & 3) into the middle of a loop of four steps.
    const ops = [
      mov(0, 0),
      alu('mov', 6, 1),
      alu('and', 6, { imm: 0xff }),
      alu('mov', 7, 6),
      alu('and', 7, { imm: 3 }),
      alu('add', 6, { imm: 4 }),
      branch('eq', 7, { imm: 1 }, 13),
      branch('eq', 7, { imm: 2 }, 12),
      branch('eq', 7, { imm: 3 }, 11),
      jump(10),
      alu('add', 0, { imm: 1 }),
      alu('mul', 0, { imm: 3 }),
      alu('add', 0, { imm: 5 }),
      alu('xor', 0, { imm: 9 }),
      alu('sub', 6, { imm: 4 }),
      branch('sgt', 6, { imm: 0 }, 10),
      exit,
    ]
    expect(isReducible(ops)).toBe(false)
    expectSame(ops, [...INPUTS, ...Array.from({ length: 20 }, (_, i) => BigInt(i))])
  })

  test('an irreducible loop inside an irreducible loop, entered at its first block', () => {
    // Block 0 is itself an entry of the outer cycle.
    expectSame(
      randomGraph([
        [1, 2],
        [2, 3],
        [1, 4],
        [4, 5],
        [3, 0],
        [2, 1],
      ]),
      INPUTS,
    )
  })

  test('loops in loops', () => {
    const depth = 6
    const ops: Operation[] = [mov(0, 0)]
    const tops: number[] = []
    // Counters live in r0's bits no longer: r2 to r7 count, each loop runs three times.
    for (let i = 0; i < depth; i++) {
      ops.push(mov(2 + i, 0))
      tops.push(ops.length)
    }
    ops.push(alu('add', 0, { imm: 1 }))
    for (let i = depth - 1; i >= 0; i--) {
      ops.push(alu('add', 2 + i, { imm: 1 }), branch('lt', 2 + i, { imm: 3 }, tops[i] as number))
    }
    ops.push(exit)
    expectSame(ops, [0n])
  })

  test('a branch to the next instruction', () => {
    expectSame([mov(0, 1), branch('eq', 0, { imm: 1 }, 2), alu('add', 0, { imm: 1 }), exit], [0n])
  })

  test('code that nothing reaches', () => {
    expectSame([mov(0, 1), jump(4), mov(0, 2), jump(2), exit], [0n])
  })
})

describe('large functions', () => {
  const N = 100_000

  /** Milliseconds to compile, and the result for r1 = 0. */
  function timed(ops: readonly Operation[]): { result: bigint; ms: number } {
    const code = assemble(ops)
    const machine = new TestMachine()
    const begin = performance.now()
    const compiled = jit.compile(code, machine)
    const ms = performance.now() - begin
    compiled.run(0)
    return { result: machine.reg(0), ms }
  }

  const ladder = (
    n: number,
    step: (i: number, end: number) => Operation[],
    tail: Operation[] = [exit],
  ): Operation[] => {
    const size = step(0, 0).length
    const end = 2 + n * size
    const ops = [mov(0, 0), mov(6, 1)]
    for (let i = 0; i < n; i++) ops.push(...step(i, end))
    return [...ops, ...tail]
  }

  test('100,000 instructions in a line', () => {
    const { result } = timed(ladder(N, () => [alu('add', 0, { imm: 1 })]))
    expect(result).toBe(BigInt(N))
  })

  test('diamonds one after another', () => {
    const diamond = (i: number): Operation[] => {
      const at = 2 + i * 4
      return [
        branch('eq', 6, { imm: i & 1 }, at + 3),
        alu('add', 0, { imm: 1 }),
        jump(at + 4),
        alu('add', 0, { imm: 2 }),
      ]
    }
    expect(timed(ladder(N / 4, diamond)).result).toBe(BigInt((N / 4 / 2) * 3))
  })

  test('blocks that joins follow, 100,000 instructions', () => {
    const skip = (i: number): Operation[] => [branch('eq', 6, { imm: i & 1 }, 2 + i * 2 + 2), alu('add', 0, { imm: 1 })]
    expect(timed(ladder(N / 2, skip)).result).toBe(BigInt(N / 4))
  })

  test('small loops one after another', () => {
    const loop = (i: number): Operation[] => {
      const at = 2 + i * 4
      return [mov(7, 0), alu('add', 0, { imm: 1 }), alu('add', 7, { imm: 1 }), branch('lt', 7, { imm: 3 }, at + 1)]
    }
    expect(timed(ladder(N / 4, loop)).result).toBe(BigInt((N / 4) * 3))
  })

  test('a chain of exits: jumps as far as 16 bits reach', () => {
    // Every block may leave to the one before last, a tree as deep as the function is long.
    const n = 30_000
    const step = (_: number, end: number): Operation[] => [branch('eq', 6, { imm: 5 }, end)]
    expect(timed(ladder(n, step, [alu('add', 0, { imm: 3 }), exit])).result).toBe(3n)
  })

  test('many joins under one block', () => {
    // A compare chain to 8,000 cases, each reached twice.
    const cases = 8000
    const first = 2 + cases * 2 + 1
    const ops: Operation[] = [mov(0, 0), mov(6, 7777)]
    for (let i = 0; i < cases; i++) {
      ops.push(branch('eq', 6, { imm: i }, first + i * 2), branch('eq', 6, { imm: i + cases }, first + i * 2))
    }
    ops.push(exit)
    for (let i = 0; i < cases; i++) ops.push(mov(0, i), exit)
    expect(timed(ops).result).toBe(7777n)
  })

  test('an irreducible function of 56,000 instructions', () => {
    const blocks = 7000
    const clamp = (block: number): number => Math.min(blocks - 1, Math.max(0, block))
    const near = (_: unknown, i: number): [number, number] => [clamp(i + ((i * 7) % 900) - 400), clamp(i + 1)]
    const ops = randomGraph(Array.from({ length: blocks }, near))
    expect(isReducible(ops)).toBe(false)
    expectSame(ops, [0n, 1n])
  })
})
