import type { LinearMemory } from '../memory.ts'
import { Element } from './descriptor.ts'

/**
 * Age of the elements of an LRU map: oldest first, with a second chance for those that were looked up since they
 * were last considered. (The kernel's choice is approximate too, and depends on per-CPU lists.)
 */
export class LruOrder {
  readonly #memory: LinearMemory
  /** A Set keeps the order of insertion. */
  readonly #elements: Set<number> = new Set()

  constructor(memory: LinearMemory) {
    this.#memory = memory
  }

  add(element: number, referenced: boolean): void {
    this.#memory.setU32(element + Element.REFERENCED, referenced ? 1 : 0)
    this.#elements.add(element)
  }

  touch(element: number): void {
    this.#memory.setU32(element + Element.REFERENCED, 1)
  }

  remove(element: number): void {
    this.#elements.delete(element)
  }

  /** The element to evict, taken out; 0 when there is none. */
  evict(): number {
    // Each element gets at most one second chance, so this ends.
    for (const element of this.#elements) {
      this.#elements.delete(element)
      if (this.#memory.u32(element + Element.REFERENCED) === 0) return element
      this.add(element, false)
    }
    return 0
  }
}
