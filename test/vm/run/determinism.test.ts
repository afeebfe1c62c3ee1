import { describe, expect, test } from 'vitest'
import type { LoadedObject } from '../../../src/loader/index.ts'
import { createVm, type Vm, type VmOptions } from '../../../src/vm/index.ts'
import { thrown } from '../../support/thrown.ts'
import { contents, frame, loadRuns } from './support.ts'

const vmOf = (loaded: LoadedObject): Vm => loaded.backend as Vm

/** All that programs have seen, and what is in the maps in the end. */
async function story(options: VmOptions): Promise<string> {
  const loaded = await loadRuns({ clock: 'virtual', scheduling: 'seeded', cpus: 8, ...options })
  const { programs, maps } = loaded
  const seen: string[] = []
  for (let i = 0; i < 40; i++) {
    programs['observe']!.run({ data: frame([i]) })
    programs['report']!.run({ data: frame([i]) })
    if (i % 10 === 0) programs['observe']!.runBatch([frame([1]), frame([2])])
    if (i === 5) programs['arm']!.run({ data: frame([0]) })
    vmOf(loaded).advance(700)
  }
  maps['seen']!.raw.drain((record) => seen.push(record.join()))
  maps['events']!.raw.drain((record) => seen.push(record.join()))
  return `${seen.join('\n')}\n${contents(loaded)}\n${maps['timers']!.raw.lookup(new Uint8Array(4))!.join()}`
}

describe.each([
  ['jit', true],
  ['interpreter', false],
])('in the %s', (_name, jit) => {
  test('two vms with the same seed do the same, at any time', async () => {
    const first = await story({ jit, seed: 7 })
    await new Promise((resolve) => setTimeout(resolve, 5))
    expect(await story({ jit, seed: 7 })).toBe(first)
  })

  test('another seed makes another story', async () => {
    expect(await story({ jit, seed: 8 })).not.toBe(await story({ jit, seed: 7 }))
  })

  test('the host’s clock does not', async () => {
    const clock = { jit, seed: 7, clock: (): bigint => BigInt(Math.round(performance.now() * 1e6)) }
    const options = { ...clock, scheduling: 'seeded' } as const
    const times = async (): Promise<string> => {
      const { programs, maps } = await loadRuns(options)
      const seen: string[] = []
      for (let i = 0; i < 20; i++) programs['observe']!.run({ data: frame([i]) })
      maps['seen']!.raw.drain((record) => seen.push(record.join()))
      return seen.join()
    }
    expect(await times()).not.toBe(await times())
  })
})

test('engines tell the same story', async () => {
  expect(await story({ jit: true })).toBe(await story({ jit: false }))
})

test('runs that name no CPU are on several, by the seed', async () => {
  const { programs, maps } = await loadRuns({ cpus: 4, scheduling: 'seeded' })
  for (let i = 0; i < 200; i++) programs['report']!.run({ data: frame([i]) })
  const counts = maps['percpu']!.get(0) as bigint[]
  expect(counts.reduce((a, b) => a + b)).toBe(200n)
  for (const count of counts) expect(count).toBeGreaterThan(20n)
  programs['report']!.run({ data: frame([0]), cpu: 2, flags: 1 })
  expect((maps['percpu']!.get(0) as bigint[])[2]).toBe(counts[2]! + 1n)
})

describe('virtual time', () => {
  test('stands still until it is moved, and timers fire at their times', async () => {
    const loaded = await loadRuns({ clock: 'virtual' })
    const vm = vmOf(loaded)
    const timer = (): { fired: bigint; last: bigint } => loaded.maps['timers']!.get(0) as never
    expect(vm.now()).toBe(1_000_000_000n)
    loaded.programs['arm']!.run({ data: frame([0]) })
    vm.advance(4999)
    expect(timer().fired).toBe(0n)
    vm.advance(1)
    expect(timer()).toMatchObject({ fired: 1n, last: 1_000_005_000n })
    // Armed again for 1,000 ns later: at 6,000 and at 7,000.
    vm.advance(2500)
    expect(timer()).toMatchObject({ fired: 3n, last: 1_000_007_000n })
    expect(vm.now()).toBe(1_000_007_500n)
    vm.advance(1_000_000n)
    expect(timer()).toMatchObject({ fired: 4n, last: 1_000_008_000n })
  })

  test('poll() fires what is due by another clock', async () => {
    let now = 0n
    const loaded = await loadRuns({ clock: () => now })
    loaded.programs['arm']!.run({ data: frame([0]) })
    now = 5000n
    vmOf(loaded).poll()
    now = 5500n
    expect(loaded.maps['timers']!.get(0)).toMatchObject({ fired: 1n })
    expect(thrown(() => vmOf(loaded).advance(1)).code).toBe('usage')
  })

  test('is moved forward, by whole nanoseconds', () => {
    const vm = createVm({ verify: false, clock: 'virtual' })
    expect(thrown(() => vm.advance(-1)).code).toBe('usage')
    expect(thrown(() => vm.advance(0.5)).code).toBe('usage')
    vm.close()
    expect(thrown(() => vm.poll()).code).toBe('closed')
  })
})
