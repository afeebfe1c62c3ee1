import { describe, expect, it } from 'vitest'
import { assemble } from '../../src/isa/index.ts'
import { useOldHelpers } from '../../src/kernel/old-kernels.ts'
import { capabilitiesOf, mapCapabilities, missingCapabilities, permissionCauses } from '../../src/kernel/permission.ts'
import { HelperId, MapType, ProgType } from '../../src/uapi/index.ts'

describe('programs for old kernels', () => {
  const text =
    'call bpf_probe_read_kernel\ncall bpf_probe_read_user_str\ncall bpf_get_current_pid_tgid\nr1 = 113\ncall bpf_probe_read_user\nexit'
  const calls = (imm: Int32Array): number[] => Array.from(imm).slice(0, 5)

  it('call the helpers that came before', () => {
    const insns = assemble(text)
    useOldHelpers(insns, () => false)
    const { probe_read, probe_read_str, get_current_pid_tgid } = HelperId
    expect(calls(insns.imm)).toEqual([probe_read, probe_read_str, get_current_pid_tgid, 113, probe_read])
  })

  it('are left alone where the kernel has the new ones', () => {
    const insns = assemble(text)
    let asked = 0
    useOldHelpers(insns, () => ++asked > 0)
    expect(insns.imm).toEqual(assemble(text).imm)
    expect(asked).toBe(1)
    useOldHelpers(assemble('r0 = 0\nexit'), () => ++asked > 0)
    expect(asked).toBe(1)
  })
})

describe('missing permissions', () => {
  const status = (...bits: readonly number[]): string => {
    const mask = bits.reduce((sum, bit) => sum | (1n << BigInt(bit)), 0n)
    return `CapEff:\t${mask.toString(16).padStart(16, '0')}\nSeccomp:\t0\n`
  }

  it('are named by what the type needs', () => {
    expect(capabilitiesOf(ProgType.XDP)).toEqual(['CAP_BPF', 'CAP_NET_ADMIN'])
    expect(capabilitiesOf(ProgType.KPROBE)).toEqual(['CAP_BPF', 'CAP_PERFMON'])
    expect(capabilitiesOf(ProgType.SOCKET_FILTER)).toEqual(['CAP_BPF'])
    expect(mapCapabilities(MapType.SOCKMAP)).toContain('CAP_NET_ADMIN')
    expect(mapCapabilities(MapType.HASH)).toEqual(['CAP_BPF'])
    const onlyBpf = status(39)
    expect(missingCapabilities(capabilitiesOf(ProgType.XDP), onlyBpf)).toEqual(['CAP_NET_ADMIN'])
    expect(permissionCauses(onlyBpf, capabilitiesOf(ProgType.KPROBE))[0]).toContain('the process has no CAP_PERFMON')
    expect(permissionCauses(onlyBpf, ['CAP_BPF']).join()).not.toContain('has no')
  })

  it('are none for who may do everything', () => {
    expect(missingCapabilities(capabilitiesOf(ProgType.TRACING), status(21))).toEqual([])
  })
})
