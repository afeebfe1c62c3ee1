import { ProgType as P } from '../../../uapi/index.ts'

/** Behaviour of a kernel function, as flags of its registration (KF_*). */
export type KfuncFlag =
  | 'acquire'
  | 'release'
  | 'null'
  | 'trusted'
  | 'sleepable'
  | 'rcu'
  | 'iterNew'
  | 'iterNext'
  | 'iterDestroy'
  | 'rcuProtected'

export interface KfuncRow {
  readonly flags: readonly KfuncFlag[]
  /** Program types that may call it, all when null. */
  readonly types: ReadonlySet<number> | null
}

/** Types whose programs share the set registered for tracing. */
const TRACING = [P.TRACING, P.TRACEPOINT, P.PERF_EVENT, P.LSM]
const GENERIC: ReadonlySet<number> = new Set<number>([
  ...TRACING,
  P.SCHED_CLS,
  P.XDP,
  P.STRUCT_OPS,
  P.SYSCALL,
  P.CGROUP_SKB,
])
/** Types with a socket buffer as context. */
const SKB: ReadonlySet<number> = new Set<number>([
  P.SCHED_CLS,
  P.SCHED_ACT,
  P.SK_SKB,
  P.SOCKET_FILTER,
  P.NETFILTER,
  P.CGROUP_SKB,
  P.LWT_IN,
  P.LWT_OUT,
  P.LWT_XMIT,
  P.LWT_SEG6LOCAL,
])
const CPUMASK: ReadonlySet<number> = new Set<number>([...TRACING, P.STRUCT_OPS, P.SYSCALL])

function row(types: ReadonlySet<number> | null, ...flags: KfuncFlag[]): KfuncRow {
  return { flags, types }
}

const cpumask = row(CPUMASK, 'rcu')

/**
 * Kernel functions whose rules follow from their BTF and these flags. Registrations of Linux 6.12 (kernel/bpf/helpers.c,
 * kernel/bpf/cpumask.c); a function that is absent is unsupported.
 */
export const KFUNCS: Readonly<Record<string, KfuncRow>> = {
  bpf_dynptr_from_skb: row(SKB, 'trusted'),
  bpf_dynptr_from_xdp: row(new Set<number>([P.XDP])),
  bpf_dynptr_slice: row(null, 'null'),
  bpf_dynptr_slice_rdwr: row(null, 'null'),
  bpf_dynptr_adjust: row(null),
  bpf_dynptr_is_null: row(null),
  bpf_dynptr_is_rdonly: row(null),
  bpf_dynptr_size: row(null),
  bpf_dynptr_clone: row(null),
  bpf_cast_to_kern_ctx: row(null),
  bpf_rdonly_cast: row(null),
  bpf_rcu_read_lock: row(null),
  bpf_rcu_read_unlock: row(null),
  bpf_preempt_disable: row(null),
  bpf_preempt_enable: row(null),
  bpf_iter_num_new: row(null, 'iterNew'),
  bpf_iter_num_next: row(null, 'iterNext', 'null'),
  bpf_iter_num_destroy: row(null, 'iterDestroy'),
  bpf_iter_bits_new: row(null, 'iterNew'),
  bpf_iter_bits_next: row(null, 'iterNext', 'null'),
  bpf_iter_bits_destroy: row(null, 'iterDestroy'),
  bpf_iter_task_vma_new: row(null, 'iterNew', 'rcu'),
  bpf_iter_task_vma_next: row(null, 'iterNext', 'null'),
  bpf_iter_task_vma_destroy: row(null, 'iterDestroy'),
  bpf_iter_css_new: row(null, 'iterNew', 'trusted', 'rcuProtected'),
  bpf_iter_css_next: row(null, 'iterNext', 'null'),
  bpf_iter_css_destroy: row(null, 'iterDestroy'),
  bpf_iter_task_new: row(null, 'iterNew', 'trusted', 'rcuProtected'),
  bpf_iter_task_next: row(null, 'iterNext', 'null'),
  bpf_iter_task_destroy: row(null, 'iterDestroy'),
  bpf_task_acquire: row(GENERIC, 'acquire', 'rcu', 'null'),
  bpf_task_release: row(GENERIC, 'release'),
  bpf_task_from_pid: row(GENERIC, 'acquire', 'null'),
  bpf_task_under_cgroup: row(GENERIC, 'rcu'),
  bpf_task_get_cgroup1: row(GENERIC, 'acquire', 'rcu', 'null'),
  bpf_cgroup_acquire: row(GENERIC, 'acquire', 'rcu', 'null'),
  bpf_cgroup_release: row(GENERIC, 'release'),
  bpf_cgroup_ancestor: row(GENERIC, 'acquire', 'rcu', 'null'),
  bpf_cgroup_from_id: row(GENERIC, 'acquire', 'null'),
  bpf_throw: row(GENERIC),
  bpf_cpumask_create: row(CPUMASK, 'acquire', 'null'),
  bpf_cpumask_release: row(CPUMASK, 'release'),
  bpf_cpumask_acquire: row(CPUMASK, 'acquire', 'trusted'),
  bpf_cpumask_first: cpumask,
  bpf_cpumask_first_zero: cpumask,
  bpf_cpumask_first_and: cpumask,
  bpf_cpumask_set_cpu: cpumask,
  bpf_cpumask_clear_cpu: cpumask,
  bpf_cpumask_test_cpu: cpumask,
  bpf_cpumask_test_and_set_cpu: cpumask,
  bpf_cpumask_test_and_clear_cpu: cpumask,
  bpf_cpumask_setall: cpumask,
  bpf_cpumask_clear: cpumask,
  bpf_cpumask_and: cpumask,
  bpf_cpumask_or: cpumask,
  bpf_cpumask_xor: cpumask,
  bpf_cpumask_equal: cpumask,
  bpf_cpumask_intersects: cpumask,
  bpf_cpumask_subset: cpumask,
  bpf_cpumask_empty: cpumask,
  bpf_cpumask_full: cpumask,
  bpf_cpumask_copy: cpumask,
  bpf_cpumask_any_distribute: cpumask,
  bpf_cpumask_any_and_distribute: cpumask,
  bpf_cpumask_weight: cpumask,
}
