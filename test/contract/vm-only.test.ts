import { describe, expect, test } from 'vitest'
import { createVm } from '../../src/vm/index.ts'
import { UserRingBufMap } from '../../src/vm/runtime/maps/user-ringbuf.ts'
import { readU64, u32, u64 } from '../support/program.ts'
import { loadFeatures } from './features.ts'

const PACKET = new Uint8Array(64)

/** What the kernel backend has no way to drive, or does at a time of its own. */
describe.each([
  ['jit', true],
  ['interpreter', false],
] as const)('vm, %s', (_name, jit) => {
  test('user ring buffers hand records to a callback, in order, until it says stop', async () => {
    const loaded = await loadFeatures('user_ring', createVm({ verify: false, jit }))
    const ring = loaded.maps['ring']!.raw
    if (!(ring instanceof UserRingBufMap)) throw new Error('no user ring buffer')
    const drain = (): number => loaded.programs['drain']!.run({ data: PACKET }).retval
    const sum = (): bigint | null => readU64(loaded.maps['.bss']!.raw.lookup(u32(0)))
    expect(drain()).toBe(0)
    for (const value of [1n, 2n, 100n, 4n]) ring.push(u64(value))
    expect([drain(), sum()]).toEqual([3, 103n])
    expect([drain(), sum()]).toEqual([1, 107n])
    // Past the end of the ring.
    for (let i = 0; i < 500; i++) {
      ring.push(u64(1n))
      expect(drain()).toBe(1)
    }
    expect(sum()).toBe(607n)
    loaded.close()
  })

  test('timers and work run when they are due, by the clock of the vm', async () => {
    let now = 1000n
    const loaded = await loadFeatures('timers', createVm({ verify: false, jit, clock: () => now }))
    const bss = (): Uint8Array | null => loaded.maps['.bss']!.raw.lookup(u32(0))
    const seen = (): (bigint | null)[] => [0, 8, 16, 24].map((offset) => readU64(bss(), offset))
    loaded.programs['fire']!.run({ data: PACKET })
    // Keys 7 and 2; a timer that arms itself again ran three times; no callback could cancel itself.
    expect(seen()).toEqual([9n, 2n, 3n, 0n])
    loaded.programs['fire_deleted']!.run({ data: PACKET })
    now += 1_000_000_000n
    expect(seen()).toEqual([9n, 2n, 3n, 0n])
    loaded.programs['work']!.run({})
    expect(seen()).toEqual([1012n, 2n, 3n, 0n])
    loaded.close()
  })
})
