import { BpfError } from '../../bytes/index.ts'
import { native } from '../syscall.ts'
import { mapMemory } from './memory.ts'

const HEADER_SIZE = 8

/**
 * Producer of a BPF user ring buffer, whose records a program takes by bpf_user_ringbuf_drain() (Linux 6.1). The layout
 * is that of a ring buffer with the roles swapped: here the consumer's page is the read-only one.
 */
export class UserRing {
  readonly #consumerMemory: ArrayBuffer
  readonly #producerMemory: ArrayBuffer
  readonly #consumer: BigUint64Array
  readonly #producer: BigUint64Array
  readonly #headers: Uint32Array
  readonly #data: Uint8Array
  readonly #size: number
  #closed = false

  constructor(fd: number, size: number) {
    const { pageSize } = native()
    this.#consumerMemory = mapMemory(fd, pageSize, 'r', 0)
    try {
      this.#producerMemory = mapMemory(fd, pageSize + 2 * size, 'rw', pageSize)
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

  /**
   * Puts a record in; false when there is no room now.
   * @throws BpfError `usage` for a record that never fits
   */
  produce(record: Uint8Array): boolean {
    if (this.#closed) throw new BpfError('closed', 'the user ring buffer is closed')
    const length = (record.length + HEADER_SIZE + 7) & ~7
    if (length > this.#size) {
      throw new BpfError('usage', `a record of ${record.length} bytes does not fit a ring of ${this.#size} bytes`)
    }
    const position = Number(Atomics.load(this.#producer, 0))
    if (position + length - Number(Atomics.load(this.#consumer, 0)) > this.#size) return false
    const at = position & (this.#size - 1)
    this.#headers[at / 4] = record.length
    this.#headers[at / 4 + 1] = 0
    this.#data.set(record, at + HEADER_SIZE)
    // The kernel looks no further than this.
    Atomics.store(this.#producer, 0, BigInt(position + length))
    return true
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    native().detach(this.#consumerMemory)
    native().detach(this.#producerMemory)
  }
}
