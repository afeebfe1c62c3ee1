import { rowsOf, type EnumRow } from './enum.ts'

/** Link types: enum bpf_link_type, include/uapi/linux/bpf.h of Linux 6.18. */
export const LinkType = {
  UNSPEC: 0,
  RAW_TRACEPOINT: 1,
  TRACING: 2,
  CGROUP: 3,
  ITER: 4,
  NETNS: 5,
  XDP: 6,
  PERF_EVENT: 7,
  KPROBE_MULTI: 8,
  STRUCT_OPS: 9,
  NETFILTER: 10,
  TCX: 11,
  UPROBE_MULTI: 12,
  NETKIT: 13,
  SOCKMAP: 14,
} as const
export type LinkType = (typeof LinkType)[keyof typeof LinkType]

/** First kernel release with each value (from the git history of include/uapi/linux/bpf.h). */
const SINCE: Readonly<Record<keyof typeof LinkType, string>> = {
  UNSPEC: '3.18',
  RAW_TRACEPOINT: '5.7',
  TRACING: '5.7',
  CGROUP: '5.7',
  ITER: '5.8',
  NETNS: '5.8',
  XDP: '5.9',
  PERF_EVENT: '5.15',
  KPROBE_MULTI: '5.18',
  STRUCT_OPS: '6.4',
  NETFILTER: '6.4',
  TCX: '6.6',
  UPROBE_MULTI: '6.6',
  NETKIT: '6.7',
  SOCKMAP: '6.13',
}

/** One row for each link type, in order of value; `name` is libbpf's word. */
export const LINK_TYPES: readonly EnumRow[] = rowsOf(LinkType, SINCE, 'BPF_LINK_TYPE_')

/** libbpf's word for a link type (`linkTypeName(1)` is `raw_tracepoint`); `unknown N` for a value that 6.18 does not have. */
export function linkTypeName(value: number): string {
  return LINK_TYPES[value]?.name ?? `unknown ${value}`
}
