import { BpfError } from '../../../bytes/index.ts'
import { Errno } from '../../../uapi/index.ts'
import { VmMap, roundUp8, type MapConfig, type MapHost } from './map.ts'

const HEADER_SIZE = 8

/** BPF_MAP_TYPE_USER_RINGBUF: records from user space for programs (bpf_user_ringbuf_drain). */
export class UserRingBufMap extends VmMap {
  readonly #data: number
  readonly #mask: number
  #producer = 0
  #consumer = 0
  /** A drain is under way. */
  busy = false

  constructor(host: MapHost, config: MapConfig) {
    const { spec } = config
    const size = spec.maxEntries
    super(host, config)
    this.#mask = size - 1
    this.#data = this.memory.allocate(size * 2)
  }

  /**
   * Hands a record to programs, as libbpf's user_ring_buffer__reserve and __submit.
   * @throws BpfError `syscall` ENOSPC when there is no room, E2BIG for a record that is larger than the ring
   */
  push(record: Uint8Array): void {
    if (this.closed) throw new BpfError('closed', `push: map ${this.name} was closed`, { where: { map: this.name } })
    const length = roundUp8(record.length + HEADER_SIZE)
    if (length > this.#mask + 1) this.fail('push', -Errno.E2BIG)
    if (this.#producer + length - this.#consumer > this.#mask + 1) this.fail('push', -Errno.ENOSPC)
    const header = this.#data + (this.#producer & this.#mask)
    this.memory.setU32(header, record.length)
    this.memory.setU32(header + 4, 0)
    this.memory.write(header + HEADER_SIZE, record)
    this.#producer += length
  }

  /** The oldest record's address and size; null when there is none. */
  peek(): { readonly address: number; readonly size: number } | null {
    if (this.#consumer >= this.#producer) return null
    const header = this.#data + (this.#consumer & this.#mask)
    return { address: header + HEADER_SIZE, size: this.memory.u32(header) }
  }

  /** Gives the room of the oldest record back. */
  consume(size: number): void {
    this.#consumer += roundUp8(size + HEADER_SIZE)
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

  protected override release(): void {
    this.memory.free(this.#data, (this.#mask + 1) * 2)
  }
}
