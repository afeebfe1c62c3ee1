import { native, syscallError } from './syscall.ts'

const PROT_READ = 1
const PROT_WRITE = 2
/** Bits of a record's length word (BPF_RINGBUF_BUSY_BIT, BPF_RINGBUF_DISCARD_BIT). */
const BUSY = 0x8000_0000
const DISCARD = 0x4000_0000
const HEADER_SIZE = 8

/** Maps a descriptor. @throws BpfError `syscall` */
export function mapMemory(
  fd: number,
  length: number,
  protection: 'r' | 'rw',
  offset: number,
  address: bigint = 0n,
): ArrayBuffer {
  const access = protection === 'r' ? PROT_READ : PROT_READ | PROT_WRITE
  const memory = native().mmap(fd, length, access, offset, undefined, address)
  if (typeof memory === 'number') throw syscallError('mmap', memory)
  return memory
}

/**
 * Consumer of a BPF ring buffer. One page holds the consumer's position, the next the producer's, and the data follows
 * twice in a row, so that no record is ever split (Documentation/bpf/ringbuf.rst). Positions only grow.
 */
export class RingReader {
  readonly #consumerMemory: ArrayBuffer
  readonly #producerMemory: ArrayBuffer
  readonly #consumer: BigUint64Array
  readonly #producer: BigUint64Array
  readonly #headers: Uint32Array
  readonly #data: Uint8Array
  readonly #mask: number
  #closed = false

  constructor(fd: number, size: number) {
    const { pageSize } = native()
    this.#consumerMemory = mapMemory(fd, pageSize, 'rw', 0)
    // Read-only to user space; nothing here may write to it.
    this.#producerMemory = mapMemory(fd, pageSize + 2 * size, 'r', pageSize)
    this.#consumer = new BigUint64Array(this.#consumerMemory, 0, 1)
    this.#producer = new BigUint64Array(this.#producerMemory, 0, 1)
    this.#headers = new Uint32Array(this.#producerMemory, pageSize, (2 * size) / 4)
    this.#data = new Uint8Array(this.#producerMemory, pageSize, 2 * size)
    this.#mask = size - 1
  }

  /** Hands out copies of the records that are complete; a busy one ends the round. Returns their number. */
  drain(record: (data: Uint8Array) => void): number {
    let count = 0
    let position = Number(Atomics.load(this.#consumer, 0))
    const end = Number(Atomics.load(this.#producer, 0))
    while (position < end && !this.#closed) {
      const at = position & this.#mask
      const header = Atomics.load(this.#headers, at / 4)
      if (header >= BUSY) break
      const length = header & (DISCARD - 1)
      const data = header & DISCARD ? null : this.#data.slice(at + HEADER_SIZE, at + HEADER_SIZE + length)
      position += (length + HEADER_SIZE + 7) & ~7
      // Given back before the call, so that an exception in it does not deliver the record again.
      Atomics.store(this.#consumer, 0, BigInt(position))
      if (data !== null) {
        count++
        record(data)
      }
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
