import { AttachType, type HelperArg, HelperId as H, type HelperRow, ProgType as P } from '../../../uapi/index.ts'

const CTX: HelperArg = { type: 'PTR_TO_CTX', flags: [] }
const SOCK_PTR: HelperArg = { type: 'PTR_TO_BTF_ID_SOCK_COMMON', flags: [] }
const SOCK_PTR_OR_NULL: HelperArg = { ...SOCK_PTR, flags: ['MAYBE_NULL'] }
const SOCK_BTF: HelperArg = { type: 'PTR_TO_BTF_ID', flags: [], btf: 'sock_common' }
const SOCKET_OR_NULL: HelperArg = { type: 'PTR_TO_SOCKET', flags: ['MAYBE_NULL'] }

const OPTS_ON_CTX: ReadonlySet<number> = new Set<number>([P.CGROUP_SOCK_ADDR, P.SOCK_OPS])
/** Types whose bpf_get_cgroup_classid asks about the packet; that of others asks about the current task. */
const CLASS_OF_PACKET: ReadonlySet<number> = new Set<number>([
  P.SCHED_CLS,
  P.SCHED_ACT,
  P.LWT_IN,
  P.LWT_OUT,
  P.LWT_XMIT,
  P.LWT_SEG6LOCAL,
])

/**
 * Arguments of a helper for a program type: some helpers have one prototype for programs that give their context, and
 * others for those that give a socket. Facts of Linux 6.18 (the *_func_proto functions of net/core/filter.c).
 */
export function argumentsFor(row: HelperRow, type: number): readonly HelperArg[] {
  switch (row.id) {
    case H.setsockopt:
    case H.getsockopt:
      return first(row, OPTS_ON_CTX.has(type) ? CTX : SOCK_PTR)
    case H.get_socket_cookie:
      return first(row, isTraced(type) || type === P.SK_REUSEPORT || type === P.SK_MSG ? SOCK_PTR_OR_NULL : CTX)
    case H.loop:
      return first(row, { type: 'ANYTHING', flags: [] })
    case H.xdp_get_buff_len:
      return isTraced(type) ? first(row, { type: 'PTR_TO_BTF_ID', flags: [], btf: 'xdp_buff' }) : row.args
    case H.get_cgroup_classid:
      return CLASS_OF_PACKET.has(type) ? row.args : []
    case H.sk_assign:
      return type === P.SK_LOOKUP ? second(row, SOCKET_OR_NULL) : row.args
    case H.sk_storage_get:
    case H.sk_storage_delete:
      if (isTraced(type)) return second(row, { ...SOCK_BTF, flags: ['MAYBE_NULL'] })
      if (type === P.CGROUP_SOCK) return second(row, CTX)
      return row.args
    default:
      return row.args
  }
}

/** Types that have the helpers of tracing programs, which take the kernel's structures. */
function isTraced(type: number): boolean {
  return type === P.TRACING || type === P.LSM || type === P.SYSCALL
}

function first(row: HelperRow, arg: HelperArg): readonly HelperArg[] {
  return [arg, ...row.args.slice(1)]
}

function second(row: HelperRow, arg: HelperArg): readonly HelperArg[] {
  return [...row.args.slice(0, 1), arg, ...row.args.slice(2)]
}

const A = AttachType
const NO_RETVAL: ReadonlySet<number> = new Set<number>([
  A.CGROUP_INET_INGRESS,
  A.CGROUP_INET_EGRESS,
  A.CGROUP_SOCK_OPS,
  A.CGROUP_UDP4_RECVMSG,
  A.CGROUP_UDP6_RECVMSG,
  A.CGROUP_UNIX_RECVMSG,
  A.CGROUP_INET4_GETPEERNAME,
  A.CGROUP_INET6_GETPEERNAME,
  A.CGROUP_UNIX_GETPEERNAME,
  A.CGROUP_INET4_GETSOCKNAME,
  A.CGROUP_INET6_GETSOCKNAME,
  A.CGROUP_UNIX_GETSOCKNAME,
])

/** Whether programs of a cgroup attach type have a return value that bpf_get_retval and bpf_set_retval see. */
export function hasRetval(attachType: number): boolean {
  return !NO_RETVAL.has(attachType)
}

const SOCKET_ITERATORS: ReadonlySet<string> = new Set(['tcp', 'udp', 'unix'])

/** Helpers that iterators over sockets have beyond those of tracing programs. */
export function offeredByIterator(
  facts: { readonly type: number; readonly attachType: number; readonly attachTarget: string | null },
  helper: number,
): boolean {
  if (helper !== H.setsockopt && helper !== H.getsockopt) return false
  if (facts.type !== P.TRACING || facts.attachType !== A.TRACE_ITER) return false
  return facts.attachTarget !== null && SOCKET_ITERATORS.has(facts.attachTarget)
}
