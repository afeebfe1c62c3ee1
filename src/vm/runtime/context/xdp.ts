import type { RunInput } from '../../../loader/index.ts'
import { Errno } from '../../../uapi/index.ts'
import { CONTEXT_ADDRESS, PACKET_DATA } from '../layout.ts'
import type { LinearMemory } from '../memory.ts'
import { contextBytes, testRunError, type ContextOutput, type RunContext } from './context.ts'

/** struct xdp_md (include/uapi/linux/bpf.h): byte offsets of its u32 fields. */
const DATA = 0
const DATA_END = 4
const DATA_META = 8
const INGRESS_IFINDEX = 12
const RX_QUEUE_INDEX = 16
const EGRESS_IFINDEX = 20
const XDP_MD_SIZE = 24

/** Bytes in front of the packet that test runs leave (XDP_PACKET_HEADROOM). */
const HEADROOM = 256
/** What the kernel keeps of the headroom for itself (struct xdp_frame). */
const FRAME_SIZE = 40
const PAGE_SIZE = 4096
/** Room at the end of the page for struct skb_shared_info. */
const TAILROOM = 320
/** The shared info of a socket buffer counts metadata in a byte. */
const MAX_META = 255
/** Most fragments of a packet that is longer than a page (MAX_SKB_FRAGS). */
const MAX_FRAGS = 17
const ETH_HLEN = 14
/** Bytes of a packet that a test run takes, and that lie in one piece. */
export const SHORTEST_PACKET: number = ETH_HLEN
export const LARGEST_LINEAR: number = PAGE_SIZE - HEADROOM - TAILROOM
/** End of the memory that the linear part may grow into. */
const HARD_END: number = PACKET_DATA + PAGE_SIZE - TAILROOM

/**
 * Context of XDP programs, with the sizes and rules of the kernel's test run. The part of a packet that does not fit
 * into the first page (fragments) lies behind the linear part, where only helpers reach it.
 */
export class XdpContext implements RunContext {
  readonly kind: 'xdp' = 'xdp' as const
  readonly address: number = CONTEXT_ADDRESS
  protected readonly memory: LinearMemory
  readonly #given: Uint8Array | null
  /** Addresses: metadata, first byte, byte after the last of the linear part. */
  protected meta: number = 0
  protected data: number = 0
  protected end: number = 0
  /** Bytes of fragments behind the linear part. */
  #fragments: number = 0
  /** Whether more of the page than packet bytes may differ from zero. */
  #used: boolean = true

  constructor(memory: LinearMemory, input: RunInput) {
    this.memory = memory
    this.#given = contextBytes(input.ctx, XDP_MD_SIZE)
    this.reset(input.data ?? new Uint8Array(0))
  }

  reset(packet: Uint8Array): void {
    const { length } = packet
    if (this.#used || this.#given !== null || length < ETH_HLEN || length > LARGEST_LINEAR) {
      this.#resetAll(packet)
      return
    }
    // Programs cannot write to struct xdp_md, and no helper has moved the packet: at most its end is another one.
    const start = PACKET_DATA + HEADROOM
    this.memory.u8.set(packet, start)
    if (this.end === start + length) return
    this.end = start + length
    this.memory.view.setUint32(CONTEXT_ADDRESS + DATA_END, start + length, true)
  }

  /** As reset(), for any packet, whatever the one before has left. */
  #resetAll(packet: Uint8Array): void {
    const given = this.#given
    const view = given === null ? null : new DataView(given.buffer)
    const field = (at: number): number => (view === null ? 0 : view.getUint32(at, true))
    let meta = 0
    let linear = packet.length
    if (given !== null) {
      meta = field(DATA)
      linear = field(DATA_END)
      if (field(DATA_META) !== 0 || linear > packet.length || meta > linear) {
        throw testRunError('EINVAL', 'data_meta must be 0, and data <= data_end <= the number of bytes of data')
      }
      if (meta % 4 !== 0 || meta > Math.min(MAX_META, HEADROOM - FRAME_SIZE)) {
        throw testRunError('EINVAL', `${meta} bytes of metadata; at most ${MAX_META}, a multiple of 4, are possible`)
      }
      if (field(EGRESS_IFINDEX) !== 0) throw testRunError('EINVAL', 'egress_ifindex must be 0')
      if (field(INGRESS_IFINDEX) === 0 && field(RX_QUEUE_INDEX) !== 0) {
        throw testRunError('EINVAL', 'rx_queue_index without ingress_ifindex')
      }
    }
    const headroom = HEADROOM - meta
    linear = Math.min(linear, PAGE_SIZE - headroom - TAILROOM)
    if (packet.length - meta < ETH_HLEN) {
      throw testRunError('EINVAL', `the packet has ${packet.length - meta} bytes, at least ${ETH_HLEN} are needed`)
    }
    const fragments = packet.length - linear
    if (fragments > MAX_FRAGS * PAGE_SIZE) {
      throw testRunError(
        'ENOMEM',
        `the packet has ${packet.length} bytes, which takes more than ${MAX_FRAGS} fragments`,
      )
    }
    const { memory } = this
    if (this.#used) memory.fill(PACKET_DATA, 0, PAGE_SIZE)
    this.#used = fragments > 0
    this.meta = PACKET_DATA + headroom
    this.data = this.meta + meta
    this.end = this.meta + linear
    this.#fragments = fragments
    if (fragments === 0) {
      memory.u8.set(packet, this.meta)
    } else {
      memory.write(this.meta, packet.subarray(0, linear))
      memory.write(this.#fragmentStart, packet.subarray(linear))
    }
    memory.setU32(CONTEXT_ADDRESS + INGRESS_IFINDEX, field(INGRESS_IFINDEX) || 1)
    memory.setU32(CONTEXT_ADDRESS + RX_QUEUE_INDEX, field(RX_QUEUE_INDEX))
    memory.setU32(CONTEXT_ADDRESS + EGRESS_IFINDEX, 0)
    this.#publish()
  }

  claim(): void {
    this.#used = true
  }

  packetView(): Uint8Array | null {
    this.sync()
    return this.#fragments > 0 ? this.output().data : this.memory.u8.subarray(this.meta, this.end)
  }

  /** Called before the fields are used, for contexts whose packet changes without reset(). */
  protected sync(): void {}

  /** A packet that lies elsewhere than in the page. */
  protected place(start: number, end: number): void {
    this.meta = this.data = start
    this.end = end
    this.#fragments = 0
  }

  /** Moves a packet that lies elsewhere to the page, where there is room around it. */
  protected settle(): void {
    const { memory } = this
    const size = this.end - this.data
    memory.fill(PACKET_DATA, 0, PAGE_SIZE)
    memory.copy(PACKET_DATA + HEADROOM, this.data, size)
    this.place(PACKET_DATA + HEADROOM, PACKET_DATA + HEADROOM + size)
    this.#publish()
  }

  /** Called before the packet moves or grows. */
  protected beforeMove(): void {
    this.#used = true
  }

  /** Bytes of packet, fragments included. */
  get length(): number {
    this.sync()
    return this.end - this.data + this.#fragments
  }

  /** Bytes of packet before the fragments. */
  get linearLength(): number {
    this.sync()
    return this.end - this.data
  }

  loadPacket(_offset: number, _size: number): number | null {
    return null
  }

  /** Copies of packet bytes, fragments included; null when they are not all there. */
  read(offset: number, size: number): Uint8Array | null {
    if (offset + size > this.length) return null
    const bytes = new Uint8Array(size)
    this.#pieces(offset, size, (at, from, count) => bytes.set(this.memory.u8.subarray(at, at + count), from))
    return bytes
  }

  /** Address of packet bytes that lie in one piece; 0 when they do not. */
  linear(offset: number, size: number): number {
    this.sync()
    const end = offset + size
    if (end <= this.linearLength) return this.data + offset
    return offset >= this.linearLength && end <= this.length ? this.#fragmentStart + offset - this.linearLength : 0
  }

  write(offset: number, bytes: Uint8Array): boolean {
    if (offset + bytes.length > this.length) return false
    this.#pieces(offset, bytes.length, (at, from, count) => {
      this.memory.write(at, bytes.subarray(from, from + count))
    })
    return true
  }

  /** bpf_xdp_adjust_head. */
  adjustHead(by: number): number {
    this.sync()
    this.beforeMove()
    const metaSize = this.data - this.meta
    const data = this.data + by
    if (data < PACKET_DATA + FRAME_SIZE + metaSize || data > this.end - ETH_HLEN) return -Errno.EINVAL
    if (metaSize > 0) this.memory.copy(this.meta + by, this.meta, metaSize)
    this.meta += by
    this.data = data
    this.#publish()
    return 0
  }

  /** bpf_xdp_adjust_tail. */
  adjustTail(by: number): number {
    this.sync()
    this.beforeMove()
    if (this.#fragments > 0) return this.#adjustFragments(by)
    const end = this.end + by
    if (end > HARD_END || end < this.data + ETH_HLEN) return -Errno.EINVAL
    if (by > 0) this.memory.fill(this.end, 0, by)
    this.end = end
    this.#publish()
    return 0
  }

  /** bpf_xdp_adjust_meta. */
  adjustMeta(by: number): number {
    this.sync()
    this.beforeMove()
    const meta = this.meta + by
    if (meta < PACKET_DATA + FRAME_SIZE || meta > this.data) return -Errno.EINVAL
    const size = this.data - meta
    if (size % 4 !== 0 || size > MAX_META) return -Errno.EACCES
    this.meta = meta
    this.#publish()
    return 0
  }

  output(): ContextOutput {
    this.sync()
    const linear = this.memory.read(this.meta, this.end - this.meta)
    const data = new Uint8Array(linear.length + this.#fragments)
    data.set(linear)
    data.set(this.memory.read(this.#fragmentStart, this.#fragments), linear.length)
    if (this.#given === null) return { data, ctx: null }
    const ctx = this.#given.slice()
    const view = new DataView(ctx.buffer)
    view.setUint32(DATA, this.data - this.meta, true)
    view.setUint32(DATA_END, this.end - this.meta, true)
    return { data, ctx }
  }

  get #fragmentStart(): number {
    return PACKET_DATA + PAGE_SIZE
  }

  #adjustFragments(by: number): number {
    if (by > 0) {
      // The last fragment may grow to the end of its page.
      const used = this.#fragments % PAGE_SIZE
      if (used === 0 || used + by > PAGE_SIZE) return -Errno.EINVAL
      this.memory.fill(this.#fragmentStart + this.#fragments, 0, by)
      this.#fragments += by
      return 0
    }
    if (this.length + by < ETH_HLEN) return -Errno.EINVAL
    const fromFragments = Math.min(this.#fragments, -by)
    this.#fragments -= fromFragments
    this.end -= -by - fromFragments
    this.#publish()
    return 0
  }

  #pieces(offset: number, size: number, visit: (at: number, from: number, count: number) => void): void {
    const linear = this.end - this.data
    const first = Math.max(0, Math.min(size, linear - offset))
    if (first > 0) visit(this.data + offset, 0, first)
    if (first < size) visit(this.#fragmentStart + Math.max(0, offset - linear), first, size - first)
  }

  #publish(): void {
    this.memory.setU32(CONTEXT_ADDRESS + DATA, this.data)
    this.memory.setU32(CONTEXT_ADDRESS + DATA_END, this.end)
    this.memory.setU32(CONTEXT_ADDRESS + DATA_META, this.meta)
  }
}
