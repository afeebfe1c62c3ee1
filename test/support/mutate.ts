/** A small seeded generator (mulberry32): the same seed gives the same run everywhere. */
export class Random {
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
}

/** Values that break length, offset and index arithmetic. */
const EDGES = [
  0, 1, 2, 7, 8, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffff8,
  0xffffffff,
]

/** A copy of `input` with one to eight changes: bits, bytes, edge values in words, cut, grown, copied and zeroed spans. */
export function mutate(input: Uint8Array, random: Random): Uint8Array {
  let bytes = input.slice()
  for (let changes = 1 + random.below(8); changes > 0; changes--) {
    if (bytes.length === 0) return random.below(2) === 0 ? bytes : new Uint8Array(random.below(64))
    const at = random.below(bytes.length)
    const view = new DataView(bytes.buffer)
    switch (random.below(10)) {
      case 0:
      case 1:
        bytes[at] = (bytes[at] as number) ^ (1 << random.below(8))
        break
      case 2:
        bytes[at] = random.next() & 0xff
        break
      case 3:
      case 4:
        if (at + 4 <= bytes.length) view.setUint32(at, random.pick(EDGES), random.below(4) > 0)
        break
      case 5:
        if (at + 2 <= bytes.length) view.setUint16(at, random.pick(EDGES) & 0xffff, true)
        break
      case 6:
        // Fields are mostly aligned words: change one a little.
        if ((at & ~3) + 4 <= bytes.length)
          view.setUint32(at & ~3, view.getUint32(at & ~3, true) + random.below(17) - 8, true)
        break
      case 7:
        bytes = bytes.slice(0, at)
        break
      case 8: {
        const length = Math.min(random.below(64), bytes.length - at)
        bytes.copyWithin(random.below(bytes.length - length + 1), at, at + length)
        break
      }
      default:
        bytes.fill(0, at, at + random.below(32))
    }
  }
  return bytes
}
