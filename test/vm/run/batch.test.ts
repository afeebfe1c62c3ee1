import { describe, expect, test } from 'vitest'
import type { LoadedObject } from '../../../src/loader/index.ts'
import { parseCapture, writePcap } from '../../../src/testing/index.ts'
import { thrown } from '../../support/thrown.ts'
import { contents, frame, loadRuns } from './support.ts'

const FRAMES = Array.from({ length: 300 }, (_, i) => frame([i % 8, i >> 3, i], 60 + ((i * 37) % 90)))

/** Single runs on each packet, `rounds` times. */
function oneByOne(loaded: LoadedObject, name: string, rounds: number): { retval: number; data: Uint8Array | null }[] {
  let state = FRAMES.map((data) => ({ retval: 0, data: data as Uint8Array | null }))
  for (let round = 0; round < rounds; round++) {
    state = state.map(({ data }) => loaded.programs[name]!.run({ data: data! }))
  }
  return state
}

describe.each([
  ['jit', true],
  ['interpreter', false],
])('a batch in the %s', (_name, jit) => {
  test.each(['drop_odd', 'mark', 'resize', 'by_helper', 'chain', 'flow', 'branches', 'tc_swap', 'lengths'])(
    '%s: as single runs',
    async (name) => {
      for (const rounds of name === 'resize' ? [1] : [1, 3]) {
        const batched = await loadRuns({ jit })
        const single = await loadRuns({ jit })
        const output = batched.programs[name]!.runBatch(FRAMES, { repeat: rounds })
        const expected = oneByOne(single, name, rounds)
        expect(Array.from(output.verdicts)).toEqual(expected.map(({ retval }) => retval))
        for (const [i, { data }] of expected.entries()) {
          expect(Array.from(output.packet(i)), `packet ${i}`).toEqual(Array.from(data!))
        }
        expect(output.runs).toBe(FRAMES.length * rounds)
        expect([...output.counts.values()].reduce((a, b) => a + b)).toBe(output.runs)
        expect(contents(batched)).toBe(contents(single))
      }
    },
  )

  test('counts verdicts of all rounds', async () => {
    const { programs, maps } = await loadRuns({ jit })
    const even = frame([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2])
    const odd = frame([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3])
    const { counts, verdicts } = programs['drop_odd']!.runBatch([even, odd, odd], { repeat: 3000 })
    expect([...counts]).toEqual(
      expect.arrayContaining([
        [2, 3000],
        [1, 6000],
      ]),
    )
    expect(Array.from(verdicts)).toEqual([2, 1, 1])
    expect(maps['counters']!.get(0)).toBe(9000n)
    expect(maps['counters']!.get(1)).toBe(6000n)
  })

  test('one packet again and again goes on with what the run before has left', async () => {
    const { programs } = await loadRuns({ jit })
    const { packet } = programs['mark']!.runBatch([frame([1])], { repeat: 10_000 })
    expect(packet(0)[0]).toBe((1 + 10_000) & 0xff)
    const grown = programs['resize']!.runBatch([frame([4], 14)], { repeat: 3 })
    expect(Array.from(grown.verdicts)).toEqual([3])
    expect(grown.packet(0)).toHaveLength(314)
    expect(grown.packet(0)[0]).toBe(4)
  })

  test('says which packet was stopped', async () => {
    const { programs, maps } = await loadRuns({ jit })
    const packets = [1, 9, 2, 9, 3].map((first) => frame([first]))
    const error = thrown(() => programs['stops']!.runBatch(packets))
    expect([error.code, error.where.program]).toEqual(['trap', 'stops'])
    expect(error.message).toMatch(/^packet 1: /)
    expect(maps['counters']!.get(2)).toBe(2n)
    const output = programs['stops']!.runBatch(packets, { traps: 'collect', repeat: 2 })
    expect(output.traps.map(({ packet }) => packet)).toEqual([1, 3, 1, 3])
    expect(output.traps[0]!.error.where.sourceLine).toMatch(/asm volatile/)
    expect(Array.from(output.verdicts)).toEqual([2, 0, 2, 0, 2])
    expect([...output.counts]).toEqual([[2, 6]])
    expect(maps['counters']!.get(2)).toBe(12n)
    expect(programs['stops']!.run({ data: packets[0]! }).retval).toBe(2)
  })

  test('says which packet is too short, before anything runs that needs it', async () => {
    const { programs } = await loadRuns({ jit })
    const error = thrown(() => programs['mark']!.runBatch([frame([1]), new Uint8Array(4)]))
    expect([error.errno, error.message.slice(0, 8)]).toEqual(['EINVAL', 'packet 1'])
  })

  test('takes captures', async () => {
    const { programs } = await loadRuns({ jit })
    const pcap = writePcap(FRAMES.map((data) => ({ data, timestampNs: 0n, originalLength: data.length })))
    const { packets } = parseCapture(pcap, 'test.pcap')
    const output = programs['mark']!.runBatch(packets)
    expect([...output.counts]).toEqual([[3, FRAMES.length]])
    for (const [i, data] of FRAMES.entries()) {
      const expected = Array.from(data)
      expected[0]! += 1
      expected[12] = 0xab
      expect(Array.from(output.packet(i))).toEqual(expected)
      // What was given stays as it was.
      expect(packets[i]!.data).toEqual(data)
    }
  })

  test('packets of several pages among others', async () => {
    const { programs } = await loadRuns({ jit })
    const output = programs['resize']!.runBatch([frame([5]), frame([5], 9000)])
    expect(output.packet(1)).toHaveLength(9008)
  })

  test('runs on the CPU that it was asked for, and prints', async () => {
    const { programs, maps } = await loadRuns({ jit, cpus: 4 })
    programs['report']!.runBatch([frame([1]), frame([2])], { cpu: 2, flags: 1 })
    expect(maps['percpu']!.get(0)).toEqual([0n, 0n, 2n, 0n])
    expect(programs['tc_swap']!.runBatch([frame([1]), frame([2])]).trace).toHaveLength(2)
  })

  test('of nothing', async () => {
    const { programs } = await loadRuns({ jit })
    const output = programs['mark']!.runBatch([])
    expect([output.runs, output.verdicts.length, output.durationNs]).toEqual([0, 0, 0])
    expect(thrown(() => output.packet(0)).code).toBe('usage')
    expect(thrown(() => programs['mark']!.runBatch([frame([1])], { repeat: 0 })).code).toBe('usage')
  })
})
