import { AttachType, ProgType } from '../../../uapi/index.ts'
import type { ProgramFacts } from '../walk.ts'

const A = AttachType

/** Values that a program may return, null when any will do. Facts of check_return_code() in Linux 6.18. */
export function returnRange(facts: ProgramFacts): readonly [number, number] | null {
  const { attachType } = facts
  switch (facts.type) {
    case ProgType.CGROUP_SOCK_ADDR:
      if (SOCK_ADDR_ONE.has(attachType)) return [1, 1]
      return attachType === A.CGROUP_INET4_BIND || attachType === A.CGROUP_INET6_BIND ? [0, 3] : [0, 1]
    case ProgType.CGROUP_SKB:
      return attachType === A.CGROUP_INET_EGRESS ? [0, 3] : [0, 1]
    case ProgType.CGROUP_SOCK:
    case ProgType.SOCK_OPS:
    case ProgType.CGROUP_DEVICE:
    case ProgType.CGROUP_SYSCTL:
    case ProgType.CGROUP_SOCKOPT:
      return [0, 1]
    case ProgType.RAW_TRACEPOINT:
      return null
    case ProgType.TRACING:
      if (attachType === A.TRACE_FENTRY || attachType === A.TRACE_FEXIT) return [0, 0]
      return attachType === A.TRACE_ITER ? [0, 1] : null
    case ProgType.KPROBE:
      return attachType === A.TRACE_KPROBE_SESSION || attachType === A.TRACE_UPROBE_SESSION ? [0, 1] : null
    case ProgType.SK_LOOKUP:
      return [0, 1]
    case ProgType.NETFILTER:
      return [0, 1]
    case ProgType.FLOW_DISSECTOR:
      return null
    default:
      return null
  }
}

const SOCK_ADDR_ONE: ReadonlySet<number> = new Set<number>([
  A.CGROUP_UDP4_RECVMSG,
  A.CGROUP_UDP6_RECVMSG,
  A.CGROUP_INET4_GETPEERNAME,
  A.CGROUP_INET6_GETPEERNAME,
  A.CGROUP_INET4_GETSOCKNAME,
  A.CGROUP_INET6_GETSOCKNAME,
  A.CGROUP_UNIX_RECVMSG,
  A.CGROUP_UNIX_GETPEERNAME,
  A.CGROUP_UNIX_GETSOCKNAME,
])
