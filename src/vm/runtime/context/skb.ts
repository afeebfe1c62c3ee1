import type { RunInput } from '../../../loader/index.ts'
import { ProgType } from '../../../uapi/index.ts'
import { CONTEXT_ADDRESS, PACKET_DATA, PACKET_START } from '../layout.ts'
import type { LinearMemory } from '../memory.ts'
import { contextBytes, readBigEndian, testRunError, type ContextOutput, type RunContext } from './context.ts'
import { publishSocket } from './socket.ts'

/** Byte offsets in struct __sk_buff (include/uapi/linux/bpf.h). */
export const SkbField = {
  LEN: 0,
  PKT_TYPE: 4,
  MARK: 8,
  QUEUE_MAPPING: 12,
  PROTOCOL: 16,
  VLAN_PRESENT: 20,
  VLAN_TCI: 24,
  VLAN_PROTO: 28,
  PRIORITY: 32,
  INGRESS_IFINDEX: 36,
  IFINDEX: 40,
  CB: 48,
  HASH: 68,
  DATA: 76,
  DATA_END: 80,
  FAMILY: 88,
  REMOTE_IP4: 92,
  LOCAL_IP4: 96,
  REMOTE_IP6: 100,
  LOCAL_IP6: 116,
  DATA_META: 140,
  TSTAMP: 152,
  WIRE_LEN: 160,
  GSO_SEGS: 164,
  SK: 168,
  GSO_SIZE: 176,
  HWTSTAMP: 184,
} as const
const SKB_SIZE = 192

/** Parts of the context that a test run may set; the rest must be zero. */
const SETTABLE: readonly (readonly [start: number, end: number])[] = [
  [SkbField.MARK, 12],
  [SkbField.PRIORITY, 44],
  [SkbField.CB, 68],
  [SkbField.TSTAMP, 168],
  [SkbField.GSO_SIZE, 180],
  [SkbField.HWTSTAMP, 192],
]

export const ETH_HLEN = 14
export const VLAN_HLEN = 4
const PAGE_SIZE = 4096
const HEADROOM = 64
const TAILROOM = 320
/** Longest skb that helpers make (BPF_SKB_MAX_LEN). */
export const SKB_MAX_LEN = 16064
const GSO_MAX_SEGS = 65535
const GSO_LEGACY_MAX_SIZE = 65536
const PACKET_HOST = 0
const PACKET_MULTICAST = 2
const PACKET_OTHERHOST = 3
/** Ether types and lengths: below this it is a length (IEEE 802.3). */
const ETH_P_802_3_MIN = 0x600
export const ETH_P_IP = 0x0800
export const ETH_P_IPV6 = 0x86dd
const ETH_P_802_3 = 1
const ETH_P_802_2 = 4
export const ETH_P_8021Q = 0x8100
export const ETH_P_8021AD = 0x88a8
const AF_INET = 2
const AF_INET6 = 10
/** Offsets of LD_ABS that are relative to the network and to the link layer header. */
const SKF_NET_OFF = -0x100000
const SKF_LL_OFF = -0x200000

/** Program types whose packet starts at the Ethernet header. */
const LINK_LAYER: ReadonlySet<number> = new Set<number>([ProgType.SCHED_CLS, ProgType.SCHED_ACT])
/** Program types that see the packet through data and data_end. */
const DIRECT: ReadonlySet<number> = new Set<number>([
  ProgType.SCHED_CLS,
  ProgType.SCHED_ACT,
  ProgType.LWT_IN,
  ProgType.LWT_OUT,
  ProgType.LWT_XMIT,
  ProgType.CGROUP_SKB,
])

/** Program types that may write to the packet (may_access_direct_pkt_data with BPF_WRITE). */
const WRITABLE: ReadonlySet<number> = new Set<number>([
  ProgType.SCHED_CLS,
  ProgType.SCHED_ACT,
  ProgType.LWT_XMIT,
  ProgType.SK_SKB,
])

/** Program types that run on a socket buffer. */
export const SKB_PROGRAMS: ReadonlySet<number> = new Set<number>([
  ...DIRECT,
  ProgType.SOCKET_FILTER,
  ProgType.LWT_SEG6LOCAL,
  ProgType.SK_SKB,
])

/**
 * Context of programs on socket buffers, built by the rules of the kernel's test run: the packet comes in on the
 * loopback device and has passed eth_type_trans(), so that all but tc programs see it from the network header on.
 */
export class SkbContext implements RunContext {
  readonly kind: 'skb' = 'skb' as const
  readonly address: number = CONTEXT_ADDRESS
  readonly memory: LinearMemory
  readonly #linkLayer: boolean
  readonly #direct: boolean
  readonly #writable: boolean
  readonly #given: Uint8Array | null
  /** Addresses: first byte, byte after the last, and headers. */
  data: number = 0
  tail: number = 0
  mac: number = 0
  net: number = 0
  /** The tail as it was given. */
  #tail: number = -1
  encapsulated = false
  /** A tunnel key was set for sending. */
  tunnel = false

  constructor(memory: LinearMemory, input: RunInput, type: number) {
    this.memory = memory
    this.#linkLayer = LINK_LAYER.has(type)
    this.#direct = DIRECT.has(type)
    this.#writable = WRITABLE.has(type)
    this.#given = contextBytes(input.ctx, SKB_SIZE)
    this.reset(input.data ?? new Uint8Array(0))
  }

  reset(packet: Uint8Array): void {
    if (packet.length < ETH_HLEN) {
      throw testRunError('EINVAL', `the packet has ${packet.length} bytes, at least ${ETH_HLEN} are needed`)
    }
    if (packet.length > PAGE_SIZE - HEADROOM - TAILROOM) {
      throw testRunError('EINVAL', `the packet has ${packet.length} bytes, at most 3712 are possible`)
    }
    const { memory } = this
    // Helpers move headers and the end about; programs by themselves write to packet bytes only.
    const start = PACKET_DATA + (this.#linkLayer ? 0 : ETH_HLEN)
    if (this.data !== start || this.tail !== this.#tail) memory.fill(PACKET_DATA - HEADROOM, 0, PAGE_SIZE)
    else if (this.tail > PACKET_DATA + packet.length) memory.fill(PACKET_DATA, 0, this.tail - PACKET_DATA)
    memory.u8.set(packet, PACKET_DATA)
    this.mac = PACKET_DATA
    this.net = PACKET_DATA + ETH_HLEN
    this.data = start
    this.tail = this.#tail = PACKET_DATA + packet.length
    this.encapsulated = this.tunnel = false
    memory.u8.fill(0, CONTEXT_ADDRESS, CONTEXT_ADDRESS + SKB_SIZE)
    const ifindex = this.#given === null ? 0 : new DataView(this.#given.buffer).getUint32(SkbField.IFINDEX, true)
    if (ifindex > 1) throw testRunError('ENODEV', `there is no device ${ifindex}; the vm has the loopback device 1`)
    this.#classify()
    this.#take()
    this.setField(SkbField.SK, publishSocket(memory, this.protocol, this.net, this.tail))
    this.publish()
  }

  claim(): void {
    this.#tail = -1
  }

  packetView(): Uint8Array | null {
    // The link layer header that others than tc programs get back is zeros; it need not lie in the memory.
    return this.#linkLayer ? this.memory.u8.subarray(this.data, this.tail) : this.output().data
  }

  get length(): number {
    return this.tail - this.data
  }

  /** Whether programs of this type may write to the packet by pointers. */
  get writable(): boolean {
    return this.#writable
  }

  /** Whether it stands for several segments (generic segmentation offload); test runs cannot say of which protocol. */
  get isGso(): boolean {
    return this.field(SkbField.GSO_SIZE) !== 0
  }

  /** Ethernet protocol in host order. */
  get protocol(): number {
    const raw = this.field(SkbField.PROTOCOL)
    return ((raw & 0xff) << 8) | (raw >>> 8)
  }

  set protocol(value: number) {
    this.setField(SkbField.PROTOCOL, ((value & 0xff) << 8) | (value >>> 8))
  }

  field(offset: number): number {
    return this.memory.u32(CONTEXT_ADDRESS + offset)
  }

  setField(offset: number, value: number): void {
    this.memory.setU32(CONTEXT_ADDRESS + offset, value >>> 0)
  }

  /** Protocol by the type field at an address: below 0x600 it is a length, and what follows tells the format. */
  protocolAt(address: number): number {
    const type = readBigEndian(this.memory, address, 2)
    if (type >= ETH_P_802_3_MIN) return type
    const first = address + 4 <= this.tail ? readBigEndian(this.memory, address + 2, 2) : 0
    return first === 0xffff ? ETH_P_802_3 : ETH_P_802_2
  }

  /** Writes length and pointers to the structure, after the packet has moved. */
  publish(): void {
    this.setField(SkbField.LEN, this.length)
    this.setField(SkbField.DATA, this.data)
    this.setField(SkbField.DATA_END, this.#direct ? this.tail : this.data)
    this.setField(SkbField.DATA_META, this.data)
  }

  /** Address of packet bytes, 0 when they are not all there. */
  at(offset: number, size: number): number {
    return offset >= 0 && offset + size <= this.length ? this.data + offset : 0
  }

  /** Room of `size` zeroed bytes, `offset` bytes into the packet; the bytes before move down. */
  insert(offset: number, size: number): boolean {
    if (this.data - size < PACKET_START) return false
    this.data -= size
    this.memory.copy(this.data, this.data + size, offset)
    this.memory.fill(this.data + offset, 0, size)
    this.mac -= size
    this.net -= size
    return true
  }

  /** Takes `size` bytes out, `offset` bytes into the packet. */
  remove(offset: number, size: number): void {
    this.memory.copy(this.data + size, this.data, offset)
    this.data += size
    this.mac += size
    this.net += size
  }

  loadPacket(offset: number, size: number): number | null {
    let at = this.data + offset
    if (offset < 0) {
      if (offset >= SKF_NET_OFF) at = this.net + offset - SKF_NET_OFF
      else if (offset >= SKF_LL_OFF) at = this.mac + offset - SKF_LL_OFF
      else return null
    }
    if (at < this.mac - HEADROOM || at + size > this.tail) return null
    return readBigEndian(this.memory, at, size)
  }

  output(): ContextOutput {
    let data: Uint8Array
    if (this.#linkLayer) {
      data = this.memory.read(this.data, this.length)
    } else {
      // The kernel gives room for the link layer header back, cleared.
      data = new Uint8Array(ETH_HLEN + this.length)
      data.set(this.memory.read(this.data, this.length), ETH_HLEN)
    }
    if (this.#given === null) return { data, ctx: null }
    const ctx = this.#given.slice()
    const copy = (start: number, end: number): void => {
      ctx.set(this.memory.read(CONTEXT_ADDRESS + start, end - start), start)
    }
    copy(SkbField.MARK, SkbField.MARK + 4)
    copy(SkbField.PRIORITY, SkbField.IFINDEX + 4)
    copy(SkbField.CB, SkbField.HASH)
    copy(SkbField.TSTAMP, SkbField.GSO_SEGS + 4)
    copy(SkbField.HWTSTAMP, SkbField.HWTSTAMP + 8)
    return { data, ctx }
  }

  /** What eth_type_trans() and the test run find out about the packet. */
  #classify(): void {
    const { memory, mac } = this
    this.protocol = this.protocolAt(mac + 12)
    const { view } = memory
    let kind: number = PACKET_HOST
    if ((view.getUint8(mac) & 1) !== 0) {
      // The loopback device has no broadcast address, so that broadcasts are multicasts to it.
      kind = PACKET_MULTICAST
    } else if ((view.getUint32(mac, true) | view.getUint16(mac + 4, true)) !== 0) {
      // The loopback device has address 0.
      kind = PACKET_OTHERHOST
    }
    this.setField(SkbField.PKT_TYPE, kind)
    this.setField(SkbField.IFINDEX, 1)
    const size = this.tail - this.net
    if (this.protocol === ETH_P_IP) {
      if (size < 20) throw testRunError('EINVAL', `an IPv4 packet of ${size} bytes`)
      this.setField(SkbField.FAMILY, AF_INET)
      this.setField(SkbField.REMOTE_IP4, memory.u32(this.net + 16))
      this.setField(SkbField.LOCAL_IP4, memory.u32(this.net + 12))
    } else if (this.protocol === ETH_P_IPV6) {
      if (size < 40) throw testRunError('EINVAL', `an IPv6 packet of ${size} bytes`)
      this.setField(SkbField.FAMILY, AF_INET6)
      memory.copy(CONTEXT_ADDRESS + SkbField.REMOTE_IP6, this.net + 24, 16)
      memory.copy(CONTEXT_ADDRESS + SkbField.LOCAL_IP6, this.net + 8, 16)
    }
  }

  /** Fields that the caller of the test run gave. */
  #take(): void {
    this.setField(SkbField.WIRE_LEN, this.length)
    const given = this.#given
    if (given === null) return
    let at = 0
    for (const [start, end] of [...SETTABLE, [SKB_SIZE, SKB_SIZE] as const]) {
      for (; at < start; at++) {
        if (given[at] !== 0) throw testRunError('EINVAL', `byte ${at} of the context (struct __sk_buff) must be 0`)
      }
      this.memory.write(CONTEXT_ADDRESS + start, given.subarray(start, end))
      at = end
    }
    const wire = this.field(SkbField.WIRE_LEN)
    if (wire === 0) this.setField(SkbField.WIRE_LEN, this.length)
    else if (wire < this.length || wire > GSO_LEGACY_MAX_SIZE) {
      throw testRunError('EINVAL', `wire_len is ${wire}, the packet has ${this.length} bytes`)
    }
    if (this.field(SkbField.GSO_SEGS) > GSO_MAX_SEGS) throw testRunError('EINVAL', 'gso_segs is over 65535')
    this.setField(SkbField.IFINDEX, 1)
    // Kept in 16 bits.
    this.setField(SkbField.GSO_SIZE, this.field(SkbField.GSO_SIZE) & 0xffff)
  }
}
