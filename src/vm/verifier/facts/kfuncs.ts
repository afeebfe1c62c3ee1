import { AttachType, ProgType as P } from '../../../uapi/index.ts'

/** Behaviour of a kernel function, as flags of its registration (KF_*); `packet`: it may move the packet. */
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
  | 'packet'

/** Which programs may call a function. */
interface Audience {
  /** Program types, all when null. */
  readonly types: ReadonlySet<number> | null
  /** Attach types beyond that, all when null. */
  readonly attach: ReadonlySet<number> | null
}

export interface KfuncRow {
  readonly flags: readonly KfuncFlag[]
  readonly audience: Audience
}

function audience(types: readonly number[] | null, attach: readonly number[] | null = null): Audience {
  return { types: types === null ? null : new Set(types), attach: attach === null ? null : new Set(attach) }
}

function row(to: Audience, ...flags: KfuncFlag[]): KfuncRow {
  return { flags, audience: to }
}

const TRACING_TYPES = [P.TRACING, P.TRACEPOINT, P.PERF_EVENT, P.LSM]
/** Types whose programs share what is registered for one of them. */
const CGROUP_TYPES = [
  P.CGROUP_SKB,
  P.CGROUP_SOCK,
  P.CGROUP_DEVICE,
  P.CGROUP_SOCK_ADDR,
  P.CGROUP_SOCKOPT,
  P.CGROUP_SYSCTL,
  P.SOCK_OPS,
]
const LWT_TYPES = [P.LWT_IN, P.LWT_OUT, P.LWT_XMIT, P.LWT_SEG6LOCAL]

const COMMON = audience(null)
/** Functions that programs attach to. */
const NOBODY = audience([])
const TRACING = audience(TRACING_TYPES)
const GENERIC = audience([...TRACING_TYPES, ...CGROUP_TYPES, P.SCHED_CLS, P.XDP, P.STRUCT_OPS, P.SYSCALL])
const CPUMASK = audience([...TRACING_TYPES, P.STRUCT_OPS, P.SYSCALL])
const CRYPTO_SETUP = audience([P.SYSCALL])
const CRYPTO = audience([P.SCHED_CLS, P.SCHED_ACT, P.XDP])
const CONNTRACK = audience([P.SCHED_CLS, P.XDP])
const SKB = audience([
  ...TRACING_TYPES,
  ...CGROUP_TYPES,
  ...LWT_TYPES,
  P.SOCKET_FILTER,
  P.SCHED_CLS,
  P.SCHED_ACT,
  P.SK_SKB,
  P.NETFILTER,
])
const SKB_META = audience([P.SCHED_CLS, P.SCHED_ACT])
const XDP = audience([P.XDP])
const TEST = audience([...TRACING_TYPES, P.SCHED_CLS, P.SYSCALL])
const REQSK = audience([P.SCHED_CLS])
const CGROUP = audience(CGROUP_TYPES)
const SOCK_ITER = audience([P.TRACING], [AttachType.TRACE_ITER])
const KPROBE_SESSION = audience([P.KPROBE], [AttachType.TRACE_KPROBE_SESSION])
const LSM = audience([P.LSM])
const TCP_CA = audience([P.STRUCT_OPS])

/**
 * Kernel functions whose rules follow from their BTF and these flags: those in the BTF of a Linux 6.18 without modules.
 * Flags from the registrations in Linux 6.12 and 7.2, audiences from asking a 6.18 kernel with every program type.
 */
export const KFUNCS: Readonly<Record<string, KfuncRow>> = {
  __bpf_trap: row(COMMON),
  bpf_cast_to_kern_ctx: row(COMMON),
  bpf_cgroup_read_xattr: row(COMMON, 'rcu'),
  bpf_dynptr_adjust: row(COMMON),
  bpf_dynptr_clone: row(COMMON),
  bpf_dynptr_copy: row(COMMON),
  bpf_dynptr_is_null: row(COMMON),
  bpf_dynptr_is_rdonly: row(COMMON),
  bpf_dynptr_memset: row(COMMON),
  bpf_dynptr_size: row(COMMON),
  bpf_dynptr_slice: row(COMMON, 'null'),
  bpf_dynptr_slice_rdwr: row(COMMON, 'null'),
  bpf_get_kmem_cache: row(COMMON),
  bpf_iter_bits_new: row(COMMON, 'iterNew'),
  bpf_iter_bits_next: row(COMMON, 'iterNext', 'null'),
  bpf_iter_bits_destroy: row(COMMON, 'iterDestroy'),
  bpf_iter_css_new: row(COMMON, 'iterNew', 'trusted', 'rcuProtected'),
  bpf_iter_css_next: row(COMMON, 'iterNext', 'null'),
  bpf_iter_css_destroy: row(COMMON, 'iterDestroy'),
  bpf_iter_css_task_new: row(COMMON, 'iterNew', 'trusted'),
  bpf_iter_css_task_next: row(COMMON, 'iterNext', 'null'),
  bpf_iter_css_task_destroy: row(COMMON, 'iterDestroy'),
  bpf_iter_dmabuf_new: row(COMMON, 'iterNew', 'sleepable'),
  bpf_iter_dmabuf_next: row(COMMON, 'iterNext', 'null', 'sleepable'),
  bpf_iter_dmabuf_destroy: row(COMMON, 'iterDestroy', 'sleepable'),
  bpf_iter_kmem_cache_new: row(COMMON, 'iterNew', 'sleepable'),
  bpf_iter_kmem_cache_next: row(COMMON, 'iterNext', 'null', 'sleepable'),
  bpf_iter_kmem_cache_destroy: row(COMMON, 'iterDestroy', 'sleepable'),
  bpf_iter_num_new: row(COMMON, 'iterNew'),
  bpf_iter_num_next: row(COMMON, 'iterNext', 'null'),
  bpf_iter_num_destroy: row(COMMON, 'iterDestroy'),
  bpf_iter_task_new: row(COMMON, 'iterNew', 'trusted', 'rcuProtected'),
  bpf_iter_task_next: row(COMMON, 'iterNext', 'null'),
  bpf_iter_task_destroy: row(COMMON, 'iterDestroy'),
  bpf_iter_task_vma_new: row(COMMON, 'iterNew', 'rcu'),
  bpf_iter_task_vma_next: row(COMMON, 'iterNext', 'null'),
  bpf_iter_task_vma_destroy: row(COMMON, 'iterDestroy'),
  bpf_local_irq_restore: row(COMMON),
  bpf_local_irq_save: row(COMMON),
  bpf_map_sum_elem_count: row(COMMON, 'trusted'),
  bpf_modify_return_test_tp: row(COMMON),
  bpf_preempt_disable: row(COMMON),
  bpf_preempt_enable: row(COMMON),
  bpf_probe_read_kernel_dynptr: row(COMMON),
  bpf_probe_read_kernel_str_dynptr: row(COMMON),
  bpf_probe_read_user_dynptr: row(COMMON),
  bpf_probe_read_user_str_dynptr: row(COMMON),
  bpf_copy_from_user_dynptr: row(COMMON, 'sleepable'),
  bpf_copy_from_user_str_dynptr: row(COMMON, 'sleepable'),
  bpf_copy_from_user_task_dynptr: row(COMMON, 'sleepable', 'trusted'),
  bpf_copy_from_user_task_str_dynptr: row(COMMON, 'sleepable', 'trusted'),
  bpf_copy_from_user_str: row(COMMON, 'sleepable'),
  bpf_copy_from_user_task_str: row(COMMON, 'sleepable'),
  bpf_rcu_read_lock: row(COMMON),
  bpf_rcu_read_unlock: row(COMMON),
  bpf_rdonly_cast: row(COMMON),
  bpf_res_spin_lock: row(COMMON, 'null'),
  bpf_res_spin_lock_irqsave: row(COMMON, 'null'),
  bpf_res_spin_unlock: row(COMMON),
  bpf_res_spin_unlock_irqrestore: row(COMMON),
  bpf_strcasecmp: row(COMMON),
  bpf_strchr: row(COMMON),
  bpf_strchrnul: row(COMMON),
  bpf_strcmp: row(COMMON),
  bpf_strcspn: row(COMMON),
  bpf_stream_vprintk_impl: row(COMMON, 'trusted'),
  bpf_strlen: row(COMMON),
  bpf_strnchr: row(COMMON),
  bpf_strnlen: row(COMMON),
  bpf_strnstr: row(COMMON),
  bpf_strrchr: row(COMMON),
  bpf_strspn: row(COMMON),
  bpf_strstr: row(COMMON),
  bpf_task_work_schedule_resume_impl: row(COMMON, 'trusted'),
  bpf_task_work_schedule_signal_impl: row(COMMON, 'trusted'),
  bpf_wq_init: row(COMMON),
  bpf_wq_set_callback_impl: row(COMMON),
  bpf_wq_start: row(COMMON),
  bpf_arena_alloc_pages: row(COMMON, 'trusted', 'sleepable'),
  bpf_arena_free_pages: row(COMMON, 'trusted', 'sleepable'),
  bpf_arena_reserve_pages: row(COMMON, 'trusted', 'sleepable'),
  bpf_fentry_test1: row(NOBODY),
  bpf_modify_return_test: row(NOBODY),
  bpf_modify_return_test2: row(NOBODY),
  bpf_cgroup_acquire: row(GENERIC, 'acquire', 'rcu', 'null'),
  bpf_cgroup_ancestor: row(GENERIC, 'acquire', 'rcu', 'null'),
  bpf_cgroup_from_id: row(GENERIC, 'acquire', 'null'),
  bpf_cgroup_release: row(GENERIC, 'release'),
  bpf_key_put: row(GENERIC, 'release'),
  bpf_list_back: row(GENERIC, 'null'),
  bpf_list_front: row(GENERIC, 'null'),
  bpf_list_pop_back: row(GENERIC, 'acquire', 'null'),
  bpf_list_pop_front: row(GENERIC, 'acquire', 'null'),
  bpf_list_push_back_impl: row(GENERIC),
  bpf_list_push_front_impl: row(GENERIC),
  bpf_lookup_system_key: row(GENERIC, 'acquire', 'null'),
  bpf_lookup_user_key: row(GENERIC, 'acquire', 'null', 'sleepable'),
  bpf_verify_pkcs7_signature: row(GENERIC, 'sleepable'),
  bpf_obj_drop_impl: row(GENERIC, 'release'),
  bpf_obj_new_impl: row(GENERIC, 'acquire', 'null'),
  bpf_percpu_obj_drop_impl: row(GENERIC, 'release'),
  bpf_percpu_obj_new_impl: row(GENERIC, 'acquire', 'null'),
  bpf_rbtree_add_impl: row(GENERIC),
  bpf_rbtree_first: row(GENERIC, 'null'),
  bpf_rbtree_left: row(GENERIC, 'null'),
  bpf_rbtree_remove: row(GENERIC, 'acquire', 'null'),
  bpf_rbtree_right: row(GENERIC, 'null'),
  bpf_rbtree_root: row(GENERIC, 'null'),
  bpf_refcount_acquire_impl: row(GENERIC, 'acquire', 'null', 'rcu'),
  bpf_send_signal_task: row(GENERIC, 'trusted'),
  bpf_task_acquire: row(GENERIC, 'acquire', 'rcu', 'null'),
  bpf_task_from_pid: row(GENERIC, 'acquire', 'null'),
  bpf_task_from_vpid: row(GENERIC, 'acquire', 'null'),
  bpf_task_get_cgroup1: row(GENERIC, 'acquire', 'rcu', 'null'),
  bpf_task_release: row(GENERIC, 'release'),
  bpf_task_under_cgroup: row(GENERIC, 'rcu'),
  bpf_throw: row(GENERIC),
  bpf_cpumask_acquire: row(CPUMASK, 'acquire', 'trusted'),
  bpf_cpumask_create: row(CPUMASK, 'acquire', 'null'),
  bpf_cpumask_release: row(CPUMASK, 'release'),
  bpf_cpumask_and: row(CPUMASK, 'rcu'),
  bpf_cpumask_any_and_distribute: row(CPUMASK, 'rcu'),
  bpf_cpumask_any_distribute: row(CPUMASK, 'rcu'),
  bpf_cpumask_clear: row(CPUMASK, 'rcu'),
  bpf_cpumask_clear_cpu: row(CPUMASK, 'rcu'),
  bpf_cpumask_copy: row(CPUMASK, 'rcu'),
  bpf_cpumask_empty: row(CPUMASK, 'rcu'),
  bpf_cpumask_equal: row(CPUMASK, 'rcu'),
  bpf_cpumask_first: row(CPUMASK, 'rcu'),
  bpf_cpumask_first_and: row(CPUMASK, 'rcu'),
  bpf_cpumask_first_zero: row(CPUMASK, 'rcu'),
  bpf_cpumask_full: row(CPUMASK, 'rcu'),
  bpf_cpumask_intersects: row(CPUMASK, 'rcu'),
  bpf_cpumask_or: row(CPUMASK, 'rcu'),
  bpf_cpumask_populate: row(CPUMASK, 'rcu'),
  bpf_cpumask_set_cpu: row(CPUMASK, 'rcu'),
  bpf_cpumask_setall: row(CPUMASK, 'rcu'),
  bpf_cpumask_subset: row(CPUMASK, 'rcu'),
  bpf_cpumask_test_and_clear_cpu: row(CPUMASK, 'rcu'),
  bpf_cpumask_test_and_set_cpu: row(CPUMASK, 'rcu'),
  bpf_cpumask_test_cpu: row(CPUMASK, 'rcu'),
  bpf_cpumask_weight: row(CPUMASK, 'rcu'),
  bpf_cpumask_xor: row(CPUMASK, 'rcu'),
  bpf_crypto_ctx_acquire: row(CRYPTO_SETUP, 'acquire', 'rcu', 'null'),
  bpf_crypto_ctx_create: row(CRYPTO_SETUP, 'acquire', 'null', 'sleepable'),
  bpf_crypto_ctx_release: row(CRYPTO_SETUP, 'release'),
  bpf_crypto_decrypt: row(CRYPTO, 'rcu'),
  bpf_crypto_encrypt: row(CRYPTO, 'rcu'),
  bpf_ct_change_status: row(CONNTRACK, 'trusted'),
  bpf_ct_change_timeout: row(CONNTRACK, 'trusted'),
  bpf_ct_insert_entry: row(CONNTRACK, 'acquire', 'null', 'release'),
  bpf_ct_release: row(CONNTRACK, 'release'),
  bpf_ct_set_nat_info: row(CONNTRACK, 'trusted'),
  bpf_ct_set_status: row(CONNTRACK, 'trusted'),
  bpf_ct_set_timeout: row(CONNTRACK, 'trusted'),
  bpf_skb_ct_alloc: row(CONNTRACK, 'acquire', 'null'),
  bpf_skb_ct_lookup: row(CONNTRACK, 'acquire', 'null'),
  bpf_xdp_ct_alloc: row(CONNTRACK, 'acquire', 'null'),
  bpf_xdp_ct_lookup: row(CONNTRACK, 'acquire', 'null'),
  bpf_dynptr_from_skb: row(SKB, 'trusted'),
  bpf_dynptr_from_skb_meta: row(SKB_META, 'trusted'),
  bpf_dynptr_from_xdp: row(XDP),
  bpf_xdp_get_xfrm_state: row(XDP, 'acquire', 'null'),
  bpf_xdp_xfrm_state_release: row(XDP, 'release'),
  bpf_xdp_pull_data: row(XDP, 'packet'),
  bpf_xdp_metadata_rx_hash: row(XDP, 'trusted'),
  bpf_xdp_metadata_rx_timestamp: row(XDP, 'trusted'),
  bpf_xdp_metadata_rx_vlan_tag: row(XDP, 'trusted'),
  bpf_kfunc_call_memb_release: row(TEST, 'release'),
  bpf_kfunc_call_test_release: row(TEST, 'release'),
  bpf_sk_assign_tcp_reqsk: row(REQSK, 'trusted'),
  bpf_sock_addr_set_sun_path: row(CGROUP),
  bpf_sock_ops_enable_tx_tstamp: row(CGROUP, 'trusted'),
  css_rstat_updated: row(TRACING),
  css_rstat_flush: row(TRACING, 'sleepable'),
  bpf_sock_destroy: row(SOCK_ITER, 'trusted'),
  bpf_session_cookie: row(KPROBE_SESSION),
  bpf_session_is_return: row(KPROBE_SESSION),
  bpf_get_task_exe_file: row(LSM, 'acquire', 'trusted', 'null'),
  bpf_put_file: row(LSM, 'release'),
  bpf_path_d_path: row(LSM, 'trusted'),
  bpf_get_dentry_xattr: row(LSM, 'sleepable', 'trusted'),
  bpf_get_fsverity_digest: row(LSM, 'trusted'),
  bpf_get_file_xattr: row(LSM, 'sleepable', 'trusted'),
  bpf_set_dentry_xattr: row(LSM, 'sleepable', 'trusted'),
  bpf_remove_dentry_xattr: row(LSM, 'sleepable', 'trusted'),
  tcp_reno_ssthresh: row(TCP_CA),
  tcp_reno_cong_avoid: row(TCP_CA),
  tcp_reno_undo_cwnd: row(TCP_CA),
  tcp_slow_start: row(TCP_CA),
  tcp_cong_avoid_ai: row(TCP_CA),
  bbr_cwnd_event: row(TCP_CA),
  bbr_init: row(TCP_CA),
  bbr_main: row(TCP_CA),
  bbr_min_tso_segs: row(TCP_CA),
  bbr_set_state: row(TCP_CA),
  bbr_sndbuf_expand: row(TCP_CA),
  bbr_ssthresh: row(TCP_CA),
  bbr_undo_cwnd: row(TCP_CA),
  cubictcp_acked: row(TCP_CA),
  cubictcp_cong_avoid: row(TCP_CA),
  cubictcp_cwnd_event: row(TCP_CA),
  cubictcp_init: row(TCP_CA),
  cubictcp_recalc_ssthresh: row(TCP_CA),
  cubictcp_state: row(TCP_CA),
}

/** Whether programs of a type may call a function. */
export function mayCall(row: KfuncRow, facts: { readonly type: number; readonly attachType: number }): boolean {
  const { types, attach } = row.audience
  return (types === null || types.has(facts.type)) && (attach === null || attach.has(facts.attachType))
}
