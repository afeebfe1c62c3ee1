import { readFileSync } from 'node:fs'
import { MapType, ProgType, readsKernelMemory } from '../uapi/index.ts'

/** Bits of the capability sets (include/uapi/linux/capability.h). */
const CAPABILITIES = { CAP_NET_ADMIN: 12, CAP_SYS_ADMIN: 21, CAP_PERFMON: 38, CAP_BPF: 39 } as const
export type Capability = keyof typeof CAPABILITIES

/** Program types that need CAP_NET_ADMIN beside CAP_BPF (kernel/bpf/syscall.c, is_net_admin_prog_type). */
const NETWORK: ReadonlySet<number> = new Set([
  ProgType.SCHED_CLS,
  ProgType.SCHED_ACT,
  ProgType.XDP,
  ProgType.LWT_IN,
  ProgType.LWT_OUT,
  ProgType.LWT_XMIT,
  ProgType.LWT_SEG6LOCAL,
  ProgType.SK_SKB,
  ProgType.SK_MSG,
  ProgType.FLOW_DISSECTOR,
  ProgType.CGROUP_DEVICE,
  ProgType.CGROUP_SOCK,
  ProgType.CGROUP_SOCK_ADDR,
  ProgType.CGROUP_SOCKOPT,
  ProgType.CGROUP_SYSCTL,
  ProgType.SOCK_OPS,
  ProgType.SK_REUSEPORT,
  ProgType.NETFILTER,
])
const NETWORK_MAPS: ReadonlySet<number> = new Set([
  MapType.SOCKMAP,
  MapType.SOCKHASH,
  MapType.DEVMAP,
  MapType.DEVMAP_HASH,
  MapType.XSKMAP,
])

/** What a process needs to load programs of a type. */
export function capabilitiesOf(programType: number): readonly Capability[] {
  if (readsKernelMemory(programType)) return ['CAP_BPF', 'CAP_PERFMON']
  return NETWORK.has(programType) ? ['CAP_BPF', 'CAP_NET_ADMIN'] : ['CAP_BPF']
}

/** What a process needs to create maps of a type. */
export function mapCapabilities(mapType: number): readonly Capability[] {
  return NETWORK_MAPS.has(mapType) ? ['CAP_BPF', 'CAP_NET_ADMIN'] : ['CAP_BPF']
}

/** Those of the capabilities that the process does not have; CAP_SYS_ADMIN stands for all. @internal */
export function missingCapabilities(needed: readonly Capability[], status: string = ownStatus()): Capability[] {
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`)
  const has = (capability: Capability): boolean => ((effective >> BigInt(CAPABILITIES[capability])) & 1n) === 1n
  return has('CAP_SYS_ADMIN') ? [] : needed.filter((capability) => !has(capability))
}

/** Why the kernel says EPERM, in words: the causes that can be seen, most likely first. */
export function permissionHint(needed: readonly Capability[]): string {
  return permissionCauses(ownStatus(), needed).join('; ')
}

/** Causes of EPERM that /proc/self/status shows, most likely first. @internal */
export function permissionCauses(
  status: string = ownStatus(),
  needed: readonly Capability[] = ['CAP_BPF', 'CAP_PERFMON', 'CAP_NET_ADMIN'],
): string[] {
  const causes: string[] = []
  const missing = missingCapabilities(needed, status)
  if (missing.length > 0) {
    causes.push(`the process has no ${missing.join(', ')} (run as root, or \`sudo setcap\` the node binary)`)
    const unprivileged = readText('/proc/sys/kernel/unprivileged_bpf_disabled')?.trim()
    if (unprivileged !== undefined && unprivileged !== '0') {
      causes.push(`kernel.unprivileged_bpf_disabled is ${unprivileged}`)
    }
  }
  if (/^Seccomp:\s*2/m.test(status)) {
    causes.push('a seccomp filter is active (containers block bpf(2) unless told otherwise)')
  }
  const lockdown = lockdownMode()
  if (lockdown !== null && lockdown !== 'none') causes.push(`kernel lockdown is in ${lockdown} mode`)
  if (inUserNamespace()) causes.push('root of a user namespace only: bpf(2) asks the initial namespace, or a BPF token')
  if (causes.length === 0) causes.push('before Linux 5.11 RLIMIT_MEMLOCK may be too small (ulimit -l)')
  return causes
}

/** Whether user ids are mapped, as they are outside of the initial user namespace. */
export function inUserNamespace(): boolean {
  const map = readText('/proc/self/uid_map')
  return map !== null && !/^\s*0\s+0\s+4294967295\s*$/.test(map)
}

/** Mode of kernel lockdown ("none", "integrity", "confidentiality"), null where it cannot be read. */
export function lockdownMode(): string | null {
  const text = readText('/sys/kernel/security/lockdown')
  return text === null ? null : (/\[(\w+)\]/.exec(text)?.[1] ?? null)
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return null
  }
}

function ownStatus(): string {
  return readText('/proc/self/status') ?? ''
}
