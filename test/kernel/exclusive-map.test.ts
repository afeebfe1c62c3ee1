import { describe, expect, it } from 'vitest'
import { openKernelBackend } from '../../src/kernel/index.ts'
import { load, openObject, type ObjectSpec } from '../../src/loader/index.ts'
import { createVm } from '../../src/vm/index.ts'
import { loadFixture } from '../support/fixture.ts'
import { kernelTestsRun } from '../support/kernel.ts'

async function open(name: string): Promise<ObjectSpec> {
  const file = `${name}.bpf.o`
  return openObject(await loadFixture(`fixtures/clang19/${file}`), { name: file })
}

/** Makes all maps that are no data sections exclusive to a program. */
function seal(spec: ObjectSpec, program: string): void {
  for (const map of Object.values(spec.maps)) if (map.dataSection === null) map.exclusiveProgram = program
}

describe.runIf(await kernelTestsRun())('maps exclusive to a program', () => {
  it('can be used by that program', async () => {
    const spec = await open('packet_counter')
    seal(spec, 'count_packets')
    await using live = await load(spec, openKernelBackend(), { strict: true })
    expect(live.programs['count_packets']?.run({ data: new Uint8Array(64) }).verdict).toBe('XDP_PASS')
  })

  it('cannot be used by another', async () => {
    const spec = await open('maps_all')
    seal(spec, 'use_lpm')
    await using live = await load(spec, openKernelBackend())
    const reports = new Map(live.report.programs.map((report) => [report.name, report]))
    expect(reports.get('use_lpm')?.status).toBe('loaded')
    expect(reports.get('use_odd_hash')?.error?.message).toContain("program's hash doesn't match map's excl_prog_hash")
  })
})

describe('maps exclusive to a program that is not loaded', () => {
  it('are not created', async () => {
    const spec = await open('packet_counter')
    seal(spec, 'other')
    await using live = await load(spec, createVm())
    const report = live.report.maps.find(({ name }) => name === 'flows')
    expect(report?.error?.message).toContain("exclusive to program 'other', which is not loaded")
  })
})
