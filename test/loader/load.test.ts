import { describe, expect, it } from 'vitest'
import { load, openObject, type Backend, type ObjectSpec } from '../../src/loader/index.ts'
import { createVm } from '../../src/vm/index.ts'
import { loadFixture } from '../support/fixture.ts'
import { thrown } from '../support/thrown.ts'

async function open(name: string, build: string = 'clang19', backends?: () => Backend): Promise<ObjectSpec> {
  const file = `${name}.bpf.o`
  const options = { name: file, ...(backends === undefined ? {} : { backends }) }
  return openObject(await loadFixture(`fixtures/${build}/${file}`), options)
}

async function failure(work: Promise<unknown>): Promise<Error> {
  try {
    await work
  } catch (error) {
    return error as Error
  }
  throw new Error('nothing was thrown')
}

describe('load', () => {
  it('runs a program on data that was set before', async () => {
    const spec = await open('globals')
    spec.variables['bias']?.set(100)
    spec.variables['total']?.set(5n)
    await using live = await load(spec, createVm())
    const result = live.programs['update']?.run({ data: new Uint8Array(64).fill(3) })
    expect(result?.verdict).toBe('XDP_PASS')
    expect(live.variables['packets']?.get()).toBe(1n)
    expect(live.variables['bytes']?.get()).toBe(64n)
    // balance += bias + table[3]
    expect(live.variables['balance']?.get()).toBe(-5 + 100 + 3)
    live.variables['packets']?.set(41n)
    live.programs['update']?.run({ data: new Uint8Array(64) })
    expect(live.variables['packets']?.get()).toBe(42n)
    expect(thrown(() => live.variables['bias']?.set(1)).code).toBe('usage')
    expect(live.maps['.rodata']?.get(0)).toMatchObject({ bias: 100 })
  })

  it('gives maps by their C types', async () => {
    await using live = await load(await open('maps_all'), createVm({ cpus: 3 }))
    const hash = live.maps['hash']
    expect(hash?.get(7)).toBeUndefined()
    const error = thrown(() => hash?.get({ a: 1 }))
    expect([error.code, error.where.map]).toEqual(['type-mismatch', 'hash'])
    const percpu = live.maps['percpu_array']
    const values = percpu?.get(0)
    expect(Array.isArray(values) && values.length).toBe(3)
    const keys = [...(live.maps['array']?.keys() ?? [])]
    expect(keys).toEqual(keys.map((_, i) => i))
    expect(keys.length).toBe(live.maps['array']?.spec.maxEntries)
  })

  it('fills slots with maps and programs', async () => {
    await using live = await load(await open('map_in_map'), createVm())
    expect(live.report.maps.every((map) => map.status === 'created' && map.error === undefined)).toBe(true)
    live.programs['count']?.run({ data: Uint8Array.from([2, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]) })
    expect(live.maps['green']?.get(1)).toBe(1n)
    expect(live.maps['tenant_a']?.get(1)).toBe(1n)
    expect(live.maps['red']?.get(1)).toBe(0n)

    await using chain = await load(await open('tail_calls'), createVm())
    expect(chain.report.maps.find((map) => map.name === 'stages')).toEqual({ name: 'stages', status: 'created' })
  })

  it('reports what fails and loads the rest', async () => {
    // A map type that no kernel has.
    const spec = await open('tracing')
    const perTask = spec.maps['per_task']
    if (perTask !== undefined) perTask.type = 200
    await using live = await load(spec, createVm())
    const status = Object.fromEntries(live.report.programs.map((p) => [p.name, p.status]))
    expect(status).toMatchObject({ unlink_entry: 'loaded', on_switch: 'failed', unlink_fentry: 'skipped' })
    const failed = live.report.programs.find((p) => p.name === 'on_switch')
    expect(failed?.error?.message).toMatch(/its map 'per_task' failed: /)
    expect(failed?.error?.where).toMatchObject({ file: 'tracing.bpf.o', program: 'on_switch' })
    expect(live.programs['on_switch']).toBeUndefined()
    const error = await failure(load(spec, createVm(), { strict: true }))
    expect(error.message).toMatch(/per_task/)
  })

  it('refuses big-endian objects with the reason', async () => {
    const error = await failure(load(await open('globals', 'clang19-eb'), createVm()))
    expect(error.message).toMatch(/big-endian/)
  })

  it('runs functions of struct_ops in the vm, where nothing registers them', async () => {
    await using live = await load(await open('struct_ops_min'), createVm({ verify: false }))
    const map = live.report.maps.find((m) => m.name === 'steady')
    expect(map).toMatchObject({ status: 'failed', error: { code: 'unsupported' } })
    expect(live.report.programs.map((p) => p.status)).toEqual(['loaded', 'loaded', 'loaded'])
    live.programs['count_acks']?.run({ ctx: new Uint8Array(new BigUint64Array([0n, 0n, 7n]).buffer) })
    expect(live.variables['acks']?.get()).toBe(7n)
  })

  it('takes maps from elsewhere', async () => {
    const vm = createVm()
    await using first = await load(await open('packet_counter'), vm)
    const flows = first.maps['flows']
    if (flows === undefined) throw new Error('no map')
    const second = await load(await open('packet_counter'), vm, { maps: { flows: flows.raw } })
    expect(second.report.maps.find((m) => m.name === 'flows')?.status).toBe('reused')
    second.close()
    second.close()
    // The one from elsewhere is still open.
    expect([...flows.keys()]).toEqual([])
  })

  it('resolves backends by name', async () => {
    const spec = await open('packet_counter', 'clang14', () => createVm())
    await using live = await spec.load({ backend: 'vm' })
    expect(Object.keys(live.programs)).toEqual(['count_packets'])
    const error = await failure((await open('packet_counter')).load({ backend: 'kernel' }))
    expect(error.message).toMatch(/no resolver/)
  })
})
