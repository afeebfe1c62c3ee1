import { BpfError } from '../bytes/index.ts'

/** Texts above this are refused: no real BTF comes near, and made-up ones could fill memory. */
const MAX_CHARS = 1 << 28
const PARTS_IN_CHUNK = 8192

/** Collects pieces of text and joins them by the thousand, which is what V8 does fastest. */
export class TextBuilder {
  #parts: string[] = []
  readonly #chunks: string[] = []
  #chunkChars = 0
  readonly #limit: number

  constructor(limit: number = MAX_CHARS) {
    this.#limit = limit
  }

  add(text: string): void {
    this.#parts.push(text)
    if (this.#parts.length === PARTS_IN_CHUNK) this.#flush()
  }

  toString(): string {
    this.#flush()
    return this.#chunks.join('')
  }

  #flush(): void {
    const chunk = this.#parts.join('')
    this.#parts = []
    this.#chunks.push(chunk)
    this.#chunkChars += chunk.length
    if (this.#chunkChars > this.#limit) {
      throw new BpfError('limit', `the text of this BTF has more than ${this.#limit} characters`)
    }
  }
}
