import { BpfError, decodeUtf8 } from '../bytes/index.ts'

/** Room for names that share their tails in one string table, as linkers lay them out. */
const SHARING_FACTOR = 16
const SHARING_SLACK = 4096

/**
 * A string table. Names are decoded once per offset; all of them together are bounded by a multiple of the table's
 * size, so that a table of overlapping long names cannot cost quadratic time or memory.
 */
export class StringTable {
  readonly #bytes: Uint8Array
  readonly #offset: number
  readonly #label: string
  readonly #names = new Map<number, string>()
  #budget: number

  constructor(bytes: Uint8Array, offset: number, label: string) {
    this.#bytes = bytes
    this.#offset = offset
    this.#label = label
    this.#budget = bytes.length * SHARING_FACTOR + SHARING_SLACK
  }

  /**
   * The zero-terminated text at `start`. Offset 0 of an empty table is the empty name.
   * @throws BpfError `malformed` outside the table or without an end, `limit` for overlapping long names
   */
  at(start: number): string {
    const known = this.#names.get(start)
    if (known !== undefined) return known
    if (start === 0 && this.#bytes.length === 0) return ''
    if (start >= this.#bytes.length) {
      throw new BpfError(
        'malformed',
        `${this.#label}: name offset ${start} is outside its ${this.#bytes.length} bytes`,
        {
          where: { offset: this.#offset },
        },
      )
    }
    const end = this.#bytes.indexOf(0, start)
    if (end < 0) {
      throw new BpfError('malformed', `${this.#label}: the name at ${start} has no terminating zero`, {
        where: { offset: this.#offset + start },
      })
    }
    this.#budget -= end - start
    if (this.#budget < 0) {
      throw new BpfError('limit', `${this.#label}: overlapping names add up to over ${SHARING_FACTOR} times its size`, {
        where: { offset: this.#offset + start },
      })
    }
    const name = decodeUtf8(this.#bytes.subarray(start, end))
    this.#names.set(start, name)
    return name
  }
}
