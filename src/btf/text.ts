import { BpfError } from '../bytes/index.ts'
import type { Btf } from './btf.ts'

/**
 * Texts above this many characters are refused: 16 Mi, and 64 a byte of BTF. No real BTF comes near (vmlinux has 5 a
 * byte as JSON), but one changed member offset can ask for gigabytes of padding.
 */
function limitFor(btf: Btf): number {
  let bytes = 0
  for (let part: Btf | null = btf; part !== null; part = part.base) bytes += part.bytes().length
  return (1 << 24) + 64 * bytes
}
const PARTS_IN_CHUNK = 8192

/** Collects pieces of text and joins them by the thousand, which is what V8 does fastest. */
export class TextBuilder {
  #parts: string[] = []
  readonly #chunks: string[] = []
  #chunkChars = 0
  readonly #limit: number

  constructor(btf: Btf) {
    this.#limit = limitFor(btf)
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
