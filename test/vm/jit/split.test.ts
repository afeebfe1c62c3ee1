import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { assemble as assembleText, buildCfg, type Cfg } from '../../../src/isa/index.ts'
import type { BackendProgram, Instrument } from '../../../src/loader/index.ts'
import { createVm } from '../../../src/vm/index.ts'
import { jitWith } from '../../../src/vm/jit/index.ts'
import { splitFunction, type Split, type SplitLimits } from '../../../src/vm/jit/split.ts'
import { Side, outcome, prepareInsns } from '../../oracle/fuzz-programs-run.mjs'
import { largeProgram } from './large-programs.ts'
import { randomGraph } from './random-graph.ts'
import { interpret } from './interpret.ts'
import { alu, assemble, branch, exit, jump, mov, TestMachine } from './support.ts'

const SMALL: SplitLimits = { whole: 16, part: 16, loop: 24 }
const graph = fc.array(fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: -3, max: 9 })), {
  minLength: 3,
  maxLength: 80,
})
const graphOf = (steps: readonly (readonly [number, number])[]): ReturnType<typeof randomGraph> => {
  const to = (i: number, by: number): number => Math.min(steps.length - 1, Math.max(0, i + by))
  return randomGraph(steps.map(([a, b], i) => [to(i, a), to(i, b)]))
}

/** Loops of which a part has some of the blocks only. */
function cutLoops(cfg: Cfg, { partOf }: Split): number[] {
  const cut = new Set<number>()
  for (const b of cfg.reversePostorder) {
    for (let loop = cfg.loopOf[b] as number; loop !== -1; loop = cfg.outerLoop[loop] as number) {
      if (partOf[b] !== partOf[loop]) cut.add(loop)
    }
  }
  return [...cut]
}

describe('where functions are cut', () => {
  test('every reachable block is in one part; small loops are not cut', () => {
    let splits = 0
    let cuts = 0
    fc.assert(
      fc.property(graph, (steps) => {
        const { insns } = assemble(graphOf(steps))
        const cfg = buildCfg(insns, 0, insns.length)
        const split = splitFunction(cfg, SMALL)
        if (split === null) return
        splits++
        const placed = split.parts.flatMap(({ blocks }) => blocks)
        expect([...placed].sort((a, b) => a - b)).toEqual([...cfg.reversePostorder].sort((a, b) => a - b))
        expect(split.parts[0]?.entries[0]).toBe(0)
        const cut = cutLoops(cfg, split)
        cuts += cut.length
        for (const loop of cut) {
          let size = 0
          for (const b of cfg.reversePostorder) {
            let inner = cfg.loopOf[b] as number
            while (inner !== -1 && inner !== loop) inner = cfg.outerLoop[inner] as number
            const block = cfg.blocks[b]
            if (inner === loop && block) size += block.end - block.start
          }
          expect(size).toBeGreaterThan(SMALL.loop)
        }
      }),
      { numRuns: 300 },
    )
    expect(splits).toBeGreaterThan(50)
    expect(cuts).toBeGreaterThan(5)
  })

  test('ordinary functions stay whole', () => {
    const cfgOf = (length: number): Cfg => {
      const ops = Array.from({ length }, (_, i) => branch('eq', 1, { imm: i }, i + 1))
      const { insns } = assemble([mov(0, 0), ...ops.slice(1), exit])
      return buildCfg(insns, 0, insns.length)
    }
    expect(splitFunction(cfgOf(7999))).toBe(null)
    expect(splitFunction(cfgOf(20_000))?.parts.length).toBe(7)
  })
})

describe.each([true, false])('parts of functions, optimised: %s', (optimize) => {
  const engine = jitWith({ optimize, limits: SMALL })

  test('random graphs', () => {
    fc.assert(
      fc.property(graph, (steps) => {
        const code = assemble(graphOf(steps))
        const machine = new TestMachine()
        const compiled = engine.compile(code, machine)
        for (const input of [0n, 1n, 5n, 123456789n, 0xffffffffn]) {
          compiled.run(Number(input))
          expect(machine.reg(0)).toBe(interpret(code, input, 1e6))
        }
      }),
      { numRuns: 300 },
    )
  })

  test('a loop through several parts runs out of fuel', () => {
    const loop = Array.from({ length: 100 }, (_, i) =>
      i % 2 === 0 ? branch('eq', 1, { imm: i }, i + 2) : alu('add', 0, { imm: i }),
    )
    const code = assemble([mov(0, 0), ...loop, jump(1), exit])
    expect(splitFunction(buildCfg(code.insns, 0, code.insns.length), SMALL)?.parts.length).toBeGreaterThan(2)
    expect(() => engine.compile(code, new TestMachine(1000)).run(7)).toThrow('no end after 1000 loop iterations')
  })
})

const ENGINES = [true, 'quick', false] as const
const INPUTS = [1, 2, 3].map((seed) => ({
  data: Uint8Array.from({ length: 64 }, (_, i) => (i * 37 + seed * 101) & 0xff),
}))

/** What a program does in each of the engines; the last one is the interpreter. */
function results(text: string, instrument: Instrument | null): string[] {
  return ENGINES.map((jit) => {
    const side = new Side(`${jit}`, createVm({ verify: false, jit }))
    const prepared = prepareInsns('xdp', assembleText(text))
    const request = {
      program: prepared,
      license: 'GPL',
      version: 0,
      btf: null,
      maps: side.maps,
      bindMaps: [],
      logLevel: 0,
    }
    const program: BackendProgram = side.backend.loadProgram(instrument === null ? request : { ...request, instrument })
    side.reset()
    const outcomes = INPUTS.map((input) => outcome(program, input))
    const hits = program.hits?.()
    const all = [...outcomes, side.contents(), hits ? hits.join() : '']
    side.backend.close()
    return all.join('\n')
  })
}

describe('large programs do in the JIT what they do in the interpreter', () => {
  test.each([
    [1, 15_000, false],
    [2, 30_000, false],
    [3, 15_000, true],
    [4, 40_000, true],
  ] as const)('seed %i: %i instructions', (seed, size, around) => {
    const [jit, quick, interpreter] = results(largeProgram(seed, size, around), null)
    expect(jit).toBe(interpreter)
    expect(quick).toBe(interpreter)
  })

  test.each(['coverage', 'count', 'fuel'] as const)('with instrument %s', (instrument) => {
    const [jit, quick, interpreter] = results(largeProgram(5, 14_000, true), instrument)
    expect(jit).toBe(interpreter)
    expect(quick).toBe(interpreter)
    if (instrument !== 'count') return
    const hits = jit?.split('\n').at(-1)?.split(',').map(Number) ?? []
    expect(hits.filter((n) => n > 0).length).toBeGreaterThan(8000)
  })

  test('a trap in any part has its instruction', () => {
    const lines = largeProgram(6, 14_000, false).split('\n')
    for (const share of [0.1, 0.3, 0.5]) {
      const at = lines.findIndex((line, i) => i > lines.length * share && line.startsWith('if '))
      const text = [...lines.slice(0, at), 'r5 = -1', 'r0 = *(u64 *)(r5 + 0)', ...lines.slice(at)].join('\n')
      const [jit, quick, interpreter] = results(text, null)
      expect(interpreter).toContain('trap')
      expect(jit).toBe(interpreter)
      expect(quick).toBe(interpreter)
    }
  })
})
