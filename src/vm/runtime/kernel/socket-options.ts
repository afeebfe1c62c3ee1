import { Errno } from '../../../uapi/index.ts'

const SOL_SOCKET = 1
const SOL_IP = 0
const SOL_IPV6 = 41
const SOL_TCP = 6

interface Option {
  /** Bytes of the value; null for text. */
  readonly size: 4 | null
  readonly initial: number | string
  readonly readOnly?: true
  readonly writeOnly?: true
  readonly tcp?: true
}

const number = (initial: number): Option => ({ size: 4, initial })

/**
 * Options that programs may set and get (sol_socket_sockopt() and its like in net/core/filter.c), by level and number, with
 * what a new socket has.
 */
const OPTIONS: Readonly<Record<string, Option>> = {
  // SO_REUSEADDR, SO_SNDBUF, SO_RCVBUF, SO_KEEPALIVE, SO_PRIORITY, SO_REUSEPORT, SO_RCVLOWAT, SO_BINDTODEVICE, SO_MARK
  [`${SOL_SOCKET}/2`]: number(0),
  [`${SOL_SOCKET}/7`]: number(212_992),
  [`${SOL_SOCKET}/8`]: number(212_992),
  [`${SOL_SOCKET}/9`]: number(0),
  [`${SOL_SOCKET}/12`]: number(0),
  [`${SOL_SOCKET}/15`]: number(0),
  [`${SOL_SOCKET}/18`]: number(1),
  [`${SOL_SOCKET}/25`]: { size: null, initial: '' },
  [`${SOL_SOCKET}/36`]: number(0),
  // SO_MAX_PACING_RATE, SO_BINDTOIFINDEX, SO_TXREHASH
  [`${SOL_SOCKET}/47`]: number(-1),
  [`${SOL_SOCKET}/62`]: number(0),
  [`${SOL_SOCKET}/74`]: number(1),
  // IP_TOS; IPV6_TCLASS, IPV6_AUTOFLOWLABEL
  [`${SOL_IP}/1`]: number(0),
  [`${SOL_IPV6}/67`]: number(0),
  [`${SOL_IPV6}/70`]: number(1),
  // TCP_NODELAY, TCP_MAXSEG, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_SYNCNT, TCP_WINDOW_CLAMP, TCP_CONGESTION
  ...Object.fromEntries(
    [
      [1, 0],
      [2, 536],
      [4, 7200],
      [5, 75],
      [6, 9],
      [7, 6],
      [10, 0],
      [18, 0],
      [26, 0],
      [27, 0],
    ].map(([name, initial]) => [`${SOL_TCP}/${name}`, { size: 4, initial: initial as number, tcp: true as const }]),
  ),
  [`${SOL_TCP}/13`]: { size: null, initial: 'cubic', tcp: true },
  // TCP_BPF_IW, TCP_BPF_SNDCWND_CLAMP, TCP_BPF_DELACK_MAX, TCP_BPF_RTO_MIN, TCP_BPF_SOCK_OPS_CB_FLAGS
  [`${SOL_TCP}/1001`]: { size: 4, initial: 0, writeOnly: true, tcp: true },
  [`${SOL_TCP}/1002`]: { size: 4, initial: 0, writeOnly: true, tcp: true },
  [`${SOL_TCP}/1003`]: { size: 4, initial: 0, writeOnly: true, tcp: true },
  [`${SOL_TCP}/1004`]: { size: 4, initial: 0, writeOnly: true, tcp: true },
  [`${SOL_TCP}/1008`]: { size: 4, initial: 0, tcp: true },
}

/** Values of a socket's options. */
export class SocketOptionValues {
  readonly #values: Map<string, Uint8Array> = new Map()

  /** bpf_setsockopt: 0 or a negative errno. */
  set(level: number, name: number, value: Uint8Array, isTcp: boolean): number {
    const option = OPTIONS[`${level}/${name}`]
    if (option === undefined || (option.tcp === true && !isTcp)) return -Errno.EINVAL
    if (option.size !== null && value.length !== option.size) return -Errno.EINVAL
    this.#values.set(`${level}/${name}`, value.slice())
    return 0
  }

  /** bpf_getsockopt: the value for a buffer of `size` bytes, or a negative errno. */
  get(level: number, name: number, size: number, isTcp: boolean): Uint8Array | number {
    const option = OPTIONS[`${level}/${name}`]
    if (option === undefined || option.writeOnly === true || (option.tcp === true && !isTcp)) return -Errno.EINVAL
    if (option.size !== null && size !== option.size) return -Errno.EINVAL
    const known = this.#values.get(`${level}/${name}`)
    const out = new Uint8Array(size)
    if (known !== undefined) out.set(known.subarray(0, size))
    else if (typeof option.initial === 'number') new DataView(out.buffer).setInt32(0, option.initial, true)
    else for (let i = 0; i < option.initial.length && i < size - 1; i++) out[i] = option.initial.charCodeAt(i)
    return out
  }
}
