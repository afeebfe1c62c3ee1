import { BpfError, decodeUtf8, encodeUtf8 } from '../bytes/index.ts'
import type { Btf } from './btf.ts'

/**
 * Texts above this many bytes are refused: 4 Mi, and 64 a byte of BTF. No real BTF comes near (vmlinux has 5 a byte as
 * JSON), but one changed member offset can ask for gigabytes of padding.
 */
function limitFor(btf: Btf): number {
  let bytes = 0
  for (let part: Btf | null = btf; part !== null; part = part.base) bytes += part.bytes().length
  return (1 << 22) + 64 * bytes
}

/** Collects small pieces of text as bytes: no garbage, where a million short strings would be joined otherwise. */
export class TextBuilder {
  #bytes: Uint8Array = new Uint8Array(1 << 16)
  #length = 0
  readonly #limit: number

  constructor(btf: Btf) {
    this.#limit = limitFor(btf)
  }

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

  /** Adds the bytes from `start` to the next zero byte. */
  addTextAt(names: Uint8Array, start: number): void {
    let at = this.#length
    let bytes = this.#bytes
    for (let i = start; names[i] !== 0; i++) {
      if (at === bytes.length) {
        this.#length = at
        this.#grow(1)
        bytes = this.#bytes
      }
      bytes[at++] = names[i] as number
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
    if (needed > this.#limit) throw new BpfError('limit', `the text of this BTF has more than ${this.#limit} bytes`)
    const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2))
    grown.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = grown
  }
}
