import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { assemble } from '../../src/isa/index.ts'
import { createVm } from '../../src/vm/index.ts'
import { runJumps } from './indirect-jumps-run.mjs'
import { insnArrayOutcomes } from './insn-array-cases.mjs'

/** Recorded by test/oracle/indirect-jumps.mjs. */
const golden = JSON.parse(readFileSync(new URL('indirect-jumps-golden.json', import.meta.url), 'utf8')) as {
  readonly kernel: string
  readonly arrays: Readonly<Record<string, unknown>>
  readonly programs: Readonly<Record<string, readonly number[]>>
}

const ENGINES = [
  { engine: 'jit', jit: true },
  { engine: 'quick JIT', jit: 'quick' },
  { engine: 'interpreter', jit: false },
] as const

describe.each(ENGINES)(`indirect jumps in the $engine, as in Linux ${golden.kernel}`, ({ jit }) => {
  test('programs with jump tables return the same', () => {
    const vm = createVm({ verify: false, jit, linux: '6.19' })
    for (const [seed, expected] of Object.entries(golden.programs)) {
      expect(runJumps(Number(seed), vm, assemble), `program ${seed}`).toEqual(expected)
    }
  })

  test.each(['coverage', 'count', 'fuel', 'trace'] as const)('and so they do with instruments: %s', (instrument) => {
    const vm = createVm({ verify: false, jit, linux: '6.19' })
    for (const [seed, expected] of Object.entries(golden.programs).slice(0, 60)) {
      expect(runJumps(Number(seed), vm, assemble, { instrument }), `program ${seed}`).toEqual(expected)
    }
  })

  test('arrays of instructions say the same to user space and to programs', () => {
    const outcomes = insnArrayOutcomes(createVm({ verify: false, jit, linux: '6.19' }), assemble)
    // Without a verifier nothing refuses a bad program.
    expect(outcomes).toEqual({ ...golden.arrays, 'program that is refused': 'ok' })
  })
})
