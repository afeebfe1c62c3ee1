import { decodeUtf8 } from '../bytes/index.ts'
import type { Btf } from './btf.ts'

/**
 * Fast names for code that reads nearly all of them (the dumpers): the string section is decoded once, and names are
 * slices of that text.
 */
export class NameTable {
  readonly #btf: Btf
  /** The decoded strings; null when they are not one character a byte. */
  readonly #text: string | null
  readonly #first: number
  readonly #base: NameTable | null

  constructor(btf: Btf) {
    this.#btf = btf
    this.#first = btf.firstStringOffset
    this.#base = btf.base === null ? null : new NameTable(btf.base)
    const text = decodeUtf8(btf.strings)
    this.#text = text.length === btf.strings.length ? text : null
  }

  /** The text at a string offset, which must be valid. */
  at(offset: number): string {
    if (offset === 0) return ''
    if (offset < this.#first && this.#base !== null) return this.#base.at(offset)
    if (this.#text === null) return this.#btf.string(offset)
    const start = offset - this.#first
    return this.#text.slice(start, this.#text.indexOf('\0', start))
  }
}
