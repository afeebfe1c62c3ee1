import { encodeUtf8 } from '../../../bytes/index.ts'

/** Growing output of a wasm binary: single bytes, LEB128 numbers, names. */
export class ByteSink {
  #bytes: Uint8Array
  #length = 0

  constructor(capacity: number = 256) {
    this.#bytes = new Uint8Array(capacity)
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
    const bytes = encodeUtf8(text)
    this.unsigned(bytes.length)
    this.write(bytes)
  }

  write(bytes: Uint8Array): void {
    if (this.#length + bytes.length > this.#bytes.length) this.#reserve(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
  }

  /** The contents of another sink after their length. */
  sized(sink: ByteSink): void {
    this.unsigned(sink.length)
    this.write(sink.view())
  }

  /** What was written; valid until the next write. */
  view(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length) as Uint8Array<ArrayBuffer>
  }

  #reserve(count: number): void {
    const grown = new Uint8Array(Math.max(this.#length + count, this.#bytes.length * 2))
    grown.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = grown
  }
}
