import { BpfError } from '../../bytes/index.ts'
import type { LinearMemory } from './memory.ts'

/** Looks at a lock before a thread sleeps, and how long that is in ms. */
const SPINS = 1000
const SLEEP = 1
/** Nobody holds a lock for so long, in ms: the thread that has it must have ended. */
const PATIENCE = 10_000

/** Words in a memory that other threads use too; those that are not 0 say who holds the lock. */
export class LockWords {
  readonly #memory: LinearMemory
  #words: Int32Array

  constructor(memory: LinearMemory) {
    this.#memory = memory
    this.#words = new Int32Array(memory.wasm.buffer)
  }

  /** Who holds the lock at an address, 0 for nobody. */
  holder(address: number): number {
    return Atomics.load(this.#at(address), address >>> 2)
  }

  /** Takes a lock for `owner`, waiting so many ms at most for another thread to open it. False: that did not happen. */
  take(address: number, owner: number, patience: number = PATIENCE): boolean {
    const words = this.#at(address)
    const index = address >>> 2
    let since = 0
    for (let spins = 1; ; spins++) {
      const holder = Atomics.compareExchange(words, index, 0, owner)
      if (holder === 0) return true
      if (spins % SPINS !== 0) continue
      since ||= performance.now()
      if (performance.now() - since > patience) return false
      try {
        Atomics.wait(words, index, holder, SLEEP)
      } catch {
        // The main thread of a browser may not sleep.
      }
    }
  }

  open(address: number): void {
    Atomics.store(this.#at(address), address >>> 2, 0)
  }

  #at(address: number): Int32Array {
    if (address + 4 > this.#words.byteLength) this.#words = new Int32Array(this.#memory.wasm.buffer)
    return this.#words
  }
}

/** The lock of a map, which one thread at a time has; the thread may take it again. */
export class MapLock {
  readonly #words: LockWords
  readonly #address: number
  readonly #owner: number
  readonly #name: string
  readonly #patience: number
  #depth = 0

  /** @param owner number of the thread, not 0 */
  constructor(words: LockWords, address: number, owner: number, name: string, patience: number = PATIENCE) {
    this.#words = words
    this.#address = address
    this.#owner = owner
    this.#name = name
    this.#patience = patience
  }

  /** @throws BpfError `trap` when the lock stays closed */
  during<T>(work: () => T): T {
    if (this.#depth === 0 && !this.#words.take(this.#address, this.#owner, this.#patience)) {
      const holder = this.#words.holder(this.#address) - 1
      const problem = `map ${this.#name} is locked by CPU ${holder} for ever: did its thread end while it used the map?`
      throw new BpfError('trap', problem, { where: { map: this.#name } })
    }
    this.#depth++
    try {
      return work()
    } finally {
      if (--this.#depth === 0) this.#words.open(this.#address)
    }
  }
}
