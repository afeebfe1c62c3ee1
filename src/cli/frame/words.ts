import { BpfError } from '../../bytes/index.ts'

/**
 * Positional words of a command in bpftool's grammar (`dump file F format c`). As there, a keyword may be abbreviated,
 * and the first one in the order of a table wins.
 */
export class Words {
  readonly #words: readonly string[]
  readonly #usage: string
  #at = 0

  /** @param usage what to show when a word is missing */
  constructor(words: readonly string[], usage: string) {
    this.#words = words
    this.#usage = usage
  }

  get isEmpty(): boolean {
    return this.#at >= this.#words.length
  }

  peek(): string | undefined {
    return this.#words[this.#at]
  }

  /** The next word. @throws BpfError `usage` when there is none */
  next(what: string): string {
    const word = this.#words[this.#at]
    if (word === undefined) throw this.error(`${what} expected`)
    this.#at++
    return word
  }

  /** The keyword among `table` that the next word abbreviates. @throws BpfError `usage` */
  keyword<K extends string>(table: readonly K[], what: string): K {
    const word = this.next(`${what} (${table.join(', ')})`)
    const found = table.find((keyword) => keyword.startsWith(word) && word !== '')
    if (found === undefined) throw this.error(`'${word}' is no ${what}: expected ${table.join(', ')}`)
    return found
  }

  /** Takes the next word when it abbreviates `keyword`. */
  takes(keyword: string): boolean {
    const word = this.peek()
    if (word === undefined || word === '' || !keyword.startsWith(word)) return false
    this.#at++
    return true
  }

  /** The next word as an unsigned 32-bit number. @throws BpfError `usage` */
  number(what: string): number {
    const word = this.next(what)
    const value = /^(0x[0-9a-f]+|\d+)$/i.test(word) ? Number(word) : NaN
    if (!(value <= 0xffff_ffff)) throw this.error(`${what} must be a number, not '${word}'`)
    return value
  }

  /** @throws BpfError `usage` when words are left */
  end(): void {
    const word = this.peek()
    if (word !== undefined) throw this.error(`unexpected '${word}'`)
  }

  error(message: string): BpfError {
    return new BpfError('usage', `${message}\n${this.#usage}`)
  }
}
