import { afterAll, describe, expect, it } from 'vitest'
import { openKernelBackend, type KernelMap } from '../../src/kernel/index.ts'
import { MapFlag, MapType, UpdateFlag } from '../../src/uapi/index.ts'
import { Harness, failure } from '../contract/harness.ts'
import { kernelTestsRun } from '../support/kernel.ts'
import { readU32, u32 } from '../support/program.ts'
import { thrown } from '../support/thrown.ts'

const run = await kernelTestsRun()
const NO_KEY = new Uint8Array(0)

// What the contract of both backends leaves out.
describe.runIf(run)('maps that only the kernel has', () => {
  if (!run) return
  const harness = new Harness(openKernelBackend())
  const map = harness.map.bind(harness)
  afterAll(() => {
    harness.backend.close()
  })

  it.each([
    ['a queue', MapType.QUEUE, [1, 2, 3]],
    ['a stack', MapType.STACK, [3, 2, 1]],
  ] as const)('%s gives its elements in order', (_, type, order) => {
    const queue = map(type, 0, 4, 3)
    for (const value of [1, 2, 3]) queue.update(NO_KEY, u32(value))
    expect(failure(() => queue.update(NO_KEY, u32(4)))).toBe('E2BIG')
    expect(readU32(queue.lookup(NO_KEY))).toBe(order[0])
    expect(order.map(() => readU32(queue.lookupAndDelete(NO_KEY)))).toEqual(order)
    expect(queue.lookupAndDelete(NO_KEY)).toBeNull()
    expect(queue.lookup(NO_KEY)).toBeNull()
  })

  it('a full queue forgets its oldest element with BPF_EXIST', () => {
    const queue = map(MapType.QUEUE, 0, 4, 2)
    for (const value of [1, 2, 3]) queue.update(NO_KEY, u32(value), UpdateFlag.EXIST)
    expect(readU32(queue.lookup(NO_KEY))).toBe(2)
  })

  it('a per-CPU LRU hash has values for all CPUs', () => {
    const hash = map(MapType.LRU_PERCPU_HASH, 4, 4, 16)
    hash.update(u32(1), new Uint8Array(8 * hash.valueCount).fill(3))
    expect(hash.lookup(u32(1))).toHaveLength(8 * harness.backend.cpus)
  })

  it('BPF_F_LOCK needs a lock in the value', () => {
    const hash = map(MapType.HASH, 4, 4, 4)
    expect(failure(() => hash.update(u32(1), u32(1), UpdateFlag.LOCK))).toBe('EINVAL')
  })

  it('types, flags and sizes that it refuses are named', () => {
    expect(failure(() => map(MapType.ARRAY, 4, 4, 4, { flags: MapFlag.RDONLY | MapFlag.WRONLY }))).toBe('EINVAL')
    const error = thrown(() => map(999, 4, 8, 16, { name: 'strange' }))
    expect(error).toMatchObject({ code: 'syscall', errno: 'EINVAL', where: { map: 'strange' } })
    expect(error.message).toContain('type 999, key 4 bytes, value 8 bytes, 16 entries, flags 0x0')
  })

  it('ring buffers and perf arrays may declare the types of their events', () => {
    expect(map(MapType.RINGBUF, 0, 64, 4096)).toMatchObject({ keySize: 0, valueSize: 0, maxEntries: 4096 })
    const events = map(MapType.PERF_EVENT_ARRAY, 4, 64, 0)
    expect(events).toMatchObject({ keySize: 4, valueSize: 4, maxEntries: harness.backend.cpus })
  })

  it('names are made acceptable', () => {
    const made = map(MapType.ARRAY, 4, 4, 1, { name: 'a name-with.odd bytes and too long' }) as KernelMap
    expect(made.info().name).toBe('a_name_with.odd')
  })
})
