import { readdirSync } from 'node:fs'
import { release } from 'node:os'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { fromHex } from '../../src/bytes/index.ts'
import { openKernelBackend, vmlinuxBtf, type KernelBackend, type KernelMap } from '../../src/kernel/index.ts'
import { load, openObject, type LoadedObject, type ObjectSpec } from '../../src/loader/index.ts'
import { MapType, ProgType } from '../../src/uapi/index.ts'
import { createVm } from '../../src/vm/index.ts'
import { loadFixture, loadText } from '../support/fixture.ts'
import { kernelTestsRun } from '../support/kernel.ts'
import { u64 } from '../support/program.ts'

const run = await kernelTestsRun()
const folders = ['clang14', 'clang19'].flatMap((folder) =>
  readdirSync(fileURLToPath(new URL(`../../fixtures/${folder}/`, import.meta.url)))
    .filter((name) => name.endsWith('.bpf.o'))
    .map((name) => `${folder}/${name}`),
)

const open = async (path: string): Promise<ObjectSpec> =>
  openObject(await loadFixture(`fixtures/${path}`), { name: path.slice(path.indexOf('/') + 1) })
const packet = async (name: string): Promise<Uint8Array> => fromHex(await loadText(`fixtures/packets/${name}.hex`))
const openFds = (): number => readdirSync('/proc/self/fd').length
const bytes32 = (...words: number[]): Uint8Array => new Uint8Array(Uint32Array.from(words).buffer)

describe.runIf(run)('fixtures in the kernel', () => {
  if (!run) return
  const backend: KernelBackend = openKernelBackend()
  const vm = createVm({ btf: vmlinuxBtf(), cpus: backend.cpus })
  afterAll(() => {
    backend.close()
    vm.close()
  })
  const loadFixtureObject = async (path: string): Promise<LoadedObject> => load(await open(path), backend)

  it.each(folders)('%s loads', async (path) => {
    using live = await loadFixtureObject(path)
    const failed = live.report.programs.filter(({ status }) => status === 'failed')
    expect(failed.map(({ name, error }) => `${name}: ${error?.message}`)).toEqual([])
    expect(live.report.maps.filter(({ status }) => status === 'failed')).toEqual([])
  })

  it.each(folders)('%s: the vm’s verifier takes what the kernel takes', { timeout: 60_000 }, async (path) => {
    using inKernel = await loadFixtureObject(path)
    using live = await load(await open(path), vm)
    const taken = new Set(inKernel.report.programs.filter(({ status }) => status === 'loaded').map(({ name }) => name))
    const refused = live.report.programs.filter(({ name, status }) => taken.has(name) && status !== 'loaded')
    expect(refused.map(({ name, error }) => `${name}: ${error?.message}`)).toEqual([])
  })

  it('counts packets, drops the blocked port, and shows flows by their C types', async () => {
    const spec = await open('clang19/packet_counter.bpf.o')
    spec.variables['blocked_port']?.set(53)
    using live = await load(spec, backend)
    const count = live.programs['count_packets']
    const udp = await packet('udp')
    const tcp = await packet('tcp')
    expect(count?.run({ data: udp }).verdict).toMatch(/^XDP_(PASS|DROP)$/)
    expect(count?.run({ data: tcp, repeat: 3 })).toMatchObject({ verdict: 'XDP_PASS', data: tcp })
    const flows = [...(live.maps['flows']?.entries() ?? [])].map(([, value]) => value)
    expect(flows).toContainEqual({ packets: 3n, bytes: BigInt(3 * tcp.length) })
    expect(live.maps['protocols']?.get(3)).toEqual({ packets: 3n, bytes: BigInt(3 * tcp.length) })
  })

  it('blocks the port that the variable says', async () => {
    const blocked = await packet('udp-blocked')
    const spec = await open('clang19/packet_counter.bpf.o')
    using asBuilt = await load(spec, backend)
    expect(asBuilt.programs['count_packets']?.run({ data: blocked }).verdict).toBe('XDP_DROP')
    spec.variables['blocked_port']?.set(1)
    using open_ = await load(spec, backend)
    expect(open_.programs['count_packets']?.run({ data: blocked }).verdict).toBe('XDP_PASS')
  })

  it('delivers ring buffer records and perf events', async () => {
    using live = await loadFixtureObject('clang19/maps_all.bpf.o')
    const request = new Uint8Array(64)
    request.set([2, 0, 5, 0], 0)
    expect(live.programs['use_ring']?.run({ data: request }).retval).toBe(0)
    expect(live.maps['ring']?.drain()).toHaveLength(1)
    expect(live.maps['ring']?.drain()).toEqual([])
    request[0] = 1
    expect(live.programs['use_perf']?.run({ data: request }).retval).toBe(0)
    expect(live.maps['perf']?.drain()).toHaveLength(1)
  })

  it('fills program arrays and maps of maps as the object says', async () => {
    using calls = await loadFixtureObject('clang19/tail_calls.bpf.o')
    const stages = calls.maps['stages']?.raw
    expect(stages?.type).toBe(MapType.PROG_ARRAY)
    expect(calls.programs['entry']?.run({ data: await packet('tcp') }).verdict).toMatch(/^XDP_/)
    using maps = await loadFixtureObject('clang19/map_in_map.bpf.o')
    expect(maps.programs['count']?.run({ data: await packet('tcp') }).verdict).toMatch(/^XDP_/)
  })

  it('gives .kconfig externs the values of this kernel', async () => {
    using live = await loadFixtureObject('clang19/externs.bpf.o')
    live.programs['kconfig']?.run({ data: await packet('tcp') })
    const [major = 0, minor = 0] = release().split('.').map(Number)
    const version = Number(live.variables['version']?.get())
    expect([version >> 16, (version >> 8) & 255]).toEqual([major, minor])
    expect(live.variables['absent_sum']?.get()).toBe(0)
    live.programs['ksyms']?.run({ data: await packet('tcp') })
    expect(live.variables['schedule_address']?.get()).toBeGreaterThan(0n)
  })

  it('writes back the context of syscall programs', async () => {
    using live = await loadFixtureObject('clang19/syscall_prog.bpf.o')
    const ctx = new Uint8Array(32)
    ctx[0] = 6
    const result = live.programs['calculate']?.run({ ctx, repeat: 1 })
    expect(result?.ctx).toHaveLength(32)
    expect(result?.ctx).not.toEqual(ctx)
    expect(ctx[0]).toBe(6)
  })

  it('runs raw tracepoints on their arguments', async () => {
    using live = await loadFixtureObject('clang19/block_latency.bpf.o')
    const ctx = new Uint8Array([...u64(0n), ...u64(100n), ...u64(4096n)])
    for (let i = 0; i < 5; i++) live.programs['feed']?.run({ ctx })
    const total = [...(live.maps['hist']?.entries() ?? [])].map(([, value]) => JSON.stringify(value, bigints)).join()
    expect(total).toContain('5')
  })

  it('loads what can be loaded when one program is refused, and says why', async () => {
    const spec = await open('clang19/optional_prog.bpf.o')
    for (const program of Object.values(spec.programs)) program.autoload = true
    const second = spec.programs['second']
    if (second === undefined) throw new Error('no program "second"')
    second.type = ProgType.LIRC_MODE2
    using live = await load(spec, backend)
    expect(Object.keys(live.programs)).toEqual(expect.arrayContaining(['first', 'classify', 'third']))
    const report = new Map(live.report.programs.map((entry) => [entry.name, entry]))
    expect(report.get('never')).toMatchObject({ status: 'failed', error: { code: 'verifier' } })
    expect(report.get('never')?.error?.message).toContain('cannot use helper bpf_get_hash_recalc')
    expect(report.get('never')?.error?.where.sourceLine).toContain('optional_prog.bpf.c')
    expect(report.get('never')?.log).toContain('processed')
    expect(report.get('second')).toMatchObject({ status: 'failed', error: { where: { program: 'second' } } })
    expect(live.programs['first']?.run({ data: await packet('tcp') }).verdict).toBe('XDP_PASS')
  })

  it('loads without a kernel BTF what needs none', async () => {
    using blind = openKernelBackend({ btf: null })
    using live = await load(await open('clang19/packet_counter.bpf.o'), blind)
    expect(Object.keys(live.programs)).toEqual(['count_packets'])
    using core = await load(await open('clang19/core_kinds.bpf.o'), blind)
    expect(core.report.programs.every(({ status }) => status === 'failed')).toBe(true)
    expect(vmlinuxBtf()).toBe(backend.kernelBtf())
  })

  it('leaves no descriptor open', async () => {
    const round = async (): Promise<void> => {
      for (const name of ['packet_counter', 'maps_all', 'map_in_map', 'tail_calls', 'struct_ops_min', 'externs']) {
        using live = await loadFixtureObject(`clang19/${name}.bpf.o`)
        live.maps['perf']?.drain()
        live.maps['ring']?.drain()
      }
    }
    await round()
    const before = openFds()
    for (let i = 0; i < 5; i++) await round()
    expect(openFds()).toBe(before)
  })

  it('tells the kernel names, types and access of maps', async () => {
    using live = await loadFixtureObject('clang19/packet_counter.bpf.o')
    const raw = live.maps['flows']?.raw as KernelMap
    expect(raw.info()).toMatchObject({ name: 'flows', type: MapType.HASH, maxEntries: 1024 })
    expect(raw.info().btfKeyTypeId).toBeGreaterThan(0)
    expect(live.maps['.rodata']?.raw.flags).toBeGreaterThan(0)
    expect(() =>
      live.maps['.rodata']?.raw.update(bytes32(0), new Uint8Array(live.maps['.rodata']?.raw.valueSize ?? 0)),
    ).toThrow('EPERM')
  })
})

function bigints(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value
}
