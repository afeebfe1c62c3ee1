/** Fields of a structure that programs may write, as dotted paths of members. */
export interface WritableStruct {
  readonly struct: string
  /** Fields that are written from their start. */
  readonly fields: readonly string[]
  /** Fields any part of which may be written; `from` and `to` in bytes when only a part of them. */
  readonly areas: readonly { readonly path: string; readonly from?: number; readonly to?: number }[]
}

/**
 * Structures of functions that programs can implement, as Linux 6.18 registers them (net/ipv4/bpf_tcp_ca.c,
 * net/bpf/bpf_dummy_struct_ops.c, net/sched/bpf_qdisc.c, kernel/sched/ext.c, drivers/hid/bpf).
 */
export interface StructOpsRow {
  /** Members that may be implemented, all functions when null. */
  readonly members: ReadonlySet<string> | null
  /** Members whose programs may sleep, all when null. */
  readonly sleepable: ReadonlySet<string> | null
  /** What programs may write. */
  readonly writable: readonly WritableStruct[]
  /** Words of the refusal of any other write. */
  readonly elsewhere: string
  /** A program gets this structure where the function is declared with the other. */
  readonly promotes?: { readonly from: string; readonly to: string }
  /** Arguments that are another structure to programs than their declaration says. */
  readonly casts?: readonly { readonly member: string; readonly index: number; readonly struct: string }[]
  /** Helpers beyond those that all programs have. */
  readonly helpers: readonly string[]
  /** Members whose programs may not use some of them. */
  readonly without?: { readonly member: string; readonly helpers: readonly string[] }
}

const READ_ONLY = 'only read is supported'

/** By name of the structure; a structure that is absent is not registered. */
export const STRUCT_OPS: Readonly<Record<string, StructOpsRow>> = {
  tcp_congestion_ops: {
    members: new Set([
      'ssthresh',
      'cong_avoid',
      'set_state',
      'cwnd_event',
      'in_ack_event',
      'pkts_acked',
      'min_tso_segs',
      'cong_control',
      'undo_cwnd',
      'sndbuf_expand',
      'init',
      'release',
    ]),
    sleepable: null,
    writable: [
      {
        struct: 'tcp_sock',
        fields: [
          'inet_conn.icsk_inet.sk.sk_pacing_rate',
          'inet_conn.icsk_inet.sk.sk_pacing_status',
          'inet_conn.icsk_ack.pending',
          'snd_cwnd',
          'snd_cwnd_cnt',
          'snd_cwnd_stamp',
          'snd_ssthresh',
          'ecn_flags',
          'app_limited',
        ],
        areas: [{ path: 'inet_conn.icsk_ca_priv' }],
      },
    ],
    elsewhere: READ_ONLY,
    promotes: { from: 'sock', to: 'tcp_sock' },
    helpers: ['tcp_send_ack', 'sk_storage_get', 'sk_storage_delete', 'setsockopt', 'getsockopt'],
    without: { member: 'release', helpers: ['setsockopt', 'getsockopt'] },
  },
  bpf_dummy_ops: {
    members: null,
    sleepable: new Set(['test_sleepable']),
    writable: [{ struct: 'bpf_dummy_ops_state', fields: [], areas: [{ path: '' }] }],
    elsewhere: 'only access to bpf_dummy_ops_state is supported',
    helpers: [],
  },
  Qdisc_ops: {
    members: new Set(['enqueue', 'dequeue', 'init', 'reset', 'destroy']),
    sleepable: new Set(),
    writable: [
      { struct: 'Qdisc', fields: ['limit', 'q.qlen'], areas: [{ path: 'qstats' }] },
      // Behind the part of the control block that the queueing disciplines share.
      { struct: 'sk_buff', fields: ['tstamp'], areas: [{ path: 'cb', from: 8, to: 28 }] },
    ],
    elsewhere: READ_ONLY,
    casts: [{ member: 'enqueue', index: 2, struct: 'bpf_sk_buff_ptr' }],
    helpers: [],
  },
  sched_ext_ops: {
    members: null,
    sleepable: new Set([
      'init_task',
      'cgroup_init',
      'cgroup_exit',
      'cgroup_prep_move',
      'cpu_online',
      'cpu_offline',
      'init',
      'exit',
    ]),
    writable: [
      {
        struct: 'task_struct',
        fields: [],
        areas: [{ path: 'scx.slice' }, { path: 'scx.dsq_vtime' }, { path: 'scx.disallow' }],
      },
    ],
    elsewhere: '',
    helpers: ['task_storage_get', 'task_storage_delete'],
  },
  hid_bpf_ops: {
    members: new Set(['hid_device_event', 'hid_rdesc_fixup', 'hid_hw_request', 'hid_hw_output_report']),
    sleepable: new Set(['hid_rdesc_fixup', 'hid_hw_request', 'hid_hw_output_report']),
    writable: [
      { struct: 'hid_bpf_ctx', fields: [], areas: [{ path: 'retval' }] },
      { struct: 'hid_device', fields: [], areas: [{ path: 'name' }, { path: 'uniq' }, { path: 'phys' }] },
    ],
    elsewhere: 'write access to this struct is not supported',
    helpers: [],
  },
}

/** What XDP and traffic control programs may write in the connections that they look up (net/netfilter/nf_conntrack_bpf.c). */
export const CONNECTION_WRITABLE: readonly WritableStruct[] = [
  { struct: 'nf_conn', fields: ['mark'], areas: [] },
  { struct: 'nf_conn___init', fields: ['ct.mark'], areas: [] },
]

/** Helpers that only some structures offer, though the program type has them. */
export const STRUCT_OPS_HELPERS: ReadonlySet<string> = new Set(Object.values(STRUCT_OPS).flatMap((row) => row.helpers))
