import { accessSync, constants, readFileSync, statSync } from 'node:fs'
import { hasFeature, KERNEL_FEATURES, kernelStatus, loadBinding } from '../../kernel/index.ts'
import { VMLINUX } from '../frame/btf-file.ts'
import { missing, note, ok, type Check } from './check.ts'

/** Bits of the capability sets that BPF asks for (include/uapi/linux/capability.h), and for what. */
const CAPABILITIES = [
  { name: 'CAP_BPF', bit: 39, use: 'maps and programs' },
  { name: 'CAP_PERFMON', bit: 38, use: 'tracing programs' },
  { name: 'CAP_NET_ADMIN', bit: 12, use: 'networking programs' },
  { name: 'CAP_SYS_ADMIN', bit: 21, use: 'ids of other processes, and everything before Linux 5.8' },
] as const
const BPFFS = '/sys/fs/bpf'
const TRACEFS = ['/sys/kernel/tracing', '/sys/kernel/debug/tracing'] as const

/** What the kernel backend stands on. Nothing here throws. */
export async function kernelChecks(): Promise<Check[]> {
  const checks = [addon(), bpf()]
  if (process.platform !== 'linux') return checks
  return [...checks, ...features(), capabilities(), kernelBtf(), bpffs(), tracefs(), jit()]
}

function addon(): Check {
  const result = loadBinding()
  if (result.ok) return ok('addon', 'the native addon is loaded')
  return missing('addon', result.reasons.join('; '), process.platform === 'linux' ? 'npm run build:native' : null)
}

function bpf(): Check {
  if (!loadBinding().ok) return missing('bpf', 'needs the native addon', null)
  const status = kernelStatus()
  if (!status.ok) {
    const fix = 'run as root, or leave out --kernel: the vm needs no permission'
    return missing('bpf', status.reasons.join('; '), fix)
  }
  const notes = status.notes.length === 0 ? '' : ` (${status.notes.join('; ')})`
  return ok('bpf', `bpf(2) creates maps and loads programs${notes}`)
}

/** What the kernel lacks of what decides how objects are loaded and attached; nothing when it cannot be asked. */
function features(): Check[] {
  if (!kernelStatus().ok) return []
  const lacking = KERNEL_FEATURES.filter(({ name }) => !hasFeature(name))
  if (lacking.length === 0) return [ok('features', `all ${KERNEL_FEATURES.length} that libbpf asks for`)]
  const detail = lacking.map(({ what, since }) => `${what} (Linux ${since})`).join(', ')
  return [note('features', `the kernel lacks ${detail}`, null)]
}

function capabilities(): Check {
  const text = readText('/proc/self/status')
  const mask = /^CapEff:\s*([0-9a-f]+)/m.exec(text ?? '')?.[1]
  if (mask === undefined) return note('capabilities', '/proc/self/status cannot be read', 'mount /proc')
  const effective = BigInt(`0x${mask}`)
  const lacking = CAPABILITIES.filter(({ bit }) => ((effective >> BigInt(bit)) & 1n) === 0n)
  if (lacking.length === 0) return ok('capabilities', CAPABILITIES.map(({ name }) => name).join(', '))
  const detail = lacking.map(({ name, use }) => `no ${name} (${use})`).join(', ')
  return note(
    'capabilities',
    detail,
    'run as root, or setcap cap_bpf,cap_perfmon,cap_net_admin+ep "$(command -v node)"',
  )
}

function kernelBtf(): Check {
  try {
    accessSync(VMLINUX, constants.R_OK)
    return ok('kernel-btf', `${VMLINUX}, ${(statSync(VMLINUX).size / 1e6).toFixed(1)} MB`)
  } catch {
    const fix = 'a kernel with CONFIG_DEBUG_INFO_BTF=y, or name a BTF file with --btf'
    return missing('kernel-btf', `${VMLINUX} cannot be read: CO-RE has no target`, fix)
  }
}

function bpffs(): Check {
  const mounts = readText('/proc/self/mounts') ?? ''
  const mounted = mounts.split('\n').some((line) => line.split(' ')[1] === BPFFS && line.split(' ')[2] === 'bpf')
  if (mounted) return ok('bpffs', `${BPFFS} is mounted`)
  return note('bpffs', `${BPFFS} is no bpf file system: nothing can be pinned there`, `mount -t bpf bpf ${BPFFS}`)
}

function tracefs(): Check {
  const fix = 'mount -t tracefs tracefs /sys/kernel/tracing, and be root'
  for (const directory of TRACEFS) {
    try {
      accessSync(`${directory}/trace`, constants.R_OK)
      return ok('tracefs', `${directory}: bpf_trace_printk can be read, tracepoints and probes found`)
    } catch {
      continue
    }
  }
  return note('tracefs', `not readable: no trace output, tracepoints or probes with --kernel`, fix)
}

function jit(): Check {
  const text = readText('/proc/sys/net/core/bpf_jit_enable')?.trim()
  if (text === undefined) return note('kernel-jit', 'net.core.bpf_jit_enable cannot be read', null)
  if (text === '0') return note('kernel-jit', 'off: the kernel interprets programs', 'sysctl net.core.bpf_jit_enable=1')
  return ok('kernel-jit', text === '2' ? 'on, with debug output to the kernel log' : 'on')
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return null
  }
}
