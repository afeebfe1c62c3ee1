import { AREA } from '../area.ts'
import { HELD_LOCK_ADDRESS } from '../engine.ts'
import { Trap } from '../trap.ts'
import type { LinearMemory } from './memory.ts'
import { LockWords } from './spin-lock.ts'

/** How long bpf_res_spin_lock waits in ms (RES_DEF_TIMEOUT, include/asm-generic/rqspinlock.h). */
const RES_PATIENCE = 250

/**
 * The locks that programs take in values: bpf_spin_lock and bpf_res_spin_lock. A word is 0 when it is open; otherwise it
 * is the number of the CPU that holds it plus 1. Where nobody else runs, a lock that is held can never open.
 */
export class ValueLocks {
  readonly #memory: LinearMemory
  /** Null where no other thread runs. */
  readonly #words: LockWords | null
  readonly #owner: number = AREA.cpu + 1
  /** Those that kernel functions took, of which a program may hold several. */
  readonly #held: Set<number> = new Set()

  constructor(memory: LinearMemory) {
    this.#memory = memory
    this.#words = memory.isShared ? new LockWords(memory) : null
  }

  /** bpf_spin_lock. @throws Trap when the lock never opens */
  take(address: number): void {
    const holder = this.#holder(address)
    if (holder === this.#owner || (this.#words === null && holder !== 0)) {
      throw new Trap('call', 'bpf_spin_lock of a lock that is held: it would never end')
    }
    if (this.#words === null) {
      this.#memory.setU32(address, this.#owner)
      return
    }
    if (!this.#words.take(address, this.#owner)) {
      const problem = `bpf_spin_lock: CPU ${this.#holder(address) - 1} holds the lock for ever: did its thread end?`
      throw new Trap('call', problem)
    }
    this.#memory.setU32(HELD_LOCK_ADDRESS, address)
  }

  /** bpf_spin_unlock. */
  open(address: number): void {
    if (this.#words === null) {
      this.#memory.setU32(address, 0)
      return
    }
    this.#aligned(address)
    this.#words.open(address)
    this.#memory.setU32(HELD_LOCK_ADDRESS, 0)
  }

  /** bpf_res_spin_lock: whether it was taken; `held` when this CPU has it, `timeout` when another one keeps it. */
  tryTake(address: number): 'taken' | 'held' | 'timeout' {
    const holder = this.#holder(address)
    if (holder === this.#owner || (this.#words === null && holder !== 0)) return 'held'
    if (this.#words === null) this.#memory.setU32(address, this.#owner)
    else if (!this.#words.take(address, this.#owner, RES_PATIENCE)) return 'timeout'
    else this.#held.add(address)
    return 'taken'
  }

  /** bpf_res_spin_unlock. */
  openTried(address: number): void {
    this.#held.delete(address)
    if (this.#words === null) this.#memory.setU32(address, 0)
    else {
      this.#aligned(address)
      this.#words.open(address)
    }
  }

  /** Does what user space or a helper does to a value with its lock taken. */
  during(address: number, work: () => void): void {
    if (this.#words === null) return work()
    const outer = this.#memory.u32(HELD_LOCK_ADDRESS)
    this.take(address)
    try {
      work()
    } finally {
      this.open(address)
      this.#memory.setU32(HELD_LOCK_ADDRESS, outer)
    }
  }

  /** Opens what a run that was stopped has left closed, so that other threads go on. */
  openAll(): void {
    if (this.#words === null) return
    const address = this.#memory.u32(HELD_LOCK_ADDRESS)
    if (address !== 0) this.open(address)
    for (const held of this.#held) this.#words.open(held)
    this.#held.clear()
  }

  #holder(address: number): number {
    if (this.#words === null) return this.#memory.u32(address)
    this.#aligned(address)
    return this.#words.holder(address)
  }

  #aligned(address: number): void {
    if (address % 4 !== 0) throw new Trap('memory', `the lock at 0x${address.toString(16)} is not aligned`)
  }
}
