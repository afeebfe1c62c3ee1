import { Errno } from '../../../uapi/index.ts'
import { Descriptor, RING_CONTROL_SIZE, RingControl } from './descriptor.ts'
import { checkLinks } from './links.ts'
import { VmMap, type MapConfig, type MapHost } from './map.ts'

/** A record starts with its length (with two flag bits) and a page offset that only the kernel uses. */
const HEADER_SIZE = 8
const BUSY = 0x80000000
const DISCARDED = 0x40000000
/** Largest record (RINGBUF_MAX_RECORD_SZ, UINT_MAX / 4). */
const MAX_RECORD = 0x3fffffff

/**
 * BPF_MAP_TYPE_RINGBUF with the kernel's record layout. A record that starts near the end of the ring goes on behind
 * it, where the kernel has the same pages mapped a second time and this map has memory of its own.
 */
export class RingBufMap extends VmMap {
  readonly #data: number
  readonly #mask: number
  /** Address of the positions; in memory, because compiled programs reserve records too. */
  readonly #control: number

  constructor(host: MapHost, config: MapConfig) {
    const { spec } = config
    const size = spec.maxEntries
    super(host, config)
    this.#mask = size - 1
    this.#data = this.memory.allocate(size * 2)
    this.#control = this.memory.allocate(RING_CONTROL_SIZE)
    this.memory.setU32(this.handle + Descriptor.BASE, this.#data)
    this.memory.setU32(this.handle + Descriptor.STRIDE, this.#mask)
    this.memory.setU32(this.handle + Descriptor.CONTROL, this.#control)
  }

  override get lost(): number {
    return this.#counter(RingControl.LOST)
  }

  get #producer(): number {
    return this.#counter(RingControl.PRODUCER)
  }

  get #consumer(): number {
    return this.#counter(RingControl.CONSUMER)
  }

  #counter(field: number): number {
    const at = this.#control + field
    return this.memory.u32(at + 4) * 4294967296 + this.memory.u32(at)
  }

  #setCounter(field: number, value: number): void {
    const at = this.#control + field
    this.memory.setU32(at, value % 4294967296)
    this.memory.setU32(at + 4, Math.floor(value / 4294967296))
  }

  /** bpf_ringbuf_reserve: address for `size` bytes, or 0. */
  reserve(size: number): number {
    const length = Math.ceil((size + HEADER_SIZE) / 8) * 8
    const producer = this.#producer
    if (size > MAX_RECORD || length > this.#mask + 1 || producer + length - this.#consumer > this.#mask) {
      this.#setCounter(RingControl.LOST, this.lost + 1)
      return 0
    }
    const header = this.#data + ((producer % 4294967296) & this.#mask)
    this.memory.setU32(header, (size | BUSY) >>> 0)
    this.memory.setU32(header + 4, 0)
    this.#setCounter(RingControl.PRODUCER, producer + length)
    return header + HEADER_SIZE
  }

  /** Whether `sample` is the address of a record that was reserved and not yet given back. */
  isReserved(sample: number): boolean {
    const header = sample - HEADER_SIZE
    if (header < this.#data || header >= this.#data + this.#mask + 1) return false
    return (this.memory.u32(header) & BUSY) !== 0
  }

  /** bpf_ringbuf_submit and bpf_ringbuf_discard. */
  commit(sample: number, discard: boolean): void {
    const header = sample - HEADER_SIZE
    const length = (this.memory.u32(header) & ~BUSY) >>> 0
    this.memory.setU32(header, discard ? (length | DISCARDED) >>> 0 : length)
  }

  /** bpf_ringbuf_query. */
  query(what: number): bigint {
    switch (what) {
      case 0:
        return BigInt(this.#producer - this.#consumer)
      case 1:
        return BigInt(this.#mask + 1)
      case 2:
        return BigInt(this.#consumer)
      case 3:
        return BigInt(this.#producer)
      default:
        return 0n
    }
  }

  override updateAt(_key: number, _value: number, _flags: number): number {
    return -Errno.ENOTSUPP
  }

  override deleteAt(_key: number): number {
    return -Errno.ENOTSUPP
  }

  protected override userLookup(_key: number, _value: number): number {
    return -Errno.ENOTSUPP
  }

  override drain(record: (data: Uint8Array, cpu: number) => void): number {
    let count = 0
    // Each is taken before the callback, which may run a program or drain again.
    for (let data = this.takeRecord(); data !== null; data = this.takeRecord()) {
      if (data === 'discarded') continue
      count++
      record(data, 0)
    }
    return count
  }

  /** Takes the oldest record; null when there is none that is complete. */
  protected takeRecord(): Uint8Array | 'discarded' | null {
    const consumer = this.#consumer
    const producer = this.#producer
    if (consumer >= producer) return null
    checkLinks(producer - consumer, this.#mask + 1)
    const header = this.#data + ((consumer % 4294967296) & this.#mask)
    const word = this.memory.u32(header)
    if ((word & BUSY) !== 0) return null
    const length = (word & ~DISCARDED) >>> 0
    const data = (word & DISCARDED) === 0 ? this.memory.read(header + HEADER_SIZE, length) : 'discarded'
    this.#setCounter(RingControl.CONSUMER, consumer + Math.ceil((length + HEADER_SIZE) / 8) * 8)
    return data
  }

  protected override release(): void {
    this.memory.free(this.#data, (this.#mask + 1) * 2)
    this.memory.free(this.#control, RING_CONTROL_SIZE)
  }
}
