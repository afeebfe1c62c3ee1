import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { BpfError } from '../../src/bytes/index.ts'
import { openKernelBackend, type KernelBackend } from '../../src/kernel/index.ts'
import { load, openObject, type ObjectSpec } from '../../src/loader/index.ts'
import { MapFlag } from '../../src/uapi/index.ts'
import { createVm } from '../../src/vm/index.ts'
import { loadFixture } from '../support/fixture.ts'
import { kernelTestsRun } from '../support/kernel.ts'
import { thrown } from '../support/thrown.ts'

const run = await kernelTestsRun()

/** An object whose map `flows` is to be pinned by name. */
async function open(): Promise<ObjectSpec> {
  const file = 'packet_counter.bpf.o'
  const spec = openObject(await loadFixture(`fixtures/clang19/${file}`), { name: file })
  const flows = spec.maps['flows']
  if (flows !== undefined) flows.pinning = 'by-name'
  return spec
}

describe.runIf(run)('pins', () => {
  if (!run) return
  const backend: KernelBackend = openKernelBackend()
  let directory = ''
  const roots: string[] = []
  /** A directory of its own for each test, which is not there yet. */
  const newRoot = (): string => {
    const root = join(directory, `t${roots.length}`)
    roots.push(root)
    return root
  }
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'elfbee-pins-'))
    execFileSync('mount', ['-t', 'bpf', 'bpf', directory])
  })
  afterAll(() => {
    backend.close()
    execFileSync('umount', [directory])
    rmdirSync(directory)
  })

  it('shares a map that two objects pin by name', async () => {
    const pinRoot = newRoot()
    const first = await load(await open(), backend, { pinRoot, strict: true })
    expect(first.report.maps.find((map) => map.name === 'flows')).toMatchObject({
      status: 'created',
      pin: `${pinRoot}/flows`,
    })
    first.programs['count_packets']?.run({ data: new Uint8Array(64) })
    const entries = [...(first.maps['flows']?.entries() ?? [])]
    const id = first.maps['flows']?.raw.id
    first.close()
    await using second = await load(await open(), backend, { pinRoot, strict: true })
    expect(second.report.maps.find((map) => map.name === 'flows')?.status).toBe('reused')
    expect(second.maps['flows']?.raw.id).toBe(id)
    expect([...(second.maps['flows']?.entries() ?? [])]).toEqual(entries)
    second.maps['flows']?.unpin()
    expect(readdirSync(pinRoot)).toEqual([])
  })

  it('lists everything in which a pinned map differs, and leaves it alone', async () => {
    const pinRoot = newRoot()
    await using first = await load(await open(), backend, { pinRoot, strict: true })
    const spec = await open()
    const flows = spec.maps['flows']
    if (flows === undefined) throw new Error('no map')
    flows.maxEntries = 7
    flows.flags |= MapFlag.NO_PREALLOC
    await using second = await load(spec, backend, { pinRoot })
    const report = second.report.maps.find((map) => map.name === 'flows')
    expect(report?.status).toBe('failed')
    expect(report?.error?.message).toMatch(/max_entries 1024 instead of 7; flags 0x0 instead of 0x1/)
    expect(readdirSync(pinRoot)).toEqual(['flows'])
    first.maps['flows']?.unpin()
  })

  it('leaves no pin of a load that fails', async () => {
    const pinRoot = newRoot()
    const spec = await open()
    const program = spec.programs['count_packets']
    // No program of that type may use this context.
    if (program !== undefined) program.type = 1
    await expect(load(spec, backend, { pinRoot, strict: true })).rejects.toThrow(BpfError)
    expect(readdirSync(directory)).not.toContain(pinRoot.slice(directory.length + 1))
  })

  it('pins maps and programs, and all of an object or nothing', async () => {
    const root = newRoot()
    await using live = await load(await open(), backend, { strict: true })
    live.pin(root)
    const names = readdirSync(root).sort()
    expect(names).toEqual(expect.arrayContaining(['_rodata', 'count_packets', 'flows']))
    using again = backend.pinnedProgram(join(root, 'count_packets'))
    expect(again.id).toBe(live.programs['count_packets']?.raw.id)
    live.unpin(root)
    expect(readdirSync(root)).toEqual([])
    // The name of the program, which comes last, is taken.
    live.maps['flows']?.pin(join(root, 'count_packets'))
    expect(thrown(() => live.pin(root)).errno).toBe('EEXIST')
    expect(readdirSync(root)).toEqual(['count_packets'])
    live.maps['flows']?.unpin(join(root, 'count_packets'))
    expect(thrown(() => live.maps['flows']?.unpin(join(root, 'flows'))).errno).toBe('ENOENT')
  })

  it('says that the vm has no pins', async () => {
    await using live = await load(await open(), createVm())
    expect(thrown(() => live.maps['flows']?.pin('/anywhere')).code).toBe('unsupported')
    await using pinned = await load(await open(), createVm(), { pinRoot: '/anywhere' })
    expect(pinned.report.maps.find((map) => map.name === 'flows')?.error?.code).toBe('unsupported')
  })
})
