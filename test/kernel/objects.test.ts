import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { objectIds, openKernelBackend, progXlated, type KernelBackend, type KernelMap } from '../../src/kernel/index.ts'
import { load, openObject } from '../../src/loader/index.ts'
import { HelperId, MapFlag, MapType, ProgType, TestRunFlag } from '../../src/uapi/index.ts'
import { loadFixture } from '../support/fixture.ts'
import { kernelTestsRun } from '../support/kernel.ts'
import { mapSpec, op, program, readU32, u32 } from '../support/program.ts'
import { thrown } from '../support/thrown.ts'

const run = await kernelTestsRun()

const openFds = (): number => readdirSync('/proc/self/fd').length
const drop = program('drop', ProgType.XDP, [op.mov(0, 1), op.exit])

describe.runIf(run)('kernel objects', () => {
  let backend: KernelBackend
  let directory: string
  let mounted = false

  beforeAll(() => {
    backend = openKernelBackend()
    directory = mkdtempSync(join(tmpdir(), 'elfbee-bpffs-'))
    execFileSync('mount', ['-t', 'bpf', 'bpf', directory])
    mounted = true
  })
  afterAll(() => {
    backend.close()
    if (mounted) execFileSync('umount', [directory])
    rmSync(directory, { recursive: true, force: true })
  })

  const createMap = (type: number, size: number, flags: number = 0): KernelMap =>
    backend.createMap({
      spec: mapSpec(type, 4, size, 8, { flags, name: 'objects' }),
      kernelName: 'objects',
      btf: null,
      inner: null,
    })
  const loadDrop = () =>
    backend.loadProgram({
      program: drop,
      license: 'GPL',
      version: 0,
      btf: null,
      maps: new Map(),
      bindMaps: [],
      logLevel: 0,
    })

  it('pins a map and opens it again, in another handle', () => {
    const path = join(directory, 'a_map')
    using map = createMap(MapType.HASH, 4)
    map.update(u32(1), u32(42))
    map.pin(path)
    using again = backend.pinnedMap(path)
    expect(again).toMatchObject({ type: MapType.HASH, keySize: 4, valueSize: 4, maxEntries: 8, name: 'objects' })
    expect(again.id).toBe(map.id)
    expect(readU32(again.lookup(u32(1)))).toBe(42)
    expect(thrown(() => map.pin(path))).toMatchObject({ code: 'syscall', errno: 'EEXIST' })
  })

  it('pins a program, which then outlives its handle', () => {
    const path = join(directory, 'a_program')
    const first = loadDrop()
    const { id } = first
    first.pin(path)
    first.close()
    using again = backend.pinnedProgram(path)
    expect(again.id).toBe(id)
    expect(again.info()).toMatchObject({ name: 'drop', type: ProgType.XDP, gplCompatible: true })
    expect(again.run({ data: new Uint8Array(64) }).retval).toBe(1)
  })

  it('reads what a program printed to its streams', async () => {
    const spec = openObject(await loadFixture('test/kernel/links/objects/stream.bpf.o'), { name: 'stream.bpf.o' })
    await using live = await load(spec, backend, { strict: true })
    const print = live.programs['print']
    // A kernel may have no memory for streams where it must not wait (ENOMEM), or not the function: nothing is printed.
    const isPrinted = ((print?.run({ ctx: new Uint8Array(8) }).retval ?? -1) | 0) === 0
    expect(print?.readStream()).toBe(isPrinted ? 'stream 1 says 42\n' : '')
    expect(print?.readStream('stderr')).toBe(isPrinted ? 'stream 2 says 43\n' : '')
    expect(print?.readStream()).toBe('')
  })

  it('says what is wrong with a path', () => {
    using map = createMap(MapType.ARRAY, 4)
    expect(thrown(() => map.pin(join(tmpdir(), 'elfbee-not-bpffs'))).message).toContain('not in a bpf file system')
    expect(thrown(() => backend.pinnedMap(join(directory, 'nothing')))).toMatchObject({ errno: 'ENOENT' })
  })

  it('finds objects by id', () => {
    using map = createMap(MapType.ARRAY, 4)
    using loaded = loadDrop()
    expect([...objectIds('map')]).toContain(map.id)
    expect([...objectIds('prog')]).toContain(loaded.id)
    using same = backend.mapById(map.id)
    map.update(u32(0), u32(5))
    expect(readU32(same.lookup(u32(0)))).toBe(5)
    expect(progXlated(loaded.fd)).toHaveLength(16)
  })

  it('reads and writes in batches', () => {
    using map = createMap(MapType.HASH, 4)
    const keys = new Uint8Array(Uint32Array.of(1, 2, 3, 4, 5).buffer)
    const values = new Uint8Array(Uint32Array.of(10, 20, 30, 40, 50).buffer)
    expect(map.updateBatch(keys, values)).toBe(5)
    const batch = map.lookupBatch(null, 8)
    expect(batch.count).toBe(5)
    expect(batch.cursor).toBeNull()
    const found = [...new Uint32Array(batch.keys.slice().buffer)]
    expect(found.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5])
    expect(map.deleteBatch(keys.subarray(0, 8))).toBe(2)
    expect(map.lookupBatch(null, 8, { remove: true }).count).toBe(3)
    expect(map.nextKey(null)).toBeNull()
  })

  it('walks an array in several batches', () => {
    using map = createMap(MapType.ARRAY, 4)
    const first = map.lookupBatch(null, 5)
    expect([first.count, first.cursor === null]).toEqual([5, false])
    const second = map.lookupBatch(first.cursor, 5)
    expect([second.count, second.cursor]).toEqual([3, null])
  })

  it('shares the memory of mmapable arrays', () => {
    using map = createMap(MapType.ARRAY, 12, MapFlag.MMAPABLE)
    const { memory, unmap } = map.mapValues(true)
    map.update(u32(1), new Uint8Array(12).fill(7))
    expect(memory.subarray(16, 28)).toEqual(new Uint8Array(12).fill(7))
    memory[0] = 99
    expect(map.lookup(u32(0))?.[0]).toBe(99)
    unmap()
    expect(memory.length).toBe(0)
  })

  it('runs on another thread', async () => {
    using loaded = loadDrop()
    const [first, second] = await Promise.all([
      loaded.runAsync({ data: new Uint8Array(64), repeat: 1000 }),
      loaded.runAsync({ data: new Uint8Array(20) }),
    ])
    expect([first.retval, first.data?.length, second.data?.length]).toEqual([1, 64, 20])
    await expect(loaded.runAsync({ data: new Uint8Array(4) })).rejects.toMatchObject({ errno: 'EINVAL' })
  })

  it('leaves no descriptor open', () => {
    const use = (): void => {
      using map = createMap(MapType.HASH, 4)
      map.update(u32(1), u32(1))
      using ring = backend.createMap({
        spec: mapSpec(MapType.RINGBUF, 0, 0, 4096),
        kernelName: 'ring',
        btf: null,
        inner: null,
      })
      ring.drain(() => {})
      using events = backend.createMap({
        spec: mapSpec(MapType.PERF_EVENT_ARRAY, 4, 4, 0),
        kernelName: 'events',
        btf: null,
        inner: null,
      })
      events.listen()
      using loaded = loadDrop()
      loaded.run({ data: new Uint8Array(64) })
      expect(() => createMap(MapType.HASH, 0x7fff_ffff)).toThrow()
      expect(() => backend.pinnedMap('/nonexistent')).toThrow()
    }
    use()
    const before = openFds()
    for (let i = 0; i < 20; i++) use()
    expect(openFds()).toBe(before)
  })

  it('counts perf events that did not fit', () => {
    using events = backend.createMap({
      spec: mapSpec(MapType.PERF_EVENT_ARRAY, 4, 4, 0),
      kernelName: 'events',
      btf: null,
      inner: null,
    })
    using writer = backend.loadProgram({
      program: program(
        'writer',
        ProgType.RAW_TRACEPOINT,
        [
          op.store(8, 10, -8, 5),
          op.map(2),
          op.number(3, -1, 0),
          op.movReg(4, 10),
          op.add(4, -8),
          op.mov(5, 8),
          op.helper(HelperId.perf_event_output),
          op.exit,
        ],
        ['events'],
      ),
      license: 'GPL',
      version: 0,
      btf: null,
      maps: new Map([['events', events]]),
      bindMaps: [],
      logLevel: 0,
    })
    // One CPU, as the kernel reports a loss with the next record that fits, in the same ring.
    const runOnce = () => writer.run({ cpu: 0, flags: TestRunFlag.RUN_ON_CPU })
    const sent = 15_000
    for (let i = 0; i < sent; i++) runOnce()
    const seen = events.drain(() => {})
    expect(seen).toBeLessThan(sent)
    runOnce()
    expect(events.drain(() => {})).toBe(1)
    expect(events.lost).toBe(sent - seen)
  })

  it('reports ring buffer records to a poller', async () => {
    using ring = backend.createMap({
      spec: mapSpec(MapType.RINGBUF, 0, 0, 4096),
      kernelName: 'ring',
      btf: null,
      inner: null,
    })
    using writer = backend.loadProgram({
      program: program(
        'writer',
        ProgType.XDP,
        [
          op.store(8, 10, -8, 5),
          op.map(1),
          op.movReg(2, 10),
          op.add(2, -8),
          op.mov(3, 8),
          op.mov(4, 0),
          op.helper(HelperId.ringbuf_output),
          op.exit,
        ],
        ['ring'],
      ),
      license: 'GPL',
      version: 0,
      btf: null,
      maps: new Map([['ring', ring]]),
      bindMaps: [],
      logLevel: 0,
    })
    const readable = new Promise<number>((resolve) => {
      const stop = ring.onReadable(() => {
        stop()
        resolve(ring.drain(() => {}))
      })
    })
    writer.run({ data: new Uint8Array(64) })
    expect(await readable).toBe(1)
  })
})
