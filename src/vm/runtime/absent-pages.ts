import { BpfError } from '../../bytes/index.ts'
import { PAGE_SHIFT } from '../engine.ts'
import type { LinearMemory } from './memory.ts'

/**
 * Pages of arenas that were not allocated, where the kernel's programs fault: a byte for each page of the memory, 1 for
 * an absent one. Their bytes stay zero, as nothing is ever written there, so that loads need not ask.
 */
export class AbsentPages {
  /** Address of the byte for page 0. */
  readonly table: number
  readonly #memory: LinearMemory
  readonly #pages: number

  constructor(memory: LinearMemory) {
    this.#memory = memory
    this.#pages = memory.limit >>> PAGE_SHIFT
    this.table = memory.allocate(this.#pages)
  }

  /** Says of pages from an address on whether they are absent. */
  mark(address: number, pages: number, absent: boolean): void {
    const first = address >>> PAGE_SHIFT
    if (first + pages > this.#pages) throw new BpfError('limit', 'an arena lies beyond the limit of the memory')
    this.#memory.fill(this.table + first, absent ? 1 : 0, pages)
  }

  isAbsent(address: number): boolean {
    return this.#memory.u8[this.table + (address >>> PAGE_SHIFT)] === 1
  }
}
