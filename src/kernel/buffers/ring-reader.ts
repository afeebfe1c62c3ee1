import type { RecordSink } from '../../loader/index.ts'
import { native } from '../syscall.ts'
import { mapMemory } from './memory.ts'

/** Bits of a record's length word (BPF_RINGBUF_BUSY_BIT, BPF_RINGBUF_DISCARD_BIT). */
const BUSY = 0x8000_0000
const DISCARD = 0x4000_0000
const HEADER_SIZE = 8
/** Bytes that are copied at once; a longer record is copied alone. */
const CHUNK_SIZE = 64 * 1024
const ORDERED_LOADS: boolean = process.arch === 'x64'

/**
 * Consumer of a BPF ring buffer. One page holds the consumer's position, the next the producer's, and the data follows
 * twice in a row, so that no record is ever split (Documentation/bpf/ringbuf.rst). Positions only grow.
 *
 * Records are copied in chunks: the mapping is read-only, and a write to it would end the process.
 */
export class RingReader {
  readonly #consumerMemory: ArrayBuffer
  readonly #producerMemory: ArrayBuffer
  readonly #consumer: BigUint64Array
  readonly #producer: BigUint64Array
  readonly #headers: Uint32Array
  readonly #data: Uint8Array
  readonly #size: number
  #closed = false
  /** Records that were taken out of the ring and not handed out yet, when a sink threw. */
  #chunk: Uint8Array = new Uint8Array(CHUNK_SIZE)
  #words: Uint32Array = new Uint32Array(this.#chunk.buffer)
  #at = 0
  #end = 0
  #delivering = false
  #consumed = 0
  #discarded = 0

  constructor(fd: number, size: number) {
    const { pageSize } = native()
    this.#consumerMemory = mapMemory(fd, pageSize, 'rw', 0)
    try {
      // Read-only to user space; nothing here may write to it.
      this.#producerMemory = mapMemory(fd, pageSize + 2 * size, 'r', pageSize)
    } catch (error) {
      native().detach(this.#consumerMemory)
      throw error
    }
    this.#consumer = new BigUint64Array(this.#consumerMemory, 0, 1)
    this.#producer = new BigUint64Array(this.#producerMemory, 0, 1)
    this.#headers = new Uint32Array(this.#producerMemory, pageSize, (2 * size) / 4)
    this.#data = new Uint8Array(this.#producerMemory, pageSize, 2 * size)
    this.#size = size
  }

  /** Records handed out so far. */
  get consumed(): number {
    return this.#consumed
  }

  /** Records that the program took back (bpf_ringbuf_discard). */
  get discarded(): number {
    return this.#discarded
  }

  /** Bytes in the ring that wait, headers included. */
  get pending(): number {
    return this.#closed ? 0 : Number(Atomics.load(this.#producer, 0) - Atomics.load(this.#consumer, 0))
  }

  /**
   * Hands out the records that are complete, at most `limit` of them; one that is still being written ends the round.
   * A record counts as delivered when `sink` is called, so an exception in it does not deliver the record again. A call
   * from within `sink` finds nothing. Returns their number.
   *
   * With a limit the descriptor may be quiet although records are left: wait only after a call that finds nothing.
   */
  consume(sink: RecordSink, limit: number = Number.POSITIVE_INFINITY): number {
    if (this.#delivering) return 0
    this.#delivering = true
    let count = 0
    try {
      while (count < limit && !this.#closed) {
        if (this.#at >= this.#end && !this.#take()) break
        count += this.#deliver(sink, limit - count)
      }
    } finally {
      this.#delivering = false
    }
    return count
  }

  /** Copies complete records out of the ring, and gives their room back. False when there are none. */
  #take(): boolean {
    const start = Number(Atomics.load(this.#consumer, 0))
    const most = Number(Atomics.load(this.#producer, 0)) - start
    const base = start & (this.#size - 1)
    const headers = this.#headers
    let length = 0
    while (length < most) {
      const index = (base + length) >>> 2
      // A header is written after its record, and must be read before it. Loads stay in order on x86.
      const header = (ORDERED_LOADS ? headers[index] : Atomics.load(headers, index)) as number
      if (header >= BUSY) break
      const size = ((header & (DISCARD - 1)) + HEADER_SIZE + 7) & ~7
      if (length > 0 && length + size > CHUNK_SIZE) break
      length += size
    }
    if (length === 0) return false
    if (length > this.#chunk.length) {
      this.#chunk = new Uint8Array(length)
      this.#words = new Uint32Array(this.#chunk.buffer)
    }
    this.#chunk.set(this.#data.subarray(base, base + length))
    this.#at = 0
    this.#end = length
    Atomics.store(this.#consumer, 0, BigInt(start + length))
    return true
  }

  #deliver(sink: RecordSink, limit: number): number {
    const chunk = this.#chunk
    const words = this.#words
    const end = this.#end
    let at = this.#at
    let count = 0
    let discarded = 0
    try {
      while (at < end && count < limit) {
        const header = words[at >>> 2] as number
        const length = header & (DISCARD - 1)
        const record = at + HEADER_SIZE
        at = (record + length + 7) & ~7
        if ((header & DISCARD) !== 0) {
          discarded++
          continue
        }
        count++
        sink(chunk, record, length, -1)
        if (this.#closed) break
      }
    } finally {
      this.#at = at
      this.#consumed += count
      this.#discarded += discarded
    }
    return count
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    native().detach(this.#consumerMemory)
    native().detach(this.#producerMemory)
  }
}
