import { encodeUtf8 } from './utf8.ts'

/** Grows by doubling; `bytes()` gives what was written. */
export class Writer {
  readonly littleEndian: boolean
  #bytes: Uint8Array
  #view: DataView
  #length = 0

  constructor(littleEndian: boolean = true, capacity: number = 256) {
    this.littleEndian = littleEndian
    this.#bytes = new Uint8Array(capacity)
    this.#view = new DataView(this.#bytes.buffer)
  }

  /** Bytes written so far, which is also the offset of the next one. */
  get length(): number {
    return this.#length
  }

  u8(value: number): this {
    const start = this.#grow(1)
    this.#view.setUint8(start, value)
    return this
  }

  u16(value: number): this {
    const start = this.#grow(2)
    this.#view.setUint16(start, value, this.littleEndian)
    return this
  }

  u32(value: number): this {
    const start = this.#grow(4)
    this.#view.setUint32(start, value, this.littleEndian)
    return this
  }

  u64(value: bigint): this {
    const start = this.#grow(8)
    this.#view.setBigUint64(start, value, this.littleEndian)
    return this
  }

  write(bytes: Uint8Array): this {
    const start = this.#grow(bytes.length)
    this.#bytes.set(bytes, start)
    return this
  }

  /** UTF-8 text and a zero byte. */
  cstring(text: string): this {
    return this.write(encodeUtf8(text)).u8(0)
  }

  zeros(count: number): this {
    const start = this.#grow(count)
    this.#bytes.fill(0, start, start + count)
    return this
  }

  /** Zero bytes up to the next multiple of `alignment` (a power of two). */
  align(alignment: number): this {
    return this.zeros(-this.#length & (alignment - 1))
  }

  /** Overwrites a 32-bit field written before. */
  patchU32(offset: number, value: number): this {
    if (offset + 4 > this.#length) throw new RangeError(`patch at ${offset} beyond ${this.#length}`)
    this.#view.setUint32(offset, value, this.littleEndian)
    return this
  }

  /** A copy of what was written. */
  bytes(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }

  // Callers take the start first: growing replaces #view and #bytes.
  #grow(count: number): number {
    const start = this.#length
    const need = start + count
    if (need > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(need, this.#bytes.length * 2))
      grown.set(this.#bytes.subarray(0, start))
      this.#bytes = grown
      this.#view = new DataView(grown.buffer)
    }
    this.#length = need
    return start
  }
}
