import { describe, expect, test } from 'vitest'
import type { Coverage, Instrument } from '../../../src/loader/index.ts'
import { load, openObject } from '../../../src/loader/index.ts'
import { ProgType } from '../../../src/uapi/index.ts'
import { createVm } from '../../../src/vm/index.ts'
import { loadFixture } from '../../support/fixture.ts'
import { thrown } from '../../support/thrown.ts'
import { frame, loadRuns } from './support.ts'

const ENGINES = [
  ['jit', true],
  ['quick jit', 'quick'],
  ['interpreter', false],
] as const

/** Hits of the line that has this text. */
function hits(coverage: Coverage, text: string): number[] {
  return coverage.lines.filter((line) => line.text.includes(text)).map((line) => line.hits)
}

describe.each(ENGINES)('instruments in the %s', (_name, jit) => {
  const runs = (instrument: Instrument): ReturnType<typeof loadRuns> => loadRuns({ jit }, { instrument })

  test('coverage tells which lines ran', async () => {
    const { programs } = await runs('coverage')
    const program = programs['branches']!
    expect(program.coverage().covered).toBe(0)
    program.run({ data: frame([0]) })
    expect(hits(program.coverage(), 'bpf_map_lookup_elem(&counters')).toEqual([0])
    expect(hits(program.coverage(), 'if (data[0] == 1)')).toEqual([1])
    expect(hits(program.coverage(), '*sum += index;')).toEqual([0])
    program.run({ data: frame([1]) })
    expect(hits(program.coverage(), '*sum += index;')).toEqual([1])
    const before = program.coverage().covered
    program.run({ data: frame([0], 200) })
    expect(hits(program.coverage(), 'bpf_map_lookup_elem(&counters')).toEqual([1])
    expect(program.coverage().covered).toBeGreaterThan(before)
    program.resetInstruments()
    expect(program.coverage().covered).toBe(0)
  })

  test('count tells how often, in callbacks and functions too', async () => {
    const { programs } = await runs('count')
    const program = programs['branches']!
    program.runBatch([frame([0]), frame([1]), frame([1])], { repeat: 5 })
    const coverage = program.coverage()
    expect(hits(coverage, '*sum += index;')).toEqual([50])
    expect(hits(coverage, 'if (index == 5)')).toEqual([60])
    expect(hits(coverage, 'if (length > 100)')).toEqual([15])
    expect(coverage.hits[0]).toBe(15)
  })

  test('what comes after a tail call only counts when it did not lead anywhere', async () => {
    const loaded = await runs('count')
    const run = (first: number): number => loaded.programs['chain']!.run({ data: frame([first]) }).retval
    expect([run(1), run(1), run(3), run(0)]).toEqual([7, 7, 2, 2])
    const chain = loaded.programs['chain']!
    const at = chain.prepared.insns.imm.findIndex((imm, i) => imm === 12 && chain.prepared.insns.code[i] === 0x85)
    const counts = chain.coverage().hits
    expect([counts[0], counts[at], counts[at + 1]]).toEqual([4, 3, 1])
    // The object's lines are those of all of its programs.
    expect(hits(loaded.coverage(), 'return 7;')).toEqual([2])
    expect(hits(loaded.coverage(), 'bpf_tail_call(ctx')).toEqual([3])
  })

  test('timers count where their callback lies', async () => {
    let now = 0n
    const loaded = await loadRuns({ jit, clock: () => now }, { instrument: 'count' })
    loaded.programs['arm']!.run({ data: frame([0]) })
    now = 10_000n
    loaded.maps['timers']!.get(0)
    expect(hits(loaded.coverage(), 'value->fired++;').reduce((a, b) => a + b)).toBeGreaterThanOrEqual(1)
  })

  test('a budget of instructions', async () => {
    const { programs } = await runs('fuel')
    const program = programs['spin']!
    const cost = (rounds: number): number =>
      program.run({ data: frame([rounds >> 8, rounds & 0xff]), budget: 1_000_000 }).instructions ?? 0
    const none = cost(0)
    const one = cost(1)
    const many = cost(1000)
    expect(none).toBeGreaterThan(0)
    const round = (many - one) / 999
    expect(round).toBeGreaterThanOrEqual(3)
    expect(round).toBeLessThan(15)
    const data = frame([1000 >> 8, 1000 & 0xff])
    expect(program.run({ data, budget: many }).retval).toBe(program.run({ data }).retval)
    const error = thrown(() => program.run({ data, budget: many - 1 }))
    expect([error.code, error.where.program]).toEqual(['trap', 'spin'])
    expect(error.message).toBe(`the budget of ${many - 1} instructions is used up`)
    const output = program.runBatch([frame([0, 1]), data, frame([0, 2])], { budget: 500, traps: 'collect' })
    expect(output.traps.map(({ packet }) => packet)).toEqual([1])
    // Each repetition has the whole budget.
    expect(program.run({ data, budget: many, repeat: 50 }).instructions).toBe(many)
  })

  test('programs that tail-call each other share a budget', async () => {
    const { programs } = await runs('fuel')
    const alone = programs['end_of_chain']!.run({ data: frame([0]) }).instructions ?? 0
    const none = programs['chain']!.run({ data: frame([0]) }).instructions ?? 0
    expect(programs['chain']!.run({ data: frame([1]) }).instructions).toBe(none + alone)
    expect(thrown(() => programs['chain']!.run({ data: frame([1]), budget: none + alone - 1 })).code).toBe('trap')
  })

  test('a trace has each instruction with its registers', async () => {
    const { programs } = await runs('trace')
    const program = programs['arguments']!
    expect(program.run({ ctx: new Uint8Array(BigUint64Array.of(40n, 2n).buffer) }).retval).toBe(42)
    const steps = program.steps()
    expect(steps.map(({ insn }) => insn)).toEqual(steps.map((_, i) => i))
    expect(steps).toHaveLength(program.prepared.insns.length)
    expect(steps.at(-1)!.registers[0]).toBe(42n)
    expect(steps[0]!.registers[1]).toBe(steps[1]!.registers[1])
    program.resetInstruments()
    expect(program.steps()).toEqual([])
  })

  test('are for programs that were loaded with them', async () => {
    const { programs } = await loadRuns({ jit })
    expect(thrown(() => programs['mark']!.coverage()).code).toBe('usage')
    expect(thrown(() => programs['mark']!.run({ data: frame([1]), budget: 5 })).code).toBe('usage')
    expect(programs['mark']!.steps()).toEqual([])
  })
})

describe('engines agree on every instruction', () => {
  const objects = ['fixtures/clang19/packet_counter', 'fixtures/clang19/subprograms', 'fixtures/clang19/tail_calls']
  const more = [
    'fixtures/clang19/checksum',
    'fixtures/clang19/load_balancer',
    'test/vm/run/runs',
    'bench/jit/objects/branch',
  ]
  const packets = Array.from({ length: 12 }, (_, i) =>
    frame(i % 3 === 0 ? [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0x45] : [i, i], 64 + i * 9),
  )

  test.each([...objects, ...more])('%s', async (name) => {
    const bytes = await loadFixture(`${name}.bpf.o`)
    const seen: Record<string, unknown>[] = []
    for (const [, jit] of ENGINES) {
      const known: Record<string, unknown> = {}
      for (const instrument of ['count', 'coverage', 'fuel'] as const) {
        const loaded = await load(openObject(bytes, { name }), createVm({ verify: false, jit, clock: () => 5n }), {
          instrument,
        })
        for (const program of Object.values(loaded.programs)) {
          if (program.spec.type !== ProgType.XDP || program.name === 'stops') continue
          for (const [i, data] of packets.entries()) {
            const { retval, instructions } = program.run({ data })
            known[`${program.name} ${i} ${instrument}`] = [retval, instructions]
          }
          if (instrument !== 'fuel') known[`${program.name} ${instrument}`] = Array.from(program.coverage().hits)
        }
      }
      seen.push(known)
    }
    expect(seen[0]).toEqual(seen[2])
    expect(seen[1]).toEqual(seen[2])
  })
})
