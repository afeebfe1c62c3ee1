import { release } from 'node:os'
import { describe, expect, it } from 'vitest'
import { openKernelBackend } from '../../src/kernel/index.ts'
import { load, openObject, type ObjectSpec } from '../../src/loader/index.ts'
import { ProgType } from '../../src/uapi/index.ts'
import { createVm } from '../../src/vm/index.ts'
import { loadFixture } from '../support/fixture.ts'
import { kernelTestsRun } from '../support/kernel.ts'
import { thrown } from '../support/thrown.ts'

async function open(name: string): Promise<ObjectSpec> {
  const file = `${name}.bpf.o`
  return openObject(await loadFixture(`fixtures/clang19/${file}`), { name: file })
}

describe.runIf(await kernelTestsRun())('load into the kernel', () => {
  it('sets and reads variables, and freezes constants', async () => {
    const spec = await open('globals')
    spec.variables['bias']?.set(100)
    await using live = await load(spec, openKernelBackend(), { strict: true })
    const result = live.programs['update']?.run({ data: new Uint8Array(64).fill(3) })
    expect(result?.verdict).toBe('XDP_PASS')
    expect(live.variables['balance']?.get()).toBe(-5 + 100 + 3)
    expect(live.maps['.rodata']?.get(0)).toMatchObject({ bias: 100 })
    const rodata = live.maps['.rodata']?.raw
    const bytes = rodata?.lookup(new Uint8Array(4)) ?? new Uint8Array(0)
    expect(thrown(() => rodata?.update(new Uint8Array(4), bytes)).errno).toBe('EPERM')
  })

  it('fills slots with maps and programs', async () => {
    await using maps = await load(await open('map_in_map'), openKernelBackend(), { strict: true })
    maps.programs['count']?.run({ data: Uint8Array.from({ length: 64 }, (_, i) => [2, 3, 1][i] ?? 0) })
    expect(maps.maps['green']?.get(1)).toBe(1n)
    await using chain = await load(await open('tail_calls'), openKernelBackend(), { strict: true })
    expect(Object.keys(chain.programs).length).toBeGreaterThan(3)
  })

  it('leaves the event loop free while the kernel verifies, and keeps the order of programs', async () => {
    const spec = await open('tail_calls')
    let turns = 0
    const count = (): void => {
      turns++
      pending = setImmediate(count)
    }
    let pending = setImmediate(count)
    await using live = await load(spec, openKernelBackend(), { strict: true })
    clearImmediate(pending)
    expect(turns).toBeGreaterThan(0)
    expect(Object.keys(live.programs)).toEqual(Object.keys(spec.programs))
  })

  it('gives externs the values of the running kernel', async () => {
    await using live = await load(await open('externs'), openKernelBackend(), { strict: true })
    const data = new Uint8Array(64)
    for (const name of ['kconfig', 'ksyms', 'kfuncs'])
      expect(live.programs[name]?.run({ data }).verdict).toBe('XDP_PASS')
    const [major, minor] = release().split('.').map(Number)
    expect(Number(live.variables['version']?.get()) >> 8).toBe((major ?? 0) * 256 + (minor ?? 0))
    expect(live.variables['has_bpf']?.get()).toBe(1)
    expect(live.variables['absent_sum']?.get()).toBe(0)
    expect(live.variables['schedule_address']?.get()).not.toBe(0n)
    expect(live.variables['locked']?.get()).toBe(1)
  })

  it('relocates like the vm that is told the same types', async () => {
    const backend = openKernelBackend()
    await using inKernel = await load(await open('core_kinds'), backend, { strict: true })
    const btf = backend.kernelBtf()
    if (btf === null) return
    await using inVm = await load(await open('core_kinds'), createVm({ btf }))
    const data = new Uint8Array(64)
    const values = [inKernel, inVm].map((live) => {
      live.programs['facts_socket']?.run({ data })
      return [...(live.maps['out']?.entries() ?? [])]
    })
    expect(values[0]?.length).toBeGreaterThan(10)
    expect(values[0]).toEqual(values[1])
  })

  it('says which program the verifier refuses, why, and loads the others', async () => {
    const spec = await open('packet_counter')
    const other = await open('globals')
    const update = other.programs['update']
    // Its context is none of a socket filter's.
    if (update !== undefined) update.type = ProgType.SOCKET_FILTER
    await using live = await load(other, openKernelBackend())
    const report = live.report.programs.find((p) => p.name === 'update')
    expect(report).toMatchObject({ status: 'failed', error: { code: 'verifier' } })
    expect(report?.log).toMatch(/invalid mem access/)
    expect(live.report.programs.filter((p) => p.status === 'loaded').map((p) => p.name)).toEqual(['digest', 'print'])
    await using good = await load(spec, openKernelBackend(), { strict: true })
    expect(Object.keys(good.programs)).toEqual(['count_packets'])
  })
})
