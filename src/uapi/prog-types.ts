import { rowsOf, type EnumRow } from './enum.ts'

/** Program types: enum bpf_prog_type, include/uapi/linux/bpf.h of Linux 6.18. */
export const ProgType = {
  UNSPEC: 0,
  SOCKET_FILTER: 1,
  KPROBE: 2,
  SCHED_CLS: 3,
  SCHED_ACT: 4,
  TRACEPOINT: 5,
  XDP: 6,
  PERF_EVENT: 7,
  CGROUP_SKB: 8,
  CGROUP_SOCK: 9,
  LWT_IN: 10,
  LWT_OUT: 11,
  LWT_XMIT: 12,
  SOCK_OPS: 13,
  SK_SKB: 14,
  CGROUP_DEVICE: 15,
  SK_MSG: 16,
  RAW_TRACEPOINT: 17,
  CGROUP_SOCK_ADDR: 18,
  LWT_SEG6LOCAL: 19,
  LIRC_MODE2: 20,
  SK_REUSEPORT: 21,
  FLOW_DISSECTOR: 22,
  CGROUP_SYSCTL: 23,
  RAW_TRACEPOINT_WRITABLE: 24,
  CGROUP_SOCKOPT: 25,
  TRACING: 26,
  STRUCT_OPS: 27,
  EXT: 28,
  LSM: 29,
  SK_LOOKUP: 30,
  SYSCALL: 31,
  NETFILTER: 32,
} as const
export type ProgType = (typeof ProgType)[keyof typeof ProgType]

/** First kernel release with each value (from the git history of include/uapi/linux/bpf.h). */
const SINCE: Readonly<Record<keyof typeof ProgType, string>> = {
  UNSPEC: '3.18',
  SOCKET_FILTER: '3.19',
  KPROBE: '4.1',
  SCHED_CLS: '4.1',
  SCHED_ACT: '4.1',
  TRACEPOINT: '4.7',
  XDP: '4.8',
  PERF_EVENT: '4.9',
  CGROUP_SKB: '4.10',
  CGROUP_SOCK: '4.10',
  LWT_IN: '4.10',
  LWT_OUT: '4.10',
  LWT_XMIT: '4.10',
  SOCK_OPS: '4.13',
  SK_SKB: '4.14',
  CGROUP_DEVICE: '4.15',
  SK_MSG: '4.17',
  RAW_TRACEPOINT: '4.17',
  CGROUP_SOCK_ADDR: '4.17',
  LWT_SEG6LOCAL: '4.18',
  LIRC_MODE2: '4.18',
  SK_REUSEPORT: '4.19',
  FLOW_DISSECTOR: '4.20',
  CGROUP_SYSCTL: '5.2',
  RAW_TRACEPOINT_WRITABLE: '5.2',
  CGROUP_SOCKOPT: '5.3',
  TRACING: '5.5',
  STRUCT_OPS: '5.6',
  EXT: '5.6',
  LSM: '5.7',
  SK_LOOKUP: '5.9',
  SYSCALL: '5.14',
  NETFILTER: '6.4',
}

/** One row for each program type, in order of value; `name` is libbpf's word. */
export const PROG_TYPES: readonly EnumRow[] = rowsOf(ProgType, SINCE, 'BPF_PROG_TYPE_')

/** libbpf's word for a program type (`progTypeName(1)` is `socket_filter`); `unknown N` for a value that 6.18 does not have. */
export function progTypeName(value: number): string {
  return PROG_TYPES[value]?.name ?? `unknown ${value}`
}

const READ_KERNEL_MEMORY: ReadonlySet<number> = new Set<number>([
  ProgType.KPROBE,
  ProgType.TRACEPOINT,
  ProgType.PERF_EVENT,
  ProgType.RAW_TRACEPOINT,
  ProgType.RAW_TRACEPOINT_WRITABLE,
  ProgType.TRACING,
  ProgType.LSM,
  ProgType.STRUCT_OPS,
  ProgType.EXT,
])
/**
 * Whether programs of a type may read any memory of the kernel: they need CAP_PERFMON (kernel/bpf/syscall.c,
 * is_perfmon_prog_type), and a load through a kernel pointer that faults reads zero.
 */
export function readsKernelMemory(progType: number): boolean {
  return READ_KERNEL_MEMORY.has(progType)
}
