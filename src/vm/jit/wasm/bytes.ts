import { encodeUtf8 } from '../../../bytes/index.ts'

/** Buffers that sinks have given back. A small module takes less time to write than its buffers take to allocate. */
const spare: Uint8Array<ArrayBuffer>[] = []
const MOST_SPARE = 64
const SMALLEST = 1024
const LARGEST_SPARE = 16_384
/** Shorter copies are made byte by byte. */
const SHORT = 48
const NOTHING = new Uint8Array(0)

/** Growing output of a wasm binary: single bytes, LEB128 numbers, names. */
export class ByteSink {
  #bytes: Uint8Array<ArrayBuffer>
  #length = 0

  constructor(capacity: number = SMALLEST) {
    const known = capacity <= LARGEST_SPARE ? spare.pop() : undefined
    this.#bytes = known ?? new Uint8Array(Math.max(SMALLEST, capacity))
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length
  }

  byte(value: number): void {
    if (this.#length === this.#bytes.length) this.#reserve(1)
    this.#bytes[this.#length++] = value
  }

  /** Unsigned LEB128 of a 32-bit value. */
  unsigned(value: number): void {
    let rest = value >>> 0
    while (rest > 0x7f) {
      this.byte((rest & 0x7f) | 0x80)
      rest >>>= 7
    }
    this.byte(rest)
  }

  /** Signed LEB128 of a 32-bit value. */
  signed32(value: number): void {
    let rest = value | 0
    for (;;) {
      const low = rest & 0x7f
      rest >>= 7
      if (rest === (low & 0x40 ? -1 : 0)) return this.byte(low)
      this.byte(low | 0x80)
    }
  }

  /** Signed LEB128 of the 64-bit value with these two 32-bit halves. */
  signed64(low: number, high: number): void {
    let lo = low | 0
    let hi = high | 0
    for (;;) {
      const bits = lo & 0x7f
      lo = (lo >>> 7) | (hi << 25)
      hi >>= 7
      const sign = bits & 0x40 ? -1 : 0
      if (lo === sign && hi === sign) return this.byte(bits)
      this.byte(bits | 0x80)
    }
  }

  /** UTF-8 text after its length in bytes. */
  name(text: string): void {
    for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return this.#encoded(encodeUtf8(text))
    this.unsigned(text.length)
    for (let i = 0; i < text.length; i++) this.byte(text.charCodeAt(i))
  }

  /** The contents of another sink, which is empty then. */
  append(sink: ByteSink): void {
    const { length } = sink
    if (this.#length + length > this.#bytes.length) this.#reserve(length)
    if (length > SHORT) this.#bytes.set(sink.#bytes.subarray(0, length), this.#length)
    else for (let i = 0; i < length; i++) this.#bytes[this.#length + i] = sink.#bytes[i] as number
    this.#length += length
    sink.#giveBack()
  }

  /** The contents of another sink, which is empty then, after their length. */
  sized(sink: ByteSink): void {
    this.unsigned(sink.length)
    this.append(sink)
  }

  /** What was written; the sink is empty then. */
  take(): Uint8Array<ArrayBuffer> {
    const written = this.#bytes.subarray(0, this.#length)
    const isKept = this.#bytes.length <= LARGEST_SPARE
    const result = isKept ? written.slice() : written
    this.#giveBack()
    return result
  }

  #encoded(bytes: Uint8Array): void {
    this.unsigned(bytes.length)
    for (const byte of bytes) this.byte(byte)
  }

  #giveBack(): void {
    const { length } = this.#bytes
    if (length > 0 && length <= LARGEST_SPARE && spare.length < MOST_SPARE) spare.push(this.#bytes)
    this.#bytes = NOTHING
    this.#length = 0
  }

  #reserve(count: number): void {
    const grown = new Uint8Array(Math.max(SMALLEST, this.#length + count, this.#bytes.length * 2))
    grown.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = grown
  }
}
