import { ProgType } from '../../../uapi/index.ts'

/** What there is to know of a context beyond its structure (contextStruct() and STRUCT of src/uapi). */
export interface ContextLayout {
  /** Fields that hold the addresses of the input's data and of its end. */
  readonly data?: readonly [start: string, end: string]
  /** Field that holds the length of the data. */
  readonly length?: string
  /** The field that points to a socket; `self`: the context is one. */
  readonly socket?: string
  /** Whether the data is given back, and by which field it may have become shorter. */
  readonly returnsData?: true
  readonly returnedLength?: string
  /** Other inputs by name, with what they are. */
  readonly extras?: Readonly<Record<string, string>>
}

/** Contexts that are structures, by program type. */
export const CONTEXT_LAYOUTS: Readonly<Record<number, ContextLayout>> = {
  [ProgType.CGROUP_SOCK]: { socket: 'self' },
  [ProgType.CGROUP_SOCK_ADDR]: { socket: 'sk' },
  [ProgType.SOCK_OPS]: { data: ['skb_data', 'skb_data_end'], length: 'skb_len', socket: 'sk' },
  [ProgType.SK_MSG]: { data: ['data', 'data_end'], length: 'size', socket: 'sk', returnsData: true },
  [ProgType.CGROUP_SOCKOPT]: {
    data: ['optval', 'optval_end'],
    length: 'optlen',
    socket: 'sk',
    returnsData: true,
    returnedLength: 'optlen',
  },
  [ProgType.CGROUP_SYSCTL]: {
    extras: {
      name: 'name of the file under /proc/sys, such as net/ipv4/tcp_mem',
      value: 'what the file has',
      newValue: 'what is being written to it',
    },
  },
  [ProgType.CGROUP_DEVICE]: {},
  [ProgType.SK_REUSEPORT]: { data: ['data', 'data_end'], length: 'len', socket: 'sk' },
  [ProgType.SK_LOOKUP]: { socket: 'sk' },
  [ProgType.PERF_EVENT]: {
    extras: {
      counter: 'value of the event, for bpf_perf_prog_read_value',
      enabled: 'ns that the event was enabled',
      running: 'ns that it was counted',
      branches: 'branch records, bytes of struct perf_branch_entry',
    },
  },
}

/** Program types whose context is a list of u64 arguments. */
export const ARGUMENT_CONTEXTS: ReadonlySet<number> = new Set<number>([
  ProgType.RAW_TRACEPOINT,
  ProgType.RAW_TRACEPOINT_WRITABLE,
  ProgType.TRACING,
  ProgType.LSM,
  ProgType.STRUCT_OPS,
])
