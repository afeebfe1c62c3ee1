import type { RecordSink } from '../../loader/index.ts'
import { native } from '../syscall.ts'
import { mapMemory } from './memory.ts'

/** Bit of a record's length word (BPF_RINGBUF_DISCARD_BIT); BPF_RINGBUF_BUSY_BIT, the highest, makes it negative. */
const DISCARD = 0x4000_0000
const HEADER_SIZE = 8
/** Bytes after which their room is given back to producers, while more are handed out. */
const STRETCH = 64 * 1024
const ORDERED_LOADS: boolean = process.arch === 'x64'

/**
 * Consumer of a BPF ring buffer. One page holds the consumer's position, the next the producer's, and the data follows
 * twice in a row, so that no record is ever split (Documentation/bpf/ringbuf.rst). Positions only grow.
 *
 * Records are handed out where they are, in memory that is read-only to user space: a write to it would end the process.
 */
export class RingReader {
  readonly #consumerMemory: ArrayBuffer
  readonly #producerMemory: ArrayBuffer
  readonly #consumer: BigUint64Array
  readonly #producer: BigUint64Array
  readonly #headers: Int32Array
  readonly #data: Uint8Array
  readonly #size: number
  #closed = false
  #delivering = false
  #consumed = 0
  #discarded = 0

  constructor(fd: number, size: number) {
    const { pageSize } = native()
    this.#consumerMemory = mapMemory(fd, pageSize, 'rw', 0)
    try {
      this.#producerMemory = mapMemory(fd, pageSize + 2 * size, 'r', pageSize)
    } catch (error) {
      native().detach(this.#consumerMemory)
      throw error
    }
    this.#consumer = new BigUint64Array(this.#consumerMemory, 0, 1)
    this.#producer = new BigUint64Array(this.#producerMemory, 0, 1)
    this.#headers = new Int32Array(this.#producerMemory, pageSize, (2 * size) / 4)
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
    const before = this.#consumed
    try {
      while (this.#consumed - before < limit && this.#deliver(sink, limit - (this.#consumed - before)));
    } finally {
      this.#delivering = false
    }
    return this.#consumed - before
  }

  /** Hands out one stretch of records and gives its room back. False when there is nothing more to take. */
  #deliver(sink: RecordSink, limit: number): boolean {
    if (this.#closed) return false
    const start = Number(Atomics.load(this.#consumer, 0))
    const waiting = Number(Atomics.load(this.#producer, 0)) - start
    const data = this.#data
    const headers = this.#headers
    const base = start & (this.#size - 1)
    const end = (base + Math.min(waiting, STRETCH)) | 0
    // An integer: comparing with infinity would cost a conversion each time.
    const most = Math.min(limit, STRETCH) | 0
    let at = base
    let count = 0
    let discarded = 0
    try {
      while (at < end && count < most) {
        // A header is written after its record, and must be read before it. Loads stay in order on x86.
        const header = (ORDERED_LOADS ? headers[at >>> 2] : Atomics.load(headers, at >>> 2)) as number
        if (header < 0) break
        const length = header & (DISCARD - 1)
        const record = at + HEADER_SIZE
        at = (record + length + 7) & ~7
        if ((header & DISCARD) !== 0) {
          discarded++
          continue
        }
        count++
        sink(data, record, length, -1)
        if (this.#closed) break
      }
    } finally {
      this.#consumed += count
      this.#discarded += discarded
      if (!this.#closed) Atomics.store(this.#consumer, 0, BigInt(start + at - base))
    }
    return at > base
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    native().detach(this.#consumerMemory)
    native().detach(this.#producerMemory)
  }
}
