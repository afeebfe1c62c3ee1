import { AttachType, LSM_HOOKS, ProgType } from '../../../uapi/index.ts'
import type { AttachTarget } from '../program/target.ts'

const A = AttachType
const MAX_ERRNO = 4095

type Range = readonly [number, number]

/** What decides on the values that a program may return. */
export interface ReturnFacts {
  readonly type: number
  readonly attachType: number
  readonly target: AttachTarget | null
}

/** Values that a program may return, null when any will do. Facts of check_return_code() in Linux 6.18. */
export function returnRange(facts: ReturnFacts): Range | null {
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
    case ProgType.SK_LOOKUP:
    case ProgType.NETFILTER:
      return [0, 1]
    case ProgType.TRACING:
      if (attachType === A.TRACE_FENTRY || attachType === A.TRACE_FEXIT) return [0, 0]
      return attachType === A.TRACE_ITER ? [0, 1] : null
    case ProgType.KPROBE:
      return attachType === A.TRACE_KPROBE_SESSION || attachType === A.TRACE_UPROBE_SESSION ? [0, 1] : null
    case ProgType.LSM:
      if (attachType !== A.LSM_CGROUP) return returnsOf(facts)
      return returnsVoid(facts.target) ? [1, 1] : [0, 1]
    default:
      return null
  }
}

/** Values that an LSM hook may return: 0 or an error for most, of 32 bits. */
export function returnsOf(facts: ReturnFacts): Range | null {
  const { target } = facts
  if (target === null || target.hook === null || returnsVoid(target)) return null
  return LSM_HOOKS.boolean.has(target.hook) ? [0, 1] : [-MAX_ERRNO, 0]
}

/** Whether only the lower half of the returned value counts. */
export function returns32Bit(facts: ReturnFacts): boolean {
  return facts.type === ProgType.LSM && facts.attachType !== A.LSM_CGROUP
}

/** Whether the function that a program stands for returns nothing, so that the program need not either. */
export function returnsVoid(target: AttachTarget | null): boolean {
  return target?.proto?.returnType === 0
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
