import { ProgType } from './prog-types.ts'

/** Return values of XDP programs (enum xdp_action). */
export const XdpAction = { ABORTED: 0, DROP: 1, PASS: 2, TX: 3, REDIRECT: 4 } as const

/** Return values of tc programs (TC_ACT_*, include/uapi/linux/pkt_cls.h). */
export const TcAction = {
  UNSPEC: -1,
  OK: 0,
  RECLASSIFY: 1,
  SHOT: 2,
  PIPE: 3,
  STOLEN: 4,
  QUEUED: 5,
  REPEAT: 6,
  REDIRECT: 7,
  TRAP: 8,
} as const

/** Return values of socket-map, socket-lookup and reuseport programs (enum sk_action). */
export const SkAction = { DROP: 0, PASS: 1 } as const

/** Return values of lightweight-tunnel programs and the flow dissector (enum bpf_ret_code). */
export const BpfReturn = { OK: 0, DROP: 2, REDIRECT: 7, LWT_REROUTE: 128, FLOW_DISSECTOR_CONTINUE: 129 } as const

/** Return values of netfilter programs. */
export const NetfilterAction = { DROP: 0, ACCEPT: 1 } as const

function table(prefix: string, values: Readonly<Record<string, number>>): ReadonlyMap<number, string> {
  return new Map(Object.entries(values).map(([name, value]) => [value, prefix + name]))
}

const XDP = table('XDP_', XdpAction)
const TC = table('TC_ACT_', TcAction)
const SK = table('SK_', SkAction)
const RET = table('BPF_', BpfReturn)
const NF = table('NF_', NetfilterAction)

const BY_TYPE: ReadonlyMap<number, ReadonlyMap<number, string>> = new Map([
  [ProgType.XDP, XDP],
  [ProgType.SCHED_CLS, TC],
  [ProgType.SCHED_ACT, TC],
  [ProgType.SK_SKB, SK],
  [ProgType.SK_MSG, SK],
  [ProgType.SK_LOOKUP, SK],
  [ProgType.SK_REUSEPORT, SK],
  [ProgType.LWT_IN, RET],
  [ProgType.LWT_OUT, RET],
  [ProgType.LWT_XMIT, RET],
  [ProgType.LWT_SEG6LOCAL, RET],
  [ProgType.FLOW_DISSECTOR, RET],
  [ProgType.NETFILTER, NF],
])

/**
 * The kernel's name for what a program returned (`verdictName(ProgType.XDP, 1)` is `XDP_DROP`), or null when the type
 * or the value has none. `retval` may be signed or unsigned 32-bit.
 */
export function verdictName(progType: number, retval: number): string | null {
  return BY_TYPE.get(progType)?.get(retval | 0) ?? null
}
