import { BpfError, decodeUtf8, encodeUtf8 } from '../bytes/index.ts'

/** Texts above this are refused: no real BTF comes near, and made-up ones could fill memory. */
const MAX_BYTES = 1 << 28

/** Collects small pieces of text as bytes: no garbage, where a million short strings would be joined otherwise. */
export class TextBuilder {
  #bytes: Uint8Array = new Uint8Array(1 << 16)
  #length = 0

  add(text: string): void {
    let at = this.#length
    const { length } = text
    if (at + length > this.#bytes.length) this.#grow(length)
    const bytes = this.#bytes
    for (let i = 0; i < length; i++) {
      const c = text.charCodeAt(i)
      if (c >= 0x80) {
        this.#addEncoded(encodeUtf8(text))
        return
      }
      bytes[at++] = c
    }
    this.#length = at
  }

  toString(): string {
    return decodeUtf8(this.#bytes.subarray(0, this.#length))
  }

  #addEncoded(bytes: Uint8Array): void {
    if (this.#length + bytes.length > this.#bytes.length) this.#grow(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
  }

  #grow(count: number): void {
    const needed = this.#length + count
    if (needed > MAX_BYTES) throw new BpfError('limit', `the text of this BTF has more than ${MAX_BYTES} bytes`)
    const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2))
    grown.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = grown
  }
}
