import { execFileSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { kernelStatus } from '../../src/kernel/index.ts'
import { builtCli, cli, parsed } from './support.ts'

interface Report {
  version: string
  vm: boolean
  kernel: boolean
  checks: { name: string; status: string; detail: string; fix: string | null }[]
}

describe('doctor', () => {
  it('gives each check a status, and what is missing a reason', async () => {
    const result = await cli(['doctor', '--json'])
    expect(result.code).toBe(0)
    const report: Report = parsed(result)
    expect(report.vm).toBe(true)
    expect(report.kernel).toBe(kernelStatus().ok)
    const names = report.checks.map((check) => check.name)
    expect(names).toEqual(expect.arrayContaining(['platform', 'node', 'webassembly', 'addon', 'bpf', 'clang']))
    for (const check of report.checks) {
      expect(['ok', 'note', 'missing']).toContain(check.status)
      expect(check.detail).not.toBe('')
      if (check.status === 'ok') expect(check.fix).toBeNull()
    }
  })

  it('ends its text with what runs here', async () => {
    const { code, stdout } = await cli(['doctor'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/\nprograms run: in the vm yes, in the kernel (yes|no)\n$/)
  })

  it.runIf(process.platform === 'linux')('without the addon says to build it, not to become root', () => {
    const env = { ...process.env, ELFBEE_NATIVE: '/nonexistent/elfbee.node' }
    const report = JSON.parse(
      execFileSync(process.execPath, [builtCli(), 'doctor', '--json'], { env, encoding: 'utf8' }),
    ) as Report
    const fixes = Object.fromEntries(report.checks.map(({ name, fix }) => [name, fix]))
    expect(fixes).toMatchObject({ addon: 'npm run build:native', bpf: null })
  })
})
