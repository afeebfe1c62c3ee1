import type { AttachObject, AttachOptions, Link, ProgramSpec } from '../../loader/index.ts'
import { AttachType, ProgType, progTypeName } from '../../uapi/index.ts'
import { isMultiTrace } from '../attach-target.ts'
import { attachKprobeMulti, attachUprobeMulti } from './multi.ts'
import { attachCgroup, attachNetfilter, attachNetns, attachSockmap, attachTc, attachXdp } from './net.ts'
import { attachKprobe, attachKsyscall } from './kprobe.ts'
import { attachPerfEvent, attachTracepoint } from './perf-event.ts'
import { AttachSite } from './site.ts'
import { attachIterator, attachRawTracepoint, attachTrace } from './tracing.ts'
import { attachTracingMulti } from './tracing-multi.ts'
import { attachUprobe } from './uprobe.ts'
import { attachUsdt } from './usdt.ts'

type Attach = (site: AttachSite) => Link

/**
 * Attaches a program where its section and the options say.
 * @param fd descriptor of the program, which may be closed afterwards
 * @param object what the program was loaded with, for probes that keep facts in maps (USDT)
 * @throws BpfError `usage` for options that are missing, wrong or unknown to the hook; `not-found`, `unsupported`, `syscall`
 */
export function attachProgram(
  fd: number,
  spec: ProgramSpec,
  options: AttachOptions = {},
  object: AttachObject | null = null,
): Link {
  const site = new AttachSite(fd, spec, options, object)
  const attach = BY_TYPE[spec.type]
  if (attach === undefined) {
    const name = progTypeName(spec.type)
    throw site.unsupported(USED_OTHERWISE[spec.type] ?? `${name} programs are not attached by a link`)
  }
  return attach(site)
}

const attachTracing: Attach = (site) => {
  const { attachType } = site.spec
  if (attachType === AttachType.TRACE_ITER) return attachIterator(site)
  return isMultiTrace(attachType) ? attachTracingMulti(site) : attachTrace(site)
}

const attachLsm: Attach = (site) =>
  site.spec.attachType === AttachType.LSM_CGROUP ? attachCgroup(site) : attachTrace(site)

/** Programs of type kprobe: the section says which kind of probe, or else the attach type and options. */
const attachProbe: Attach = (site) => {
  const { attachType } = site.spec
  const kind = site.section?.autoAttach
  if (kind === 'usdt' || site.options.probe !== undefined) return attachUsdt(site)
  if (attachType === AttachType.TRACE_KPROBE_MULTI || attachType === AttachType.TRACE_KPROBE_SESSION) {
    return attachKprobeMulti(site)
  }
  if (attachType === AttachType.TRACE_UPROBE_MULTI || attachType === AttachType.TRACE_UPROBE_SESSION) {
    return attachUprobeMulti(site)
  }
  if (kind === 'ksyscall') return attachKsyscall(site)
  return kind === 'uprobe' || site.options.binary !== undefined ? attachUprobe(site) : attachKprobe(site)
}

const BY_TYPE: Readonly<Partial<Record<number, Attach>>> = {
  [ProgType.RAW_TRACEPOINT]: attachRawTracepoint,
  [ProgType.RAW_TRACEPOINT_WRITABLE]: attachRawTracepoint,
  [ProgType.TRACEPOINT]: attachTracepoint,
  [ProgType.PERF_EVENT]: attachPerfEvent,
  [ProgType.KPROBE]: attachProbe,
  [ProgType.TRACING]: attachTracing,
  [ProgType.EXT]: attachTrace,
  [ProgType.LSM]: attachLsm,
  [ProgType.XDP]: attachXdp,
  [ProgType.SCHED_CLS]: attachTc,
  [ProgType.SK_LOOKUP]: attachNetns,
  [ProgType.FLOW_DISSECTOR]: attachNetns,
  [ProgType.NETFILTER]: attachNetfilter,
  [ProgType.CGROUP_SKB]: attachCgroup,
  [ProgType.CGROUP_SOCK]: attachCgroup,
  [ProgType.CGROUP_SOCK_ADDR]: attachCgroup,
  [ProgType.CGROUP_SOCKOPT]: attachCgroup,
  [ProgType.CGROUP_SYSCTL]: attachCgroup,
  [ProgType.CGROUP_DEVICE]: attachCgroup,
  [ProgType.SOCK_OPS]: attachCgroup,
  [ProgType.SK_SKB]: attachSockmap,
  [ProgType.SK_MSG]: attachSockmap,
}

/** What to do with programs that no link attaches. */
const USED_OTHERWISE: Readonly<Partial<Record<number, string>>> = {
  [ProgType.SOCKET_FILTER]: 'socket filters are set on a socket (SO_ATTACH_BPF), not attached by a link',
  [ProgType.SK_REUSEPORT]:
    'sk_reuseport programs are set on a socket (SO_ATTACH_REUSEPORT_EBPF), not attached by a link',
  [ProgType.SYSCALL]: 'syscall programs are not attached: run() them',
  [ProgType.STRUCT_OPS]: 'struct_ops programs are attached with their map',
  [ProgType.SCHED_ACT]: 'tc actions are part of a tc filter, not attached by a link',
}
