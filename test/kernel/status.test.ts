import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { findBinding } from '../../src/kernel/binding.ts'
import { kernelStatus } from '../../src/kernel/index.ts'
import { parseCpuList } from '../../src/kernel/cpus.ts'
import { versionCode } from '../../src/kernel/kernel-facts.ts'
import { permissionCauses } from '../../src/kernel/permission.ts'

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

  it.runIf(process.platform === 'linux')('says that an addon of an older version is to be built again', () => {
    const folder = mkdtempSync(join(tmpdir(), 'elfbee-addon-'))
    const path = join(folder, 'old.cjs')
    writeFileSync(path, 'exports.bpf = exports.bpfAsync = exports.pinAll = () => 0')
    const result = findBinding('linux', path)
    rmSync(folder, { recursive: true })
    expect(result).toMatchObject({
      ok: false,
      reasons: [`${path} is of another version, without own: build it again (npm run build:native)`, expect.anything()],
    })
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

describe('facts of the machine', () => {
  it('reads kernel versions as libbpf does', () => {
    expect(versionCode('6.18.44-fc-v595', '#1 SMP', null)).toBe(0x06122c)
    expect(versionCode('4.9.337', '', null)).toBe(0x0409ff)
    expect(versionCode('6.1.0-7-amd64', '#1 SMP Debian 6.1.20-1 (2023-03-19)', null)).toBe(0x060114)
    expect(versionCode('5.4.0-12-generic', '', 'Ubuntu 5.4.0-12.15-generic 5.4.8\n')).toBe(0x050408)
    expect(versionCode('strange', '', null)).toBeNull()
  })

  it('reads lists of CPUs', () => {
    expect(parseCpuList('0-2,5\n')).toEqual([0, 1, 2, 5])
    expect(() => parseCpuList('a-b')).toThrow('CPU list')
  })
})
