import { readFileSync } from 'node:fs'
import type { Link } from '../../loader/index.ts'
import { AttachType, Cmd, Errno } from '../../uapi/index.ts'
import { cstring } from '../attr.ts'
import { closeFd, native, syscallError } from '../syscall.ts'
import { findBinary, UserBinary } from './binary.ts'
import { KernelLink, LegacyLink, tryLink } from './link.ts'
import type { AttachSite, Hints } from './site.ts'
import { tracepointId } from './tracefs.ts'

/** Facts of include/uapi/linux/perf_event.h. */
const PERF_TYPE_TRACEPOINT = 2
const PERF_FLAG_FD_CLOEXEC = 8
const IOC_ENABLE = 0x2400
const IOC_DISABLE = 0x2401
const IOC_SET_BPF = 0x4004_2408
/** Offsets in struct perf_event_attr; 72 bytes are its second published size (PERF_ATTR_SIZE_VER1). */
const ATTR = { type: 0, size: 4, config: 8, period: 16, flags: 40, config1: 56, config2: 64, bytes: 72 } as const
const FLAG_FREQUENCY = 1 << 10
const DEVICES = '/sys/bus/event_source/devices'
/** Where the offset of a semaphore stands in `config` of a uprobe (format/ref_ctr_offset). */
const SEMAPHORE_SHIFT = 32n

interface EventFields {
  readonly type: number
  readonly config: bigint
  readonly period?: number
  readonly frequency?: number
  /** Pointer to a zero-terminated text. */
  readonly name?: string
  readonly config2?: bigint
}

const ALL = -1

/** Tracepoints ("category/name"). */
export function attachTracepoint(site: AttachSite): Link {
  site.allow('a tracepoint', ['target', 'cookie'])
  const match = /^([^/:]+)[/:]([^/:]+)$/.exec(site.target ?? '')
  if (match === null) {
    const has = site.target === null ? 'names no tracepoint' : `names "${site.target}", not "category/name"`
    throw site.usage(`the section ${has}: give the option target`)
  }
  const id = tracepointId(match[1] as string, match[2] as string)
  return attachEvent(site, { type: PERF_TYPE_TRACEPOINT, config: BigInt(id) }, ALL, 0)
}

/** perf_event programs: samples of a counter. */
export function attachPerfEvent(site: AttachSite): Link {
  site.allow('a perf event', ['perfEvent', 'cookie'])
  const event = site.options.perfEvent
  if (event === undefined) throw site.usage('perf_event programs need the option perfEvent: { type, config, … }')
  const { pid, cpu, period, frequency } = event
  if (pid === undefined && cpu === undefined) throw site.usage('perfEvent needs a pid, a cpu or both')
  if ((period === undefined) === (frequency === undefined)) throw site.usage('perfEvent needs a period or a frequency')
  return attachEvent(
    site,
    {
      type: event.type,
      config: BigInt(event.config),
      ...(period === undefined ? {} : { period }),
      ...(frequency === undefined ? {} : { frequency }),
    },
    pid ?? ALL,
    cpu ?? ALL,
  )
}

/** uprobes and uretprobes: "binary:function+offset", or the options. */
export function attachUprobe(site: AttachSite): Link {
  site.allow('a uprobe', ['target', 'binary', 'symbol', 'offset', 'pid', 'retprobe', 'semaphore', 'cookie'])
  const { options } = site
  const colon = site.target?.lastIndexOf(':') ?? -1
  const named = colon > 0 ? (site.target as string) : null
  const binary = options.binary ?? named?.slice(0, colon)
  const symbol = options.symbol ?? (options.offset === undefined ? named?.slice(colon + 1) : undefined)
  if (binary === undefined)
    throw site.usage('the section names no "binary:function": give the options binary and symbol')
  const path = findBinary(binary)
  const isAddress = symbol !== undefined && /^(0x[0-9a-f]+|\d+)$/i.test(symbol)
  const base = symbol === undefined ? 0 : isAddress ? Number(symbol) : new UserBinary(path).offsetOf(symbol)
  if (symbol === undefined && options.offset === undefined) throw site.usage('a uprobe needs a symbol or an offset')
  const offset = base + (options.offset ?? 0)
  const config = BigInt(site.retprobe ? 1 : 0) | (BigInt(options.semaphore ?? 0) << SEMAPHORE_SHIFT)
  const type = eventSource(site, 'uprobe', 'CONFIG_UPROBE_EVENTS')
  const event: EventFields = { type, config, name: path, config2: BigInt(offset) }
  return options.pid === undefined ? attachEvent(site, event, ALL, 0) : attachEvent(site, event, options.pid, ALL)
}

/** kprobes and kretprobes: "function+offset", or the options. */
export function attachKprobe(site: AttachSite): Link {
  site.allow('a kprobe', ['target', 'symbol', 'offset', 'retprobe', 'cookie'])
  return attachKernelFunction(site, site.options.symbol ?? site.target)
}

/** ksyscall and kretsyscall: the function behind a system call. */
export function attachKsyscall(site: AttachSite): Link {
  site.allow('a system call', ['target', 'symbol', 'retprobe', 'cookie'])
  const name = site.options.symbol ?? site.target
  if (name === null) throw site.usage('the section names no system call: give the option symbol')
  // Kernels with wrappers (all since 4.17 on these machines) name the functions so.
  const prefix = process.arch === 'arm64' ? '__arm64_sys_' : '__x64_sys_'
  return attachKernelFunction(site, prefix + name)
}

function attachKernelFunction(site: AttachSite, target: string | null): Link {
  if (target === null) throw site.usage('the section names no kernel function: give the option symbol')
  const match = /^(.+?)(?:\+(0x[0-9a-f]+|\d+))?$/i.exec(target)
  const symbol = match?.[1] ?? target
  const offset = Number(match?.[2] ?? 0) + (site.options.offset ?? 0)
  const type = eventSource(site, 'kprobe', 'CONFIG_KPROBE_EVENTS')
  const config = BigInt(site.retprobe ? 1 : 0)
  return attachEvent(site, { type, config, name: symbol, config2: BigInt(offset) }, ALL, 0)
}

/** Number of an event source, which sysfs tells. */
function eventSource(site: AttachSite, name: 'kprobe' | 'uprobe', option: string): number {
  try {
    return Number(readFileSync(`${DEVICES}/${name}/type`, 'latin1'))
  } catch {
    throw site.unsupported(`this kernel has no ${name}s (${option}, perf source "${name}", Linux 4.17 and later)`)
  }
}

const OPEN: Hints = {
  [Errno.ENOENT]: 'the kernel or this machine has no such event, or no such function',
  [Errno.ESRCH]: 'there is no such process',
  [Errno.EACCES]: 'needs CAP_PERFMON',
  [Errno.EPERM]: 'needs CAP_PERFMON, or the kernel is under lockdown',
  [Errno.EINVAL]: 'the event has other parameters, or there is no instruction to probe at this offset',
  [Errno.EADDRNOTAVAIL]: 'the function is not to be probed',
}

/** Opens a perf event and lets it run the program. */
function attachEvent(site: AttachSite, event: EventFields, pid: number, cpu: number): Link {
  const attr = new DataView(new ArrayBuffer(ATTR.bytes))
  attr.setUint32(ATTR.type, event.type, true)
  attr.setUint32(ATTR.size, ATTR.bytes, true)
  attr.setBigUint64(ATTR.config, BigInt.asUintN(64, event.config), true)
  attr.setBigUint64(ATTR.period, BigInt(event.frequency ?? event.period ?? 0), true)
  attr.setUint32(ATTR.flags, event.frequency === undefined ? 0 : FLAG_FREQUENCY, true)
  attr.setBigUint64(ATTR.config2, BigInt.asUintN(64, event.config2 ?? 0n), true)
  const binding = native()
  const bytes = new Uint8Array(attr.buffer)
  const fd = binding.perfEventOpen(
    bytes,
    pid,
    cpu,
    -1,
    PERF_FLAG_FD_CLOEXEC,
    event.name === undefined ? [] : [[ATTR.config1, cstring(event.name)]],
  )
  if (fd < 0) throw syscallError('perf_event_open', fd, site.where, OPEN[-fd] ?? '')
  let link: Link | null = null
  try {
    link = linkEvent(site, fd)
    const enabled = binding.ioctl(fd, IOC_ENABLE, 0)
    if (enabled < 0) throw syscallError('ioctl(PERF_EVENT_IOC_ENABLE)', enabled, site.where)
  } catch (error) {
    link?.close()
    if (link === null || link instanceof KernelLink) closeFd(fd)
    throw error
  }
  // A link holds the event; without one the descriptor does.
  if (link instanceof KernelLink) closeFd(fd)
  return link
}

function linkEvent(site: AttachSite, fd: number): Link {
  const { cookie } = site
  const result = tryLink({
    prog_fd: site.fd,
    target_fd: fd,
    attach_type: AttachType.PERF_EVENT,
    'perf_event.bpf_cookie': cookie,
  })
  if (result >= 0) return new KernelLink(result, site.what)
  if (result !== -Errno.EINVAL || cookie !== 0n) {
    throw site.failed(Cmd.LINK_CREATE, result, {
      [Errno.EINVAL]: 'before Linux 5.15 perf events take no cookie',
      [Errno.EACCES]: 'the program reads more of its context than this event has',
    })
  }
  const set = native().ioctl(fd, IOC_SET_BPF, site.fd)
  if (set < 0) throw syscallError('ioctl(PERF_EVENT_IOC_SET_BPF)', set, site.where)
  return new LegacyLink(fd, site.what, site.fd, () => {
    native().ioctl(fd, IOC_DISABLE, 0)
  })
}
