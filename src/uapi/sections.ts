import { AttachType } from './attach-types.ts'
import { ProgType } from './prog-types.ts'

/** What libbpf's auto-attach does for a program of a section: one word per attach function. */
export type AutoAttach =
  | 'kprobe'
  | 'uprobe'
  | 'kprobe_multi'
  | 'kprobe_session'
  | 'uprobe_multi'
  | 'ksyscall'
  | 'usdt'
  | 'tp'
  | 'raw_tp'
  | 'trace'
  | 'tracing_multi'
  | 'lsm'
  | 'iter'

/**
 * - `attachable`: the expected attach type must be given at load
 * - `attachableOpt`: the same, but it is dropped on kernels that do not know it
 * - `attachBtf`: the target after the slash is a BTF id to be resolved at load
 * - `sleepable`: BPF_F_SLEEPABLE at load
 * - `xdpFrags`: BPF_F_XDP_HAS_FRAGS at load
 * - `usdt`: attach type TRACE_UPROBE_MULTI where the kernel has it
 */
export type SectionFlag = 'attachable' | 'attachableOpt' | 'attachBtf' | 'sleepable' | 'xdpFrags' | 'usdt'

/** What a section name says about the programs in it. */
export interface SectionDef {
  /** Name without the pattern's `+`. */
  readonly name: string
  /** Whether `name/extras` matches, too; otherwise only `name` does. */
  readonly extras: boolean
  readonly progType: ProgType
  /** Expected attach type, or null when the section has none (the kernel then sees 0). */
  readonly attachType: AttachType | null
  readonly flags: readonly SectionFlag[]
  /** null: libbpf's attach() refuses such a program. */
  readonly autoAttach: AutoAttach | null
}

function def(
  pattern: string,
  progType: ProgType,
  attachType: AttachType | null,
  flags: readonly SectionFlag[] = [],
  autoAttach: AutoAttach | null = null,
): SectionDef {
  const extras = pattern.endsWith('+')
  return { name: extras ? pattern.slice(0, -1) : pattern, extras, progType, attachType, flags, autoAttach }
}

/** SEC() names of libbpf 1.8, in libbpf's order; a trailing `+` means "exact, or name/extras". */
export const SECTION_DEFS: readonly SectionDef[] = [
  def('socket', ProgType.SOCKET_FILTER, null),
  def('sk_reuseport/migrate', ProgType.SK_REUSEPORT, AttachType.SK_REUSEPORT_SELECT_OR_MIGRATE, ['attachable']),
  def('sk_reuseport', ProgType.SK_REUSEPORT, AttachType.SK_REUSEPORT_SELECT, ['attachable']),
  def('kprobe+', ProgType.KPROBE, null, [], 'kprobe'),
  def('kretprobe+', ProgType.KPROBE, null, [], 'kprobe'),
  def('uprobe+', ProgType.KPROBE, null, [], 'uprobe'),
  def('uretprobe+', ProgType.KPROBE, null, [], 'uprobe'),
  def('uprobe.s+', ProgType.KPROBE, null, ['sleepable'], 'uprobe'),
  def('uretprobe.s+', ProgType.KPROBE, null, ['sleepable'], 'uprobe'),
  def('kprobe.multi+', ProgType.KPROBE, AttachType.TRACE_KPROBE_MULTI, [], 'kprobe_multi'),
  def('kretprobe.multi+', ProgType.KPROBE, AttachType.TRACE_KPROBE_MULTI, [], 'kprobe_multi'),
  def('kprobe.session+', ProgType.KPROBE, AttachType.TRACE_KPROBE_SESSION, [], 'kprobe_session'),
  def('uprobe.multi+', ProgType.KPROBE, AttachType.TRACE_UPROBE_MULTI, [], 'uprobe_multi'),
  def('uretprobe.multi+', ProgType.KPROBE, AttachType.TRACE_UPROBE_MULTI, [], 'uprobe_multi'),
  def('uprobe.session+', ProgType.KPROBE, AttachType.TRACE_UPROBE_SESSION, [], 'uprobe_multi'),
  def('uprobe.multi.s+', ProgType.KPROBE, AttachType.TRACE_UPROBE_MULTI, ['sleepable'], 'uprobe_multi'),
  def('uretprobe.multi.s+', ProgType.KPROBE, AttachType.TRACE_UPROBE_MULTI, ['sleepable'], 'uprobe_multi'),
  def('uprobe.session.s+', ProgType.KPROBE, AttachType.TRACE_UPROBE_SESSION, ['sleepable'], 'uprobe_multi'),
  def('ksyscall+', ProgType.KPROBE, null, [], 'ksyscall'),
  def('kretsyscall+', ProgType.KPROBE, null, [], 'ksyscall'),
  def('usdt+', ProgType.KPROBE, null, ['usdt'], 'usdt'),
  def('usdt.s+', ProgType.KPROBE, null, ['usdt', 'sleepable'], 'usdt'),
  def('tc/ingress', ProgType.SCHED_CLS, AttachType.TCX_INGRESS),
  def('tcx/ingress', ProgType.SCHED_CLS, AttachType.TCX_INGRESS),
  def('tc/egress', ProgType.SCHED_CLS, AttachType.TCX_EGRESS),
  def('tcx/egress', ProgType.SCHED_CLS, AttachType.TCX_EGRESS),
  def('tc', ProgType.SCHED_CLS, null),
  def('classifier', ProgType.SCHED_CLS, null),
  def('action', ProgType.SCHED_ACT, null),
  def('netkit/primary', ProgType.SCHED_CLS, AttachType.NETKIT_PRIMARY),
  def('netkit/peer', ProgType.SCHED_CLS, AttachType.NETKIT_PEER),
  def('tracepoint+', ProgType.TRACEPOINT, null, [], 'tp'),
  def('tp+', ProgType.TRACEPOINT, null, [], 'tp'),
  def('tracepoint.s+', ProgType.TRACEPOINT, null, ['sleepable'], 'tp'),
  def('tp.s+', ProgType.TRACEPOINT, null, ['sleepable'], 'tp'),
  def('raw_tracepoint+', ProgType.RAW_TRACEPOINT, null, [], 'raw_tp'),
  def('raw_tp+', ProgType.RAW_TRACEPOINT, null, [], 'raw_tp'),
  def('raw_tracepoint.s+', ProgType.RAW_TRACEPOINT, null, ['sleepable'], 'raw_tp'),
  def('raw_tp.s+', ProgType.RAW_TRACEPOINT, null, ['sleepable'], 'raw_tp'),
  def('raw_tracepoint.w+', ProgType.RAW_TRACEPOINT_WRITABLE, null, [], 'raw_tp'),
  def('raw_tp.w+', ProgType.RAW_TRACEPOINT_WRITABLE, null, [], 'raw_tp'),
  def('tp_btf+', ProgType.TRACING, AttachType.TRACE_RAW_TP, ['attachBtf'], 'trace'),
  def('tp_btf.s+', ProgType.TRACING, AttachType.TRACE_RAW_TP, ['attachBtf', 'sleepable'], 'trace'),
  def('fentry+', ProgType.TRACING, AttachType.TRACE_FENTRY, ['attachBtf'], 'trace'),
  def('fmod_ret+', ProgType.TRACING, AttachType.MODIFY_RETURN, ['attachBtf'], 'trace'),
  def('fexit+', ProgType.TRACING, AttachType.TRACE_FEXIT, ['attachBtf'], 'trace'),
  def('fentry.s+', ProgType.TRACING, AttachType.TRACE_FENTRY, ['attachBtf', 'sleepable'], 'trace'),
  def('fmod_ret.s+', ProgType.TRACING, AttachType.MODIFY_RETURN, ['attachBtf', 'sleepable'], 'trace'),
  def('fexit.s+', ProgType.TRACING, AttachType.TRACE_FEXIT, ['attachBtf', 'sleepable'], 'trace'),
  def('fsession+', ProgType.TRACING, AttachType.TRACE_FSESSION, ['attachBtf'], 'trace'),
  def('fsession.s+', ProgType.TRACING, AttachType.TRACE_FSESSION, ['attachBtf', 'sleepable'], 'trace'),
  def('fsession.multi+', ProgType.TRACING, AttachType.TRACE_FSESSION_MULTI, [], 'tracing_multi'),
  def('fsession.multi.s+', ProgType.TRACING, AttachType.TRACE_FSESSION_MULTI, ['sleepable'], 'tracing_multi'),
  def('fentry.multi+', ProgType.TRACING, AttachType.TRACE_FENTRY_MULTI, [], 'tracing_multi'),
  def('fexit.multi+', ProgType.TRACING, AttachType.TRACE_FEXIT_MULTI, [], 'tracing_multi'),
  def('fentry.multi.s+', ProgType.TRACING, AttachType.TRACE_FENTRY_MULTI, ['sleepable'], 'tracing_multi'),
  def('fexit.multi.s+', ProgType.TRACING, AttachType.TRACE_FEXIT_MULTI, ['sleepable'], 'tracing_multi'),
  def('freplace+', ProgType.EXT, null, ['attachBtf'], 'trace'),
  def('lsm+', ProgType.LSM, AttachType.LSM_MAC, ['attachBtf'], 'lsm'),
  def('lsm.s+', ProgType.LSM, AttachType.LSM_MAC, ['attachBtf', 'sleepable'], 'lsm'),
  def('lsm_cgroup+', ProgType.LSM, AttachType.LSM_CGROUP, ['attachBtf']),
  def('iter+', ProgType.TRACING, AttachType.TRACE_ITER, ['attachBtf'], 'iter'),
  def('iter.s+', ProgType.TRACING, AttachType.TRACE_ITER, ['attachBtf', 'sleepable'], 'iter'),
  def('syscall', ProgType.SYSCALL, null, ['sleepable']),
  def('xdp.frags/devmap', ProgType.XDP, AttachType.XDP_DEVMAP, ['xdpFrags']),
  def('xdp/devmap', ProgType.XDP, AttachType.XDP_DEVMAP, ['attachable']),
  def('xdp.frags/cpumap', ProgType.XDP, AttachType.XDP_CPUMAP, ['xdpFrags']),
  def('xdp/cpumap', ProgType.XDP, AttachType.XDP_CPUMAP, ['attachable']),
  def('xdp.frags', ProgType.XDP, AttachType.XDP, ['xdpFrags']),
  def('xdp', ProgType.XDP, AttachType.XDP, ['attachableOpt']),
  def('perf_event', ProgType.PERF_EVENT, null),
  def('lwt_in', ProgType.LWT_IN, null),
  def('lwt_out', ProgType.LWT_OUT, null),
  def('lwt_xmit', ProgType.LWT_XMIT, null),
  def('lwt_seg6local', ProgType.LWT_SEG6LOCAL, null),
  def('sockops', ProgType.SOCK_OPS, AttachType.CGROUP_SOCK_OPS, ['attachableOpt']),
  def('sk_skb/stream_parser', ProgType.SK_SKB, AttachType.SK_SKB_STREAM_PARSER, ['attachableOpt']),
  def('sk_skb/stream_verdict', ProgType.SK_SKB, AttachType.SK_SKB_STREAM_VERDICT, ['attachableOpt']),
  def('sk_skb/verdict', ProgType.SK_SKB, AttachType.SK_SKB_VERDICT, ['attachableOpt']),
  def('sk_skb', ProgType.SK_SKB, null),
  def('sk_msg', ProgType.SK_MSG, AttachType.SK_MSG_VERDICT, ['attachableOpt']),
  def('lirc_mode2', ProgType.LIRC_MODE2, AttachType.LIRC_MODE2, ['attachableOpt']),
  def('flow_dissector', ProgType.FLOW_DISSECTOR, AttachType.FLOW_DISSECTOR, ['attachableOpt']),
  def('cgroup_skb/ingress', ProgType.CGROUP_SKB, AttachType.CGROUP_INET_INGRESS, ['attachableOpt']),
  def('cgroup_skb/egress', ProgType.CGROUP_SKB, AttachType.CGROUP_INET_EGRESS, ['attachableOpt']),
  def('cgroup/skb', ProgType.CGROUP_SKB, null),
  def('cgroup/sock_create', ProgType.CGROUP_SOCK, AttachType.CGROUP_INET_SOCK_CREATE, ['attachable']),
  def('cgroup/sock_release', ProgType.CGROUP_SOCK, AttachType.CGROUP_INET_SOCK_RELEASE, ['attachable']),
  def('cgroup/sock', ProgType.CGROUP_SOCK, AttachType.CGROUP_INET_SOCK_CREATE, ['attachableOpt']),
  def('cgroup/post_bind4', ProgType.CGROUP_SOCK, AttachType.CGROUP_INET4_POST_BIND, ['attachable']),
  def('cgroup/post_bind6', ProgType.CGROUP_SOCK, AttachType.CGROUP_INET6_POST_BIND, ['attachable']),
  def('cgroup/bind4', ProgType.CGROUP_SOCK_ADDR, AttachType.CGROUP_INET4_BIND, ['attachable']),
  def('cgroup/bind6', ProgType.CGROUP_SOCK_ADDR, AttachType.CGROUP_INET6_BIND, ['attachable']),
  def('cgroup/connect4', ProgType.CGROUP_SOCK_ADDR, AttachType.CGROUP_INET4_CONNECT, ['attachable']),
  def('cgroup/connect6', ProgType.CGROUP_SOCK_ADDR, AttachType.CGROUP_INET6_CONNECT, ['attachable']),
  def('cgroup/connect_unix', ProgType.CGROUP_SOCK_ADDR, AttachType.CGROUP_UNIX_CONNECT, ['attachable']),
  def('cgroup/sendmsg4', ProgType.CGROUP_SOCK_ADDR, AttachType.CGROUP_UDP4_SENDMSG, ['attachable']),
  def('cgroup/sendmsg6', ProgType.CGROUP_SOCK_ADDR, AttachType.CGROUP_UDP6_SENDMSG, ['attachable']),
  def('cgroup/sendmsg_unix', ProgType.CGROUP_SOCK_ADDR, AttachType.CGROUP_UNIX_SENDMSG, ['attachable']),
  def('cgroup/recvmsg4', ProgType.CGROUP_SOCK_ADDR, AttachType.CGROUP_UDP4_RECVMSG, ['attachable']),
  def('cgroup/recvmsg6', ProgType.CGROUP_SOCK_ADDR, AttachType.CGROUP_UDP6_RECVMSG, ['attachable']),
  def('cgroup/recvmsg_unix', ProgType.CGROUP_SOCK_ADDR, AttachType.CGROUP_UNIX_RECVMSG, ['attachable']),
  def('cgroup/getpeername4', ProgType.CGROUP_SOCK_ADDR, AttachType.CGROUP_INET4_GETPEERNAME, ['attachable']),
  def('cgroup/getpeername6', ProgType.CGROUP_SOCK_ADDR, AttachType.CGROUP_INET6_GETPEERNAME, ['attachable']),
  def('cgroup/getpeername_unix', ProgType.CGROUP_SOCK_ADDR, AttachType.CGROUP_UNIX_GETPEERNAME, ['attachable']),
  def('cgroup/getsockname4', ProgType.CGROUP_SOCK_ADDR, AttachType.CGROUP_INET4_GETSOCKNAME, ['attachable']),
  def('cgroup/getsockname6', ProgType.CGROUP_SOCK_ADDR, AttachType.CGROUP_INET6_GETSOCKNAME, ['attachable']),
  def('cgroup/getsockname_unix', ProgType.CGROUP_SOCK_ADDR, AttachType.CGROUP_UNIX_GETSOCKNAME, ['attachable']),
  def('cgroup/sysctl', ProgType.CGROUP_SYSCTL, AttachType.CGROUP_SYSCTL, ['attachable']),
  def('cgroup/getsockopt', ProgType.CGROUP_SOCKOPT, AttachType.CGROUP_GETSOCKOPT, ['attachable']),
  def('cgroup/setsockopt', ProgType.CGROUP_SOCKOPT, AttachType.CGROUP_SETSOCKOPT, ['attachable']),
  def('cgroup/dev', ProgType.CGROUP_DEVICE, AttachType.CGROUP_DEVICE, ['attachableOpt']),
  def('struct_ops+', ProgType.STRUCT_OPS, null),
  def('struct_ops.s+', ProgType.STRUCT_OPS, null, ['sleepable']),
  def('sk_lookup', ProgType.SK_LOOKUP, AttachType.SK_LOOKUP, ['attachable']),
  def('netfilter', ProgType.NETFILTER, AttachType.NETFILTER),
]

const LONGEST_NAME: number = Math.max(...SECTION_DEFS.map((d) => d.name.length))
const BY_NAME: ReadonlyMap<string, SectionDef> = new Map(SECTION_DEFS.map((d) => [d.name, d]))

/**
 * The definition that a program section's name matches, or null. A leading `?` (do not load by default) is ignored.
 * `kprobe/do_unlinkat` matches `kprobe+`; `xdp` matches only itself.
 */
export function matchSection(name: string): SectionDef | null {
  const bare = name.startsWith('?') ? name.slice(1) : name
  const exact = BY_NAME.get(bare)
  if (exact !== undefined) return exact
  // Extras start at a slash, and a name may itself contain slashes: try the longest first.
  for (let slash = bare.lastIndexOf('/', LONGEST_NAME); slash > 0; slash = bare.lastIndexOf('/', slash - 1)) {
    const found = BY_NAME.get(bare.slice(0, slash))
    if (found !== undefined && found.extras) return found
  }
  return null
}
