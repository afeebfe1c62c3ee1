import { describe, expect, it } from 'vitest'
import { findBinding } from '../../src/kernel/binding.ts'
import { kernelStatus } from '../../src/kernel/index.ts'
import { permissionCauses } from '../../src/kernel/status.ts'

describe('finding the addon', () => {
  it('says that bpf(2) is for Linux on other systems', () => {
    const result = findBinding('darwin', undefined)
    expect(result).toEqual({ ok: false, reasons: [expect.stringContaining('darwin: bpf(2) exists on Linux only')] })
  })

  it.runIf(process.platform === 'linux')('names a file of ELFBEE_NATIVE that does not load', () => {
    const result = findBinding('linux', '/nonexistent/elfbee.node')
    expect(result.ok).toBe(false)
    expect(result.ok ? [] : result.reasons).toEqual([
      expect.stringContaining('/nonexistent/elfbee.node does not load'),
      'ELFBEE_NATIVE names it',
    ])
  })
})

describe('kernelStatus', () => {
  it('gives reasons exactly when the kernel cannot be used', () => {
    const status = kernelStatus()
    expect(status.reasons.length === 0).toBe(status.ok)
  })

  it('reads the causes of EPERM from the process status', () => {
    const causes = permissionCauses('CapEff:\t0000000000001000\nSeccomp:\t2\n')
    expect(causes[0]).toContain('the process has no CAP_BPF, CAP_PERFMON (')
    expect(causes.join()).toContain('seccomp filter')
    expect(permissionCauses('CapEff:\t000001ffffffffff\nSeccomp:\t0\n').join()).not.toContain('CAP_BPF')
  })
})
