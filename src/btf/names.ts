import { decodeUtf8 } from '../bytes/index.ts'
import type { Btf } from './btf.ts'

/** Bytes of strings for each name that the tables first have room for. */
const BYTES_A_NAME = 16

/**
 * The names of a BTF and those below it, for code that reads nearly all of them (the dumpers). Names are handled as
 * offsets into `bytes` as long as possible; equal names can be told by number without making strings.
 */
export class NameTable {
  /** All strings, so that a string offset is an index. Names in it end with a zero byte. */
  readonly bytes: Uint8Array
  /** The decoded strings, when first asked for; null when they are not one character a byte. */
  #text: string | null | undefined
  /** By string offset: number of the name there, 0 when it was not asked for. */
  readonly #numbers: Uint32Array
  /** By number: offset where the name was seen first. */
  #offsets: Uint32Array
  /** Open-addressing hash table of numbers. */
  #table: Uint32Array
  #count = 0

  constructor(btf: Btf) {
    this.bytes = allStrings(btf)
    this.#numbers = new Uint32Array(this.bytes.length)
    let room = 64
    while (room < this.bytes.length / BYTES_A_NAME) room *= 2
    this.#offsets = new Uint32Array(room)
    this.#table = new Uint32Array(room * 2)
  }

  /** The text at a string offset, which must be valid. */
  at(offset: number): string {
    if (offset === 0) return ''
    const { bytes } = this
    if (this.#text === undefined) {
      const text = decodeUtf8(bytes)
      this.#text = text.length === bytes.length ? text : null
    }
    if (this.#text === null) return decodeUtf8(bytes.subarray(offset, bytes.indexOf(0, offset)))
    return this.#text.slice(offset, this.#text.indexOf('\0', offset))
  }

  /** Whether the name at `offset` is `text`, which is ASCII. */
  is(offset: number, text: string): boolean {
    const { bytes } = this
    for (let i = 0; i < text.length; i++) if (bytes[offset + i] !== text.charCodeAt(i)) return false
    return bytes[offset + text.length] === 0
  }

  /** A number for the name at `offset`: the same for equal names. */
  number(offset: number): number {
    const known = this.#numbers[offset] as number
    if (known !== 0) return known
    const { bytes } = this
    let hash = 0x811c9dc5
    for (let i = offset; bytes[i] !== 0; i++) hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193)
    hash ^= hash >>> 15
    let table = this.#table
    let mask = table.length - 1
    let slot = hash & mask
    for (let found = table[slot] as number; found !== 0; found = table[slot] as number) {
      if (this.#equal(this.#offsets[found - 1] as number, offset)) {
        this.#numbers[offset] = found
        return found
      }
      slot = (slot + 1) & mask
    }
    if (this.#count === this.#offsets.length) {
      this.#grow()
      table = this.#table
      mask = table.length - 1
      slot = hash & mask
      while (table[slot] !== 0) slot = (slot + 1) & mask
    }
    const number = ++this.#count
    this.#offsets[number - 1] = offset
    table[slot] = number
    this.#numbers[offset] = number
    return number
  }

  #equal(a: number, b: number): boolean {
    const { bytes } = this
    let i = 0
    while (bytes[a + i] === bytes[b + i]) {
      if (bytes[a + i] === 0) return true
      i++
    }
    return false
  }

  #grow(): void {
    const offsets = new Uint32Array(this.#offsets.length * 2)
    offsets.set(this.#offsets)
    this.#offsets = offsets
    const table = new Uint32Array(offsets.length * 2)
    const mask = table.length - 1
    const { bytes } = this
    for (let number = 1; number <= this.#count; number++) {
      let hash = 0x811c9dc5
      for (let i = offsets[number - 1] as number; bytes[i] !== 0; i++) {
        hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193)
      }
      hash ^= hash >>> 15
      let slot = hash & mask
      while (table[slot] !== 0) slot = (slot + 1) & mask
      table[slot] = number
    }
    this.#table = table
  }
}

function allStrings(btf: Btf): Uint8Array {
  if (btf.base === null) return btf.strings
  const below = allStrings(btf.base)
  const all = new Uint8Array(below.length + btf.strings.length)
  all.set(below)
  all.set(btf.strings, below.length)
  return all
}

/** How often names were used, by their number. */
export class NameUses {
  readonly #names: NameTable
  #uses: Uint32Array = new Uint32Array(1 << 12)

  constructor(names: NameTable) {
    this.#names = names
  }

  /** Counts a use of the name at `offset`; gives how often it was used, this time included. */
  count(offset: number): number {
    const number = this.#names.number(offset)
    if (number >= this.#uses.length) {
      const grown = new Uint32Array(Math.max(number + 1, this.#uses.length * 2))
      grown.set(this.#uses)
      this.#uses = grown
    }
    const uses = (this.#uses[number] as number) + 1
    this.#uses[number] = uses
    return uses
  }
}
