import { AttachType, ProgType } from '../../../uapi/index.ts'
import { type ContextField, OR_NULL, ptr, ro, rw } from './field.ts'

/**
 * Contexts that programs get, as rules on ranges of bytes: which may be read or written, in which sizes, and what a
 * load gives. Facts of Linux 6.18 (the *_is_valid_access functions of net/core/filter.c and kernel/).
 */

const cb = rw(48, 20, 'any', 'any')
const addresses: readonly ContextField[] = [
  ro(88),
  ro(92, 4, 4),
  ro(96, 4, 4),
  ro(100, 16, 4),
  ro(116, 16, 4),
  ro(132),
  ro(136),
]
const skSock = ptr(168, 8, 'sock_common', OR_NULL)
const hwtstamp = ro(184, 8, 8)
const gso: readonly ContextField[] = [ro(164), ro(176)]

function skb(options: {
  readonly write?: readonly number[]
  readonly data?: boolean
  readonly meta?: boolean
  readonly classid?: boolean
  readonly addresses?: boolean
  readonly tstamp?: 'r' | 'rw'
  readonly wireLen?: boolean
  readonly hwtstamp?: boolean
  readonly mark?: boolean
  readonly tstampType?: boolean
  readonly controlBlock?: 'r'
}): readonly ContextField[] {
  const writable = new Set(options.write)
  const plain = [0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 68, 84]
    .filter((at) => at !== 8 || options.mark !== false)
    .map((at) => (writable.has(at) ? rw(at) : ro(at)))
  return [
    ...plain,
    options.controlBlock === 'r' ? { ...cb, write: null } : cb,
    ...(options.classid === true ? [writable.has(72) ? rw(72) : ro(72)] : []),
    ...(options.data === true ? [ptr(76, 4, 'pkt'), ptr(80, 4, 'pkt_end')] : []),
    ...(options.meta === true ? [ptr(140, 4, 'pkt_meta')] : []),
    ...(options.addresses === true ? addresses : []),
    ...(options.tstamp === 'rw' ? [rw(152, 8, 8, 8)] : options.tstamp === 'r' ? [ro(152, 8, 8)] : []),
    ...(options.wireLen === true ? [ro(160)] : []),
    ...gso,
    skSock,
    ...(options.tstampType === true ? [ro(180, 1, 1)] : []),
    ...(options.hwtstamp === true ? [hwtstamp] : []),
  ]
}

const LWT = skb({ write: [8, 32], data: true })
/** Where the packet lies, and writing its time stamp, are for those with CAP_BPF. */
const CGROUP_SKB = skb({ write: [8, 32], data: true, addresses: true, tstamp: 'rw', hwtstamp: true }).map((field) =>
  field.at === 76 || field.at === 80
    ? ({ ...field, needBpf: 'all' } as const)
    : field.at === 152
      ? ({ ...field, needBpf: 'write' } as const)
      : field,
)
const CLS = skb({
  write: [8, 44, 32, 72, 12],
  data: true,
  meta: true,
  classid: true,
  tstamp: 'rw',
  wireLen: true,
  hwtstamp: true,
  tstampType: true,
})

const SOCK: readonly ContextField[] = [
  ro(0, 4, 4),
  ro(4, 4, 'start4'),
  ro(8, 4, 'start4'),
  ro(12, 4, 'start4'),
  ro(16, 4, 4),
  ro(20, 4, 4),
  ro(24),
  ro(28, 16),
  ro(44, 4, 'start4'),
  ro(48, 2, 'narrow4'),
  ro(52),
  ro(56, 16),
  ro(72, 4, 'start4'),
  ro(76, 4, 'start4'),
]

const A = AttachType
const CREATE = [A.CGROUP_INET_SOCK_CREATE, A.CGROUP_INET_SOCK_RELEASE]
const V4 = [
  A.CGROUP_INET4_BIND,
  A.CGROUP_INET4_CONNECT,
  A.CGROUP_INET4_GETPEERNAME,
  A.CGROUP_INET4_GETSOCKNAME,
  A.CGROUP_UDP4_SENDMSG,
  A.CGROUP_UDP4_RECVMSG,
]
const V6 = [
  A.CGROUP_INET6_BIND,
  A.CGROUP_INET6_CONNECT,
  A.CGROUP_INET6_GETPEERNAME,
  A.CGROUP_INET6_GETSOCKNAME,
  A.CGROUP_UDP6_SENDMSG,
  A.CGROUP_UDP6_RECVMSG,
]

/** The same, of which some may be written, or exist only for some attach types. */
const CGROUP_SOCK: readonly ContextField[] = SOCK.map((field) => {
  switch (field.at) {
    case 0:
    case 16:
    case 20:
      return { ...field, write: 4, attach: CREATE }
    case 24:
      return { ...field, attach: [A.CGROUP_INET4_POST_BIND] }
    case 28:
      return { ...field, attach: [A.CGROUP_INET6_POST_BIND] }
    case 44:
      return { ...field, attach: [A.CGROUP_INET4_POST_BIND, A.CGROUP_INET6_POST_BIND] }
    default:
      return field
  }
})

const SOCK_ADDR: readonly ContextField[] = [
  ro(0, 4, 4),
  { ...rw(4), attach: V4 },
  { ...rw(8, 16), attach: V6, wide: true },
  rw(24),
  ro(28, 4, 4),
  ro(32, 4, 4),
  ro(36, 4, 4),
  { ...rw(40), attach: [A.CGROUP_UDP4_SENDMSG] },
  { ...rw(44, 16), attach: [A.CGROUP_UDP6_SENDMSG], wide: true },
  ptr(64, 8, 'sock'),
]

const SOCK_OPS: readonly ContextField[] = [
  ro(0, 4, 4),
  rw(4, 4, 4),
  ro(8, 156, 4),
  rw(164, 4, 4),
  ro(168, 16, 8),
  ptr(184, 8, 'sock', OR_NULL),
  ptr(192, 8, 'pkt'),
  ptr(200, 8, 'pkt_end'),
  ro(208, 4, 4),
  ro(212, 4, 'start4'),
  ro(216, 8, 8),
]

const SOCKOPT: readonly ContextField[] = [
  ptr(0, 8, 'sock'),
  ptr(8, 8, 'pkt'),
  ptr(16, 8, 'pkt_end'),
  { ...rw(24, 4, 4), writeAttach: [A.CGROUP_SETSOCKOPT] },
  { ...rw(28, 4, 4), writeAttach: [A.CGROUP_SETSOCKOPT] },
  rw(32, 4, 4),
  { ...rw(36, 4, 4), attach: [A.CGROUP_GETSOCKOPT] },
]

const SK_MSG: readonly ContextField[] = [ptr(0, 8, 'pkt'), ptr(8, 8, 'pkt_end'), ro(16, 56, 4), ptr(72, 8, 'sock')]

const SK_LOOKUP: readonly ContextField[] = [
  ptr(0, 8, 'sock', OR_NULL),
  ro(8),
  ro(12),
  ro(16),
  ro(20, 16),
  { ...ro(36, 2, 'narrow2'), wide: true },
  ro(38, 2, 'narrow2'),
  ro(40),
  ro(44, 16),
  ro(60),
  ro(64),
]

const SK_REUSEPORT: readonly ContextField[] = [
  ptr(0, 8, 'pkt'),
  ptr(8, 8, 'pkt_end'),
  ro(16),
  ro(20, 4, 'half4'),
  ro(24),
  ro(28),
  ro(32, 4, 4),
  ptr(40, 8, 'sock'),
  ptr(48, 8, 'sock_common', OR_NULL),
]

const TRACE_ARGS: readonly ContextField[] = [ro(0, 96, 'any')]
const P = ProgType

const XDP: readonly ContextField[] = [
  ptr(0, 4, 'pkt'),
  ptr(4, 4, 'pkt_end'),
  ptr(8, 4, 'pkt_meta'),
  ro(12, 4, 4),
  ro(16, 4, 4),
  { ...ro(20, 4, 4), attach: [A.XDP_DEVMAP] },
]

/** Rules by program type; types that take their target's arguments are not in here. */
export const CONTEXT_FIELDS: Readonly<Record<number, readonly ContextField[]>> = {
  [P.SOCKET_FILTER]: skb({}),
  [P.CGROUP_SKB]: CGROUP_SKB,
  [P.LWT_IN]: LWT,
  [P.LWT_OUT]: LWT,
  [P.LWT_XMIT]: LWT,
  [P.LWT_SEG6LOCAL]: LWT,
  [P.SCHED_CLS]: CLS,
  [P.SCHED_ACT]: CLS,
  [P.SK_SKB]: skb({ write: [44, 32], data: true, addresses: true, mark: false, controlBlock: 'r' }),
  [P.FLOW_DISSECTOR]: [ptr(76, 4, 'pkt'), ptr(80, 4, 'pkt_end'), ptr(144, 8, 'flow_keys')],
  [P.XDP]: XDP,
  [P.KPROBE]: [ro(0, 168, 'any')],
  [P.PERF_EVENT]: [ro(0, 168, 8), ro(168, 8, 'narrow8'), ro(176, 8, 'narrow8')],
  [P.RAW_TRACEPOINT]: TRACE_ARGS,
  // The first byte of the first argument stands for all of it.
  [P.RAW_TRACEPOINT_WRITABLE]: [{ ...ptr(0, 8, 'tp_buffer'), end: 1 }, ro(1, 95, 'any')],
  [P.TRACEPOINT]: [ro(8, 8184, 'any')],
  [P.SYSCALL]: [rw(0, 65535, 'any', 'any')],
  [P.CGROUP_DEVICE]: [ro(0), ro(4, 8, 4)],
  [P.CGROUP_SYSCTL]: [ro(0), rw(4)],
  [P.CGROUP_SOCK]: CGROUP_SOCK,
  [P.CGROUP_SOCK_ADDR]: SOCK_ADDR,
  [P.SOCK_OPS]: SOCK_OPS,
  [P.CGROUP_SOCKOPT]: SOCKOPT,
  [P.SK_MSG]: SK_MSG,
  [P.SK_LOOKUP]: SK_LOOKUP,
  [P.SK_REUSEPORT]: SK_REUSEPORT,
  [P.LIRC_MODE2]: [ro(0, 4, 4)],
  [P.NETFILTER]: [
    { ...ptr(0, 8, 'ptr_', 64), struct: 'nf_hook_state' },
    { ...ptr(8, 8, 'ptr_', 64), struct: 'sk_buff' },
  ],
}

/** Rules of sockets that helpers and contexts give. */
export const SOCKET_FIELDS: Readonly<Record<string, readonly ContextField[]>> = {
  sock: SOCK,
  sock_common: SOCK.filter((field) => field.at < 8 || field.at > 20),
  tcp_sock: [ro(0, 80, 4), ro(80, 16, 8), ro(96, 16, 4)],
  xdp_sock: [ro(0, 4, 4)],
}
