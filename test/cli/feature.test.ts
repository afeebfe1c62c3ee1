import { describe, expect, it } from 'vitest'
import { kernelTestsRun } from '../support/kernel.ts'
import { cli, parsed } from './support.ts'

const run = await kernelTestsRun()

interface Report {
  features: Record<string, boolean>
  programTypes: Record<string, boolean>
  mapTypes: Record<string, boolean>
  mapFlags: Record<string, boolean>
  helpers: Record<string, string[]>
}

describe.runIf(run)('feature probe', () => {
  it('says what the running kernel can do', async () => {
    const { code, stdout } = await cli(['feature', 'probe'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/yes {2}array maps that can be mapped \(Linux 5\.5; arrayMmap\)/)
    expect(stdout).toMatch(/program types\n(.*\n)* {2}yes {2}xdp\n/)
  })

  it('lists helpers by program type', async () => {
    const report: Report = parsed(await cli(['feature', 'probe', 'kernel', '--json', '--helpers']))
    expect(Object.keys(report.features)).toHaveLength(26)
    expect(report.programTypes['xdp']).toBe(true)
    expect(report.mapTypes['ringbuf']).toBe(true)
    expect(report.mapFlags['MMAPABLE']).toBe(true)
    expect(report.helpers['xdp']).toContain('xdp_adjust_head')
    expect(report.helpers['socket_filter']).not.toContain('xdp_adjust_head')
    expect(report.helpers['tracing']).toBeUndefined()
  })

  it('knows no other probes', async () => {
    const { code, stderr } = await cli(['feature', 'list'])
    expect(code).not.toBe(0)
    expect(stderr).toContain('feature probe')
  })
})
