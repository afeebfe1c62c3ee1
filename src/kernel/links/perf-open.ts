import type { Link } from '../../loader/index.ts'
import { AttachType, Cmd, Errno } from '../../uapi/index.ts'
import { cstring } from '../attr.ts'
import { closeFd, native, syscallError } from '../syscall.ts'
import { KernelLink, LegacyLink, tryLink } from './link.ts'
import type { AttachSite, Hints } from './site.ts'

/** Facts of include/uapi/linux/perf_event.h. */
export const PERF_TYPE_TRACEPOINT = 2
const PERF_FLAG_FD_CLOEXEC = 8
const IOC_ENABLE = 0x2400
const IOC_DISABLE = 0x2401
const IOC_SET_BPF = 0x4004_2408
/** Offsets in struct perf_event_attr; 72 bytes are its second published size (PERF_ATTR_SIZE_VER1). */
const ATTR = { type: 0, size: 4, config: 8, period: 16, flags: 40, config1: 56, config2: 64, bytes: 72 } as const
const FLAG_FREQUENCY = 1 << 10

/** What to count, as struct perf_event_attr has it. */
export interface EventFields {
  readonly type: number
  readonly config: bigint
  readonly period?: number
  readonly frequency?: number
  /** Pointer to a zero-terminated text. */
  readonly name?: string
  readonly config2?: bigint
}

/** Every process, or every CPU. */
export const ALL = -1

const OPEN: Hints = {
  [Errno.ENOENT]: 'the kernel or this machine has no such event, or no such function',
  [Errno.ESRCH]: 'there is no such process',
  [Errno.EACCES]: 'needs CAP_PERFMON',
  [Errno.EPERM]: 'needs CAP_PERFMON, or the kernel is under lockdown',
  [Errno.EINVAL]: 'the event has other parameters, or there is no instruction to probe at this offset',
  [Errno.EADDRNOTAVAIL]: 'the function is not to be probed',
}

/**
 * Opens a perf event and lets it run the program.
 * @param cookie what bpf_get_attach_cookie() gives
 */
export function attachEvent(
  site: AttachSite,
  event: EventFields,
  pid: number,
  cpu: number,
  cookie: bigint = site.cookie,
): Link {
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
    link = linkEvent(site, fd, cookie)
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

function linkEvent(site: AttachSite, fd: number, cookie: bigint): Link {
  const asLink = site.options.attachMode !== 'perf'
  const result = asLink
    ? tryLink({
        prog_fd: site.fd,
        target_fd: fd,
        attach_type: AttachType.PERF_EVENT,
        'perf_event.bpf_cookie': cookie,
      })
    : -Errno.EINVAL
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
