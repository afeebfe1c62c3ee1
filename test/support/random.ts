/** A small seeded generator (mulberry32): the same seed gives the same run everywhere. */
export class Random implements Iterable<number> {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** Next 32 bits. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return (t ^ (t >>> 14)) >>> 0
  }

  /** A number from 0 to `count` - 1. */
  below(count: number): number {
    return this.next() % count
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T
  }

  *[Symbol.iterator](): Iterator<number> {
    for (;;) yield this.next()
  }
}
