import type { LinearMemory } from '../memory.ts'
import { Descriptor, Element } from './descriptor.ts'
import type { HashTable } from './hash-table.ts'
import { checkLinks } from './links.ts'

/**
 * Which element an LRU map drops: a hand goes round the ring of all elements, gives those that were looked up since it
 * last came by a second chance, and takes the first other one. New elements take the place of those that go, just
 * behind the hand, so that they are the last to be considered. (The kernel's choice is approximate too, and depends on
 * per-CPU lists.)
 */
export class LruOrder {
  readonly #memory: LinearMemory
  readonly #table: HashTable
  /** Address of the hand. */
  readonly #hand: number

  constructor(memory: LinearMemory, handle: number, table: HashTable) {
    this.#memory = memory
    this.#table = table
    this.#hand = handle + Descriptor.HEAD
  }

  add(element: number, referenced: boolean): void {
    this.#memory.setU32(element + Element.REFERENCED, referenced ? 1 : 0)
  }

  touch(element: number): void {
    this.#memory.setU32(element + Element.REFERENCED, 1)
  }

  /** The element to evict; there must be one in use. */
  victim(): number {
    const memory = this.#memory
    for (let steps = 1; ; steps++) {
      checkLinks(steps, 2 * this.#table.size)
      const element = memory.u32(this.#hand)
      memory.setU32(this.#hand, this.#table.nextInRing(element))
      const referenced = memory.u32(element + Element.REFERENCED)
      if (referenced === 0) return element
      if (referenced === 1) memory.setU32(element + Element.REFERENCED, 0)
    }
  }
}
