import { Worker } from 'node:worker_threads'
import { afterAll, describe, expect, it } from 'vitest'
import { KernelProgram, openKernelBackend } from '../../../src/kernel/index.ts'
import { load, openObject, readEvents, type LoadedMap, type LoadedObject } from '../../../src/loader/index.ts'
import { createVm } from '../../../src/vm/index.ts'
import { loadFixture } from '../../support/fixture.ts'
import { kernelTestsRun } from '../../support/kernel.ts'
import { thrown } from '../../support/thrown.ts'
import { programOf } from './support.ts'

const run = await kernelTestsRun()
const OBJECT = 'test/kernel/links/objects/events.bpf.o'

interface Request {
  readonly count: number
  readonly first?: number
  readonly discardEvery?: number
  readonly second?: boolean
}

function request({ count, first = 0, discardEvery = 0, second = false }: Request): Uint8Array {
  const bytes = new Uint8Array(64)
  bytes.set(new Uint8Array(Uint32Array.of(count, discardEvery, second ? 1 : 0, first).buffer))
  return bytes
}

const event = (number: number): object => ({ number, size: 16, sum: BigInt(number) * 3n })
const sleep = async (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

describe.runIf(run)('events', () => {
  if (!run) return
  const backend = openKernelBackend()
  afterAll(() => {
    backend.close()
  })
  const open = async (): Promise<LoadedObject> =>
    load(openObject(await loadFixture(OBJECT), { name: 'events.bpf.o' }), backend, { strict: true })
  const mapOf = (live: LoadedObject, name: string): LoadedMap => {
    const map = live.maps[name]
    if (map === undefined) throw new Error(`no map ${name}`)
    return map
  }

  it('iterates over the typed events of a ring buffer as they come', async () => {
    using live = await open()
    const write = programOf(live, 'write_ring')
    const seen: unknown[] = []
    write.run({ data: request({ count: 2 }) })
    setTimeout(() => {
      write.run({ data: request({ count: 1, first: 2 }) })
    }, 20)
    for await (const value of mapOf(live, 'events')) {
      seen.push(value)
      if (seen.length === 3) break
    }
    expect(seen).toEqual([event(0), event(1), event(2)])
  })

  it('iterates over the events of a perf event array', async () => {
    using live = await open()
    using reader = mapOf(live, 'perf').events({ type: 'struct event' })
    const write = programOf(live, 'write_perf')
    setTimeout(() => {
      write.run({ data: request({ count: 2, first: 7 }), cpu: 0 })
    }, 10)
    const seen: unknown[] = []
    for await (const { map, cpu, value } of reader) {
      seen.push(value)
      expect(map).toBe('perf')
      expect(cpu).toBeGreaterThanOrEqual(0)
      if (seen.length === 2) break
    }
    expect(seen).toEqual([event(7), event(8)])
    expect(reader.closed).toBe(true)
    expect(reader.counters).toEqual({ consumed: 2, discarded: 0, lost: 0 })
  })

  it('reads several maps at once, with a type by name or as bytes', async () => {
    using live = await open()
    using reader = readEvents([mapOf(live, 'events'), mapOf(live, 'untyped'), mapOf(live, 'perf')], { type: 'event' })
    programOf(live, 'write_ring').run({ data: request({ count: 1 }) })
    programOf(live, 'write_ring').run({ data: request({ count: 1, first: 1, second: true }) })
    programOf(live, 'write_perf').run({ data: request({ count: 1, first: 2 }) })
    const seen = new Map<string, unknown>()
    for await (const { map, value } of reader) {
      seen.set(map, value)
      if (seen.size === 3) break
    }
    expect(Object.fromEntries(seen)).toEqual({ events: event(0), untyped: event(1), perf: event(2) })

    programOf(live, 'write_ring').run({ data: request({ count: 1, second: true }) })
    using bytes = mapOf(live, 'untyped').events()
    for await (const { value } of bytes) {
      expect(value).toBeInstanceOf(Uint8Array)
      expect(value).toHaveLength(16)
      break
    }
  })

  it('calls back, and goes on after an exception', async () => {
    using live = await open()
    using reader = mapOf(live, 'events').events()
    const seen: unknown[] = []
    const raised = new Promise<unknown>((resolve) => process.once('uncaughtException', resolve))
    // vitest has a listener of its own, which would fail the run.
    const others = process.listeners('uncaughtException').slice(0, -1)
    for (const listener of others) process.off('uncaughtException', listener)
    try {
      reader.listen(({ value }) => {
        seen.push(value)
        if (seen.length === 1) throw new Error('from the callback')
      })
      programOf(live, 'write_ring').run({ data: request({ count: 3 }) })
      expect(String(await raised)).toContain('from the callback')
      while (seen.length < 3) await sleep(1)
    } finally {
      for (const listener of others) process.on('uncaughtException', listener)
    }
    expect(seen).toEqual([event(0), event(1), event(2)])
    expect(thrown(() => reader.listen(() => {})).code).toBe('usage')
    reader.close()
    programOf(live, 'write_ring').run({ data: request({ count: 1 }) })
    await sleep(10)
    expect(seen).toHaveLength(3)
    expect(thrown(() => reader.listen(() => {})).code).toBe('closed')
  })

  it('counts what was consumed and discarded', async () => {
    using live = await open()
    const map = mapOf(live, 'events')
    programOf(live, 'write_ring').run({ data: request({ count: 10, discardEvery: 2 }) })
    expect(map.drain()).toEqual([1, 3, 5, 7, 9].map(event))
    expect(map.eventCounters).toEqual({ consumed: 5, discarded: 5, lost: null })
    expect(mapOf(live, 'slots').eventCounters).toBeNull()
  })

  it('takes no more than a limit', async () => {
    using live = await open()
    const { raw } = mapOf(live, 'events')
    programOf(live, 'write_ring').run({ data: request({ count: 5, discardEvery: 3 }) })
    const numbers: number[] = []
    const take = (limit: number): number =>
      raw.drain((data) => numbers.push(new DataView(data.buffer, data.byteOffset).getUint32(0, true)), limit)
    expect([take(2), take(2), take(2)]).toEqual([2, 1, 0])
    expect(numbers).toEqual([1, 2, 4])
  })

  it('ends with the signal, with its reason', async () => {
    using live = await open()
    const controller = new AbortController()
    const reader = mapOf(live, 'events').events({ signal: controller.signal })
    setTimeout(() => {
      controller.abort(new Error('that is all'))
    }, 10)
    const all = (async () => {
      for await (const _ of reader);
    })()
    await expect(all).rejects.toThrow('that is all')
    expect(reader.closed).toBe(true)
    expect(() => mapOf(live, 'events').events({ signal: controller.signal })).toThrow('that is all')
  })

  it('ends quietly when the reader or the map is closed', async () => {
    using live = await open()
    const reader = mapOf(live, 'events').events()
    setTimeout(() => {
      reader.close()
    }, 5)
    const seen: unknown[] = []
    for await (const { value } of reader) seen.push(value)
    expect(seen).toEqual([])
    setTimeout(() => {
      live.close()
    }, 5)
    for await (const value of mapOf(live, 'events')) seen.push(value)
    expect(seen).toEqual([])
  })

  it('leaves what one reader has not taken to the next', async () => {
    using live = await open()
    programOf(live, 'write_ring').run({ data: request({ count: 3 }) })
    const seen: unknown[] = []
    for (let i = 0; i < 3; i++) {
      for await (const value of mapOf(live, 'events')) {
        seen.push(value)
        break
      }
    }
    expect(seen).toEqual([event(0), event(1), event(2)])
  })

  it('keeps what a slow reader has not taken in the kernel, and loses only what the kernel drops', async () => {
    using live = await open()
    const map = mapOf(live, 'events')
    const { raw } = programOf(live, 'write_ring')
    if (!(raw instanceof KernelProgram)) throw new Error('not a program of the kernel')
    const PER_RUN = 20_000
    const RUNS = 25
    const flood = (async () => {
      for (let i = 0; i < RUNS; i++) await raw.runAsync({ data: request({ count: PER_RUN, first: i * PER_RUN }) })
    })()
    const reader = map.events()
    let turns = 0
    const timer = setInterval(() => {
      turns++
    }, 1)
    let last = -1
    let count = 0
    let ordered = true
    void flood.then(() => setTimeout(() => reader.close(), 50))
    for await (const { value } of reader) {
      const { number } = value as { number: number }
      ordered &&= number > last
      last = number
      count++
    }
    clearInterval(timer)
    count += map.drain().length
    const dropped = Number(live.variables['dropped']?.get())
    expect(ordered).toBe(true)
    expect(count + dropped).toBe(PER_RUN * RUNS)
    expect(reader.counters).toMatchObject({ consumed: count, discarded: 0 })
    expect(turns).toBeGreaterThan(3)
  })

  it('counts the perf events that the kernel dropped', async () => {
    using live = await open()
    const map = mapOf(live, 'perf')
    const write = programOf(live, 'write_perf')
    using reader = map.events({ type: 'event' })
    const SENT = 20_000
    write.run({ data: request({ count: SENT }) })
    const first = map.drain().length
    expect(first).toBeLessThan(SENT)
    // The loss is told with the next event on the CPU where it happened, and this process may move to another.
    let more = 0
    const deadline = Date.now() + 20_000
    while (reader.counters.lost === 0 && Date.now() < deadline) {
      write.run({ data: request({ count: 1 }) })
      more += map.drain().length
      await sleep(0)
    }
    expect(reader.counters).toEqual({ consumed: first + more, discarded: 0, lost: SENT - first })
    expect(Number(live.variables['dropped']?.get())).toBe(SENT - first)
  })

  it('sends records to a program', async () => {
    using live = await open()
    const map = mapOf(live, 'commands')
    const take = programOf(live, 'take_commands')
    expect(map.send({ number: 1, size: 16, sum: 40n })).toBe(true)
    expect(map.send(new Uint8Array(Uint32Array.of(2, 16, 2, 0).buffer))).toBe(true)
    expect(take.run({ data: new Uint8Array(64) }).retval).toBe(2)
    expect(live.variables['received']?.get()).toBe(42n)
    // 4096 bytes hold 170 records of 16 bytes and a header, around the end of the ring, too.
    for (let round = 0; round < 3; round++) {
      let sent = 0
      while (map.send({ sum: 1n })) sent++
      expect(sent).toBe(170)
      expect(take.run({ data: new Uint8Array(64) }).retval).toBe(170)
    }
    expect(live.variables['received']?.get()).toBe(552n)
    expect(thrown(() => map.send(new Uint8Array(4089))).code).toBe('usage')
    expect(thrown(() => mapOf(live, 'events').send(new Uint8Array(8))).code).toBe('usage')
  })

  it('names an unknown type, and refuses maps without events', async () => {
    using live = await open()
    const unknown = thrown(() => mapOf(live, 'untyped').events({ type: 'struct nothing' }))
    expect(unknown).toMatchObject({ code: 'not-found', where: { map: 'untyped' } })
    expect(thrown(() => mapOf(live, 'slots').events()).code).toBe('usage')
  })

  it('reads and writes variables and arrays while programs use them', async () => {
    using live = await open()
    const use = programOf(live, 'use_globals')
    const slots = mapOf(live, 'slots')
    const memory = slots.memory
    expect(memory?.length).toBe(32)
    const view = new DataView((memory as Uint8Array).buffer)
    view.setBigUint64(8, 100n, true)
    live.variables['speed']?.set(7)
    live.variables['point']?.set({ x: 1, y: 10 })
    expect(use.run({ data: new Uint8Array(64) }).retval).toBe(15)
    expect(slots.get(1)).toBe(107n)
    expect(view.getBigUint64(8, true)).toBe(107n)
    expect(live.variables['point']?.get()).toEqual({ x: 2, y: 10 })
    expect(thrown(() => live.variables['point']?.set({ x: 5, y: 'no' })).code).toBe('type-mismatch')
    expect(live.variables['point']?.get()).toEqual({ x: 2, y: 10 })
    expect(live.variables['constant']?.get()).toBe(5)
    expect(thrown(() => live.variables['constant']?.set(6)).code).toBe('usage')
    expect(mapOf(live, 'events').memory).toBeNull()
    live.close()
    expect(slots.memory).toBeNull()
    expect(memory?.length).toBe(0)
    expect(thrown(() => live.variables['speed']?.get()).code).toBe('closed')
  })

  it('survives terminate() of a worker that reads a flood', async () => {
    const dist = (path: string): string => new URL(`../../../dist/${path}`, import.meta.url).href
    for (let i = 0; i < 4; i++) {
      const worker = new Worker(READING, {
        eval: true,
        workerData: { elfbee: dist('index.js'), kernel: dist('kernel/index.js'), object: await loadFixture(OBJECT) },
      })
      const count = await new Promise<number>((resolve, reject) => {
        worker.once('message', resolve)
        worker.once('error', reject)
      })
      expect(count).toBe(1)
      await sleep(i * 3)
      expect(await worker.terminate()).toBe(1)
    }
  })
})

// Reads its own flood by a callback; the first event goes to the test.
const READING = `
const { parentPort, workerData } = require('node:worker_threads')
void (async () => {
  const { load, openObject } = await import(workerData.elfbee)
  const { openKernelBackend } = await import(workerData.kernel)
  const live = await load(openObject(workerData.object), openKernelBackend(), { strict: true })
  const data = new Uint8Array(64)
  data.set(new Uint8Array(Uint32Array.of(3000, 0, 0, 0).buffer))
  let count = 0
  live.maps.events.events().listen(() => {
    if (++count === 1) parentPort.postMessage(count)
  })
  live.maps.perf.events().listen(() => {})
  setInterval(() => {
    live.programs.write_ring.run({ data })
    live.programs.write_perf.run({ data })
  }, 1)
})()
`

describe('events and links of the vm', () => {
  it('says what the vm cannot do', async () => {
    const vm = createVm()
    const live = await load(openObject(await loadFixture(OBJECT), { name: 'events.bpf.o' }), vm)
    const map = live.maps['events']
    programOf(live, 'write_ring').run({ data: request({ count: 1 }) })
    expect(map?.drain()).toEqual([event(0)])
    expect(thrown(() => map?.events()).code).toBe('unsupported')
    const attach = thrown(() => programOf(live, 'write_ring').attach({ interface: 'lo' }))
    expect(attach.code).toBe('unsupported')
    expect(attach.message).toBe(
      'program write_ring: the vm has nothing to attach to; run() it, or load it into the kernel',
    )
    live.close()
  })
})
