import { expect, test } from 'vitest'
import { isBpfError } from '../../../src/bytes/index.ts'
import type { Operation } from '../../../src/isa/index.ts'
import type { LineRecord } from '../../../src/loader/index.ts'
import { interpreterEngine } from '../../../src/vm/interpreter/index.ts'
import { jit, jitWith, quickJit } from '../../../src/vm/jit/index.ts'
import { alu, assemble, branch, exit, load, MEMORY_END, mov, store, TestMachine } from './support.ts'

/** A program that runs over the end of the memory, and the instruction that does. */
type Shape = readonly [name: string, ops: readonly Operation[], ctx: number, insn: number]

const shl = (register: number, bits: number): Operation => alu('lsh', register, { imm: bits })

const SHAPES: readonly Shape[] = [
  ['a load', [load(8, 0, 1, 0), exit], MEMORY_END - 4, 0],
  ['a store', [mov(0, 0), store(8, 1, 0, 0), exit], MEMORY_END - 4, 1],
  ['one of several that share a check', [load(4, 2, 1, 0), load(4, 0, 1, 8), exit], MEMORY_END - 4, 1],
  [
    'one of the bytes that are loaded at once',
    [load(1, 2, 1, 0), load(1, 0, 1, 1), shl(0, 8), alu('or', 0, 2), exit],
    MEMORY_END - 1,
    1,
  ],
  ['a load that nobody reads', [mov(0, 0), load(4, 2, 1, 0), load(4, 2, 1, 4), mov(2, 0), exit], MEMORY_END - 4, 2],
  [
    'a load through a value of 32 bits',
    [alu('mov', 2, 1, false), alu('add', 2, { imm: 4 }, false), mov(0, 0), load(4, 0, 2, 0), exit],
    MEMORY_END - 4,
    3,
  ],
  [
    'between parts of the frame in locals',
    [mov(0, 1), store(8, 10, -8, 0), load(8, 2, 1, 0), load(8, 0, 10, -8), exit],
    MEMORY_END,
    2,
  ],
  [
    'in a later round of a loop',
    [
      mov(2, 0),
      load(4, 0, 1, 0),
      alu('add', 1, { imm: 4 }),
      alu('add', 2, { imm: 1 }),
      branch('lt', 2, { imm: 9 }, 1),
      exit,
    ],
    MEMORY_END - 16,
    1,
  ],
  [
    'on one side of a branch',
    [mov(2, 1), branch('eq', 2, { imm: 0 }, 4), load(4, 0, 1, 0), exit, load(8, 0, 1, 0), exit],
    MEMORY_END,
    2,
  ],
  [
    'an atomic operation',
    [mov(0, 1), { kind: 'atomic', op: 'add', fetch: true, size: 8, dst: 1, src: 0, off: 0 }, exit],
    MEMORY_END - 7,
    1,
  ],
]

test.each(SHAPES)('%s: the trap has its instruction and C line', (_, ops, ctx, insn) => {
  const lines = ops.map((_, at): LineRecord => ({
    insn: at,
    file: 'a.c',
    line: 10 + at,
    column: 1,
    fileOffset: 0,
    textOffset: 0,
    text: `\tline ${at};`,
  }))
  const inParts = jitWith({ optimize: true, limits: { whole: 2, part: 2, loop: 2 } })
  const where = [interpreterEngine, quickJit, jit, inParts].map((engine) => {
    try {
      engine.compile(assemble(ops, { lines }), new TestMachine()).run(ctx)
    } catch (error) {
      if (isBpfError(error)) return [error.code, error.where.program, error.where.insn, error.where.sourceLine]
      throw error
    }
    return null
  })
  const expected = ['trap', 'test', insn, `a.c:${10 + insn}: line ${insn};`]
  expect(where).toEqual([expected, expected, expected, expected])
})
