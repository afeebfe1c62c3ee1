import type { LinearMemory } from '../memory.ts'

/** Slabs start at a line of the cache, so that elements of such sizes lie in one line. */
const LINE = 64

/** Memory for many elements at a time, which is given back all at once. */
export class Slabs {
  readonly #memory: LinearMemory
  readonly #pieces: { readonly address: number; readonly size: number }[] = []

  constructor(memory: LinearMemory) {
    this.#memory = memory
  }

  /** Address of `size` zeroed bytes. */
  add(size: number): number {
    const padded = size + LINE
    const address = this.#memory.allocate(padded)
    this.#pieces.push({ address, size: padded })
    return Math.ceil(address / LINE) * LINE
  }

  /** Gives all memory back. */
  release(): void {
    for (const { address, size } of this.#pieces) this.#memory.free(address, size)
    this.#pieces.length = 0
  }
}
