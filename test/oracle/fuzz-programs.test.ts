import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { fromHex, isBpfError } from '../../src/bytes/index.ts'
import { assemble } from '../../src/isa/index.ts'
import type { RunInput } from '../../src/loader/index.ts'
import { createVm } from '../../src/vm/index.ts'
import { generateInput, generateProgram, type ProgramKind } from './fuzz-programs-generate.mjs'
import { Side, outcome, prepareInsns } from './fuzz-programs-run.mjs'

interface Recorded {
  readonly seed: number
  readonly results: readonly string[]
  readonly maps: string
}
/** A program that once differed from the kernel, shrunk by fuzz-programs.mjs. */
interface Regression extends Recorded {
  readonly type: ProgramKind
  readonly text: string
  readonly inputs: readonly { readonly data?: string; readonly ctx?: string }[]
}

function readJson(name: string): unknown {
  const url = new URL(name, import.meta.url)
  return existsSync(url) ? JSON.parse(readFileSync(url, 'utf8')) : []
}

/** `node test/oracle/fuzz-programs.mjs --bless` writes what the kernel does with some seeds. */
const golden = readJson('fuzz-programs-golden.json') as readonly Recorded[]
const regressions = readJson('fuzz-programs-regressions.json') as readonly Regression[]

function run(side: Side, type: ProgramKind, text: string, inputs: readonly RunInput[]): Omit<Recorded, 'seed'> {
  const program = side.load(prepareInsns(type, assemble(text)))
  side.reset()
  const results = inputs.map((input) => outcome(program, input))
  program.close()
  return { results, maps: side.contents() }
}

describe.each(['jit', 'interpreter'])('random programs do what they do in the kernel: %s', (engine) => {
  test('recorded seeds', () => {
    const side = new Side(engine, createVm({ verify: false, jit: engine === 'jit' }))
    for (const { seed, results, maps } of golden) {
      const { type, text } = generateProgram(seed)
      const inputs = results.map((_, i) => generateInput(seed, i, type))
      expect(run(side, type, text, inputs), `seed ${seed}`).toEqual({ results, maps })
    }
    side.backend.close()
    expect(golden.length).toBeGreaterThan(30)
  })

  test('programs that once differed', () => {
    const side = new Side(engine, createVm({ verify: false, jit: engine === 'jit' }))
    for (const { seed, type, text, inputs, results, maps } of regressions) {
      const given = inputs.map(({ data, ctx }) => ({
        ...(data === undefined ? {} : { data: fromHex(data) }),
        ...(ctx === undefined ? {} : { ctx: fromHex(ctx) }),
      }))
      expect(run(side, type, text, given), `seed ${seed}`).toEqual({ results, maps })
    }
    side.backend.close()
  })
})

test('both engines agree on programs that nobody has looked at', () => {
  const sides = ['jit', 'interpreter'].map(
    (engine) => new Side(engine, createVm({ verify: false, jit: engine === 'jit' })),
  )
  for (let seed = 1_000_000; seed < 1_000_060; seed++) {
    const { type, text } = generateProgram(seed)
    const inputs = [0, 1, 2].map((i) => generateInput(seed, i, type))
    const [jit, interpreter] = sides.map((side) => run(side, type, text, inputs))
    expect(interpreter, `seed ${seed}`).toEqual(jit)
  }
  for (const side of sides) side.backend.close()
})

test('what the verifier has proved changes no result, and no verified program traps', { timeout: 60_000 }, () => {
  const sides = [true, false].map((verify) => new Side(`verify: ${verify}`, createVm({ verify, jit: true })))
  let compared = 0
  for (let seed = 2_000_000; seed < 2_000_150; seed++) {
    const { type, text } = generateProgram(seed)
    const inputs = [0, 1, 2].map((i) => generateInput(seed, i, type))
    try {
      const [proved, checked] = sides.map((side) => run(side, type, text, inputs))
      expect(proved, `seed ${seed}`).toEqual(checked)
      expect(proved?.results.filter((result) => result.startsWith('trap'))).toEqual([])
      compared++
    } catch (error) {
      // The generator leaves it to the verifier what is safe.
      if (!isBpfError(error) || error.code !== 'verifier') throw error
    }
  }
  for (const side of sides) side.backend.close()
  expect(compared).toBeGreaterThan(75)
})
