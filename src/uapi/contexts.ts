import { ProgType } from './prog-types.ts'

/**
 * C structure that a program's first argument points to, as its source writes it, by program type; null where the type
 * alone does not say (tracing, LSM, struct_ops and extension programs take the arguments of their target).
 * Source: include/linux/bpf_types.h.
 */
const CONTEXTS: Readonly<Record<number, string | null>> = {
  [ProgType.SOCKET_FILTER]: '__sk_buff',
  [ProgType.KPROBE]: 'pt_regs',
  [ProgType.SCHED_CLS]: '__sk_buff',
  [ProgType.SCHED_ACT]: '__sk_buff',
  [ProgType.XDP]: 'xdp_md',
  [ProgType.PERF_EVENT]: 'bpf_perf_event_data',
  [ProgType.CGROUP_SKB]: '__sk_buff',
  [ProgType.CGROUP_SOCK]: 'bpf_sock',
  [ProgType.LWT_IN]: '__sk_buff',
  [ProgType.LWT_OUT]: '__sk_buff',
  [ProgType.LWT_XMIT]: '__sk_buff',
  [ProgType.LWT_SEG6LOCAL]: '__sk_buff',
  [ProgType.SOCK_OPS]: 'bpf_sock_ops',
  [ProgType.SK_SKB]: '__sk_buff',
  [ProgType.CGROUP_DEVICE]: 'bpf_cgroup_dev_ctx',
  [ProgType.SK_MSG]: 'sk_msg_md',
  [ProgType.RAW_TRACEPOINT]: 'bpf_raw_tracepoint_args',
  [ProgType.RAW_TRACEPOINT_WRITABLE]: 'bpf_raw_tracepoint_args',
  [ProgType.CGROUP_SOCK_ADDR]: 'bpf_sock_addr',
  [ProgType.SK_REUSEPORT]: 'sk_reuseport_md',
  [ProgType.FLOW_DISSECTOR]: '__sk_buff',
  [ProgType.CGROUP_SYSCTL]: 'bpf_sysctl',
  [ProgType.CGROUP_SOCKOPT]: 'bpf_sockopt',
  [ProgType.SK_LOOKUP]: 'bpf_sk_lookup',
  [ProgType.NETFILTER]: 'bpf_nf_ctx',
}

/** Name of the context structure of a program type, or null; see STRUCT for the layouts of most of them. */
export function contextStruct(progType: number): string | null {
  return CONTEXTS[progType] ?? null
}

/** Types whose test runs take a packet. */
const PACKET_TYPES: ReadonlySet<number> = new Set<number>([
  ProgType.XDP,
  ProgType.SCHED_CLS,
  ProgType.SCHED_ACT,
  ProgType.SOCKET_FILTER,
  ProgType.CGROUP_SKB,
  ProgType.LWT_IN,
  ProgType.LWT_OUT,
  ProgType.LWT_XMIT,
  ProgType.LWT_SEG6LOCAL,
  ProgType.FLOW_DISSECTOR,
  ProgType.SK_SKB,
  ProgType.NETFILTER,
])
/** Whether a program type runs on a packet: test runs of others take a context only. */
export function takesPacket(progType: number): boolean {
  return PACKET_TYPES.has(progType)
}
