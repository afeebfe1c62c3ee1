import { BpfError } from '../../../bytes/index.ts'
import { STRUCT, STRUCT_SIZE } from '../../../uapi/index.ts'
import type { LinearMemory } from '../memory.ts'
import type { VirtualCgroup } from './cgroup.ts'
import { requireUnsigned, type Descriptors } from './descriptors.ts'
import { SocketOptionValues } from './socket-options.ts'

export const AF_UNIX = 1
export const AF_INET = 2
export const AF_INET6 = 10
export const SOCK_STREAM = 1
export const SOCK_DGRAM = 2
export const IPPROTO_TCP = 6
export const IPPROTO_UDP = 17
export const TCP_ESTABLISHED = 1
export const TCP_CLOSE = 7
export const TCP_LISTEN = 10

type TcpField =
  | 'snd_cwnd'
  | 'srtt_us'
  | 'rtt_min'
  | 'snd_ssthresh'
  | 'rcv_nxt'
  | 'snd_nxt'
  | 'snd_una'
  | 'mss_cache'
  | 'ecn_flags'
  | 'rate_delivered'
  | 'rate_interval_us'
  | 'packets_out'
  | 'retrans_out'
  | 'total_retrans'
  | 'segs_in'
  | 'data_segs_in'
  | 'segs_out'
  | 'data_segs_out'
  | 'lost_out'
  | 'sacked_out'
  | 'dsack_dups'
  | 'delivered'
  | 'delivered_ce'
  | 'icsk_retransmits'
/** Offsets in struct bpf_tcp_sock (include/uapi/linux/bpf.h) of its u32 fields; two u64 lie between. */
const TCP_FIELDS: Readonly<Record<TcpField, number>> = {
  snd_cwnd: 0,
  srtt_us: 4,
  rtt_min: 8,
  snd_ssthresh: 12,
  rcv_nxt: 16,
  snd_nxt: 20,
  snd_una: 24,
  mss_cache: 28,
  ecn_flags: 32,
  rate_delivered: 36,
  rate_interval_us: 40,
  packets_out: 44,
  retrans_out: 48,
  total_retrans: 52,
  segs_in: 56,
  data_segs_in: 60,
  segs_out: 64,
  data_segs_out: 68,
  lost_out: 72,
  sacked_out: 76,
  dsack_dups: 96,
  delivered: 100,
  delivered_ce: 104,
  icsk_retransmits: 108,
}
const BYTES_RECEIVED = 80
const BYTES_ACKED = 88
const TCP_SIZE = 112

/** An end of a connection: an IPv4 (4 bytes) or IPv6 (16 bytes) address and a port in host order. */
export interface Endpoint {
  readonly address: readonly number[] | Uint8Array
  readonly port: number
}

/** What a socket is made from; what is left out is 0. */
export interface SocketOptions {
  /** `tcp` and `udp` sockets are of IPv4 or IPv6 by their addresses, IPv4 without. */
  readonly protocol: 'tcp' | 'udp' | 'unix'
  /** Default: established. A listening socket is TCP's; a closed one is bound to nothing. */
  readonly state?: 'established' | 'listen' | 'close'
  readonly local?: Endpoint
  readonly remote?: Endpoint
  readonly mark?: number
  readonly priority?: number
  readonly uid?: number
  /** Index of the device that it is bound to. */
  readonly ifindex?: number
  /** Whether SO_REUSEPORT is set, which reuseport arrays ask for. */
  readonly reuseport?: boolean
  readonly cgroup?: VirtualCgroup
  /** Fields of struct bpf_tcp_sock. */
  readonly tcp?: Readonly<Partial<Record<TcpField, number>>>
}

const STATES = { established: TCP_ESTABLISHED, listen: TCP_LISTEN, close: TCP_CLOSE } as const

/** A socket of the virtual kernel. Programs see struct bpf_sock at its address, and struct bpf_tcp_sock behind it. */
export class VirtualSocket {
  readonly kind: 'socket' = 'socket' as const
  readonly family: number
  readonly type: number
  readonly protocol: number
  readonly address: number
  readonly tcpAddress: number
  readonly cookie: bigint
  readonly uid: number
  readonly reuseport: boolean
  readonly cgroup: VirtualCgroup | null
  readonly fd: number
  /** What setsockopt has set. */
  readonly options: SocketOptionValues = new SocketOptionValues()
  /** Map that has the socket as a target of SO_REUSEPORT; a socket is in one at most. */
  reuseportMap: object | null = null
  /** Bits of bpf_sock_ops_cb_flags_set. */
  callbackFlags = 0
  readonly #memory: LinearMemory
  readonly #descriptors: Descriptors

  constructor(memory: LinearMemory, descriptors: Descriptors, cookie: bigint, options: SocketOptions) {
    const { local, remote, protocol } = options
    const length = local?.address.length ?? remote?.address.length ?? 4
    if ((length !== 4 && length !== 16) || (remote !== undefined && remote.address.length !== length)) {
      throw new BpfError('usage', 'addresses of a socket have 4 or 16 bytes, both the same')
    }
    this.#memory = memory
    this.#descriptors = descriptors
    this.family = protocol === 'unix' ? AF_UNIX : length === 4 ? AF_INET : AF_INET6
    this.type = protocol === 'udp' ? SOCK_DGRAM : SOCK_STREAM
    this.protocol = protocol === 'tcp' ? IPPROTO_TCP : protocol === 'udp' ? IPPROTO_UDP : 0
    this.cookie = cookie
    this.uid = options.uid ?? 0
    this.reuseport = options.reuseport === true
    this.cgroup = options.cgroup ?? null
    this.address = memory.allocate(STRUCT_SIZE.bpf_sock)
    this.tcpAddress = memory.allocate(TCP_SIZE)
    const put = (field: keyof typeof STRUCT.bpf_sock, value: number): void => {
      memory.setU32(this.address + STRUCT.bpf_sock[field].offset, value)
    }
    put('bound_dev_if', requireUnsigned('ifindex', options.ifindex ?? 0, 32))
    put('family', this.family)
    put('type', this.type)
    put('protocol', this.protocol)
    put('mark', requireUnsigned('mark', options.mark ?? 0, 32))
    put('priority', requireUnsigned('priority', options.priority ?? 0, 32))
    put('state', STATES[options.state ?? 'established'])
    put('rx_queue_mapping', 0xffffffff)
    if (local !== undefined) this.#putEnd('src', local)
    if (remote !== undefined) this.#putEnd('dst', remote)
    for (const [name, value] of Object.entries(options.tcp ?? {})) this.#putTcp(name as TcpField, value)
    this.fd = descriptors.open(this)
  }

  /** A field of struct bpf_sock of at most 32 bits. */
  get(field: keyof typeof STRUCT.bpf_sock): number {
    const { offset, size } = STRUCT.bpf_sock[field]
    return size === 2
      ? this.#memory.view.getUint16(this.address + offset, true)
      : this.#memory.u32(this.address + offset)
  }

  set(field: keyof typeof STRUCT.bpf_sock, value: number): void {
    this.#memory.setU32(this.address + STRUCT.bpf_sock[field].offset, value)
  }

  get state(): number {
    return this.get('state')
  }

  /** Whether it is TCP or UDP. */
  get isTcp(): boolean {
    return this.protocol === IPPROTO_TCP
  }

  get isUdp(): boolean {
    return this.protocol === IPPROTO_UDP
  }

  /** Whether struct bpf_tcp_sock has a field of 32 bits with this name. */
  hasTcpField(name: string): name is TcpField {
    return Object.hasOwn(TCP_FIELDS, name)
  }

  /** A field of struct bpf_tcp_sock. */
  tcpField(name: TcpField): number {
    return this.#memory.u32(this.tcpAddress + TCP_FIELDS[name])
  }

  tcpBytes(): { readonly received: bigint; readonly acked: bigint } {
    return {
      received: this.#memory.u64(this.tcpAddress + BYTES_RECEIVED),
      acked: this.#memory.u64(this.tcpAddress + BYTES_ACKED),
    }
  }

  /** Bytes of an end's address. */
  ip(end: 'src' | 'dst'): Uint8Array {
    const place = STRUCT.bpf_sock[`${end}_${this.family === AF_INET6 ? 'ip6' : 'ip4'}`]
    return this.#memory.read(this.address + place.offset, place.size)
  }

  /** Closes the descriptor; maps that hold the socket keep it. */
  close(): void {
    this.#descriptors.close(this.fd)
  }

  #putEnd(end: 'src' | 'dst', { address, port }: Endpoint): void {
    const place = STRUCT.bpf_sock[`${end}_${address.length === 4 ? 'ip4' : 'ip6'}`]
    this.#memory.write(this.address + place.offset, Uint8Array.from(address))
    requireUnsigned('port', port, 16)
    // src_port is in host order, dst_port in network order.
    if (end === 'src') this.#memory.setU32(this.address + STRUCT.bpf_sock.src_port.offset, port)
    else this.#memory.view.setUint16(this.address + STRUCT.bpf_sock.dst_port.offset, port, false)
  }

  #putTcp(name: TcpField, value: number): void {
    if (!Object.hasOwn(TCP_FIELDS, name)) throw new BpfError('usage', `struct bpf_tcp_sock has no field ${name}`)
    this.#memory.setU32(this.tcpAddress + TCP_FIELDS[name], requireUnsigned(name, value, 32))
  }
}
