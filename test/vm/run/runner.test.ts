import { describe, expect, test } from 'vitest'
import { thrown } from '../../support/thrown.ts'
import { contents, frame, loadRuns } from './support.ts'

const FRAMES = [0, 1, 2, 3, 4, 5, 6, 1, 0].map((first, i) => frame([first, i, 3], 60 + ((i * 37) % 90)))

describe.each([
  ['jit', true],
  ['interpreter', false],
])('a runner in the %s', (_name, jit) => {
  test.each(['drop_odd', 'mark', 'resize', 'by_helper', 'chain', 'flow', 'branches', 'tc_swap', 'lengths'])(
    '%s: as single runs in a new vm',
    async (name) => {
      const fast = await loadRuns({ jit })
      const runner = fast.programs[name]!.runner()
      const slow = await loadRuns({ jit })
      for (const data of FRAMES) {
        const expected = slow.programs[name]!.run({ data })
        expect(runner.run(data)).toBe(expected.retval)
        expect(Array.from(runner.packet ?? [])).toEqual(Array.from(expected.data ?? []))
        expect(runner.trace).toEqual(expected.trace)
      }
      expect(contents(fast)).toBe(contents(slow))
    },
  )

  test('runs on contexts where there are no packets', async () => {
    const { programs } = await loadRuns({ jit })
    const runner = programs['arguments']!.runner()
    expect(runner.run(new Uint8Array(BigUint64Array.of(40n, 2n).buffer))).toBe(42)
    expect(runner.run(new Uint8Array(BigUint64Array.of(7n).buffer))).toBe(7)
    expect(runner.packet).toBeNull()
  })

  test('programs may take turns in the memory', async () => {
    const { programs } = await loadRuns({ jit })
    const resize = programs['resize']!.runner()
    const swap = programs['tc_swap']!.runner()
    const long = frame([4], 200)
    for (let i = 0; i < 3; i++) {
      expect(resize.run(long)).toBe(3)
      expect(resize.packet).toHaveLength(300)
      expect(swap.run(frame([9]))).toBe(42)
      // What lies behind the end is zero, whatever was there before.
      expect(programs['resize']!.run({ data: frame([4]) }).data!.slice(64)).toEqual(new Uint8Array(100))
    }
  })

  test('results of run() are the caller’s', async () => {
    const { programs } = await loadRuns({ jit })
    const first = programs['mark']!.run({ data: frame([1]) })
    programs['mark']!.run({ data: frame([100]) })
    expect(first.data![0]).toBe(2)
  })

  test('goes on after a program was stopped', async () => {
    const { programs } = await loadRuns({ jit })
    const runner = programs['stops']!.runner()
    expect(runner.run(frame([1]))).toBe(2)
    for (let i = 0; i < 2; i++) {
      const error = thrown(() => runner.run(frame([9])))
      expect([error.code, error.where.program]).toEqual(['trap', 'stops'])
      expect(error.where.sourceLine).toMatch(/runs\.bpf\.c:\d+: asm volatile/)
    }
    expect(runner.run(frame([1]))).toBe(2)
  })

  test('refuses what a test run refuses', async () => {
    const { programs } = await loadRuns({ jit })
    const program = programs['mark']!
    expect(thrown(() => program.runner().run(new Uint8Array(13))).errno).toBe('EINVAL')
    expect(thrown(() => program.runner({ cpu: 9, flags: 1 })).errno).toBe('ENXIO')
    const runner = program.runner()
    runner.run(frame([1]))
    expect(thrown(() => runner.run(new Uint8Array(13))).errno).toBe('EINVAL')
    expect(runner.run(frame([1]))).toBe(3)
    program.close()
    expect(thrown(() => runner.run(frame([1]))).code).toBe('closed')
    expect(thrown(() => program.runner()).code).toBe('closed')
  })

  test('runs on the CPU that it was asked for', async () => {
    const { programs, maps } = await loadRuns({ jit, cpus: 4 })
    const runner = programs['report']!.runner({ cpu: 3, flags: 1 })
    runner.run(frame([1]))
    runner.run(frame([1]))
    programs['report']!.run({ data: frame([1]) })
    expect(maps['percpu']!.get(0)).toEqual([1n, 0n, 0n, 2n])
  })

  test('a packet of several pages', async () => {
    const { programs } = await loadRuns({ jit })
    const runner = programs['resize']!.runner()
    const big = frame([5], 9000)
    expect(runner.run(big)).toBe(3)
    expect(runner.packet).toHaveLength(9008)
    expect(runner.run(frame([0]))).toBe(2)
    expect(runner.packet).toEqual(frame([0]))
  })
})
