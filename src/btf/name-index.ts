import type { Btf } from './btf.ts'

/** Where the essential part of the name in `strings` from `start` ends: before the last "___" between other characters. */
export function essentialEnd(strings: Uint8Array, start: number, end: number): number {
  const underscore = 0x5f
  for (let i = end - 5; i >= start; i--) {
    if (
      strings[i + 1] === underscore &&
      strings[i + 2] === underscore &&
      strings[i + 3] === underscore &&
      strings[i] !== underscore &&
      strings[i + 4] !== underscore
    ) {
      return i + 1
    }
  }
  return end
}

/**
 * A hash table from essential name ("task_struct" of "task_struct___v5") to type ids, in typed arrays: 8 to 12 bytes a
 * type, against some 100 for a Map of strings. One for each blob; a split BTF has its own beside its base's.
 */
export class NameIndex {
  /** First own type (index + 1) of a bucket, and the next one with the same bucket. Chains are in order of id. */
  readonly #heads: Uint32Array
  readonly #next: Uint32Array
  readonly #mask: number

  constructor(btf: Btf) {
    const { offsets, words } = btf
    const count = offsets.length
    let size = 16
    while (size < count) size *= 2
    this.#mask = size - 1
    const heads = new Uint32Array(size)
    const next = new Uint32Array(count)
    // From the last to the first, so that chains come out in order of id.
    for (let i = count - 1; i >= 0; i--) {
      const nameOffset = words[offsets[i] as number] as number
      if (nameOffset === 0) continue
      // The names of a split BTF may be in its base's strings.
      const owner = btf.stringOwner(nameOffset)
      const { strings } = owner
      const start = nameOffset - owner.firstStringOffset
      let end = start
      while (strings[end] !== 0) end++
      if (end === start) continue
      const bucket = hashBytes(strings, start, essentialEnd(strings, start, end)) & this.#mask
      next[i] = heads[bucket] as number
      heads[bucket] = i + 1
    }
    this.#heads = heads
    this.#next = next
  }

  /** First own type whose essential name may be the one in `name`, as index + 1; 0 when there is none. */
  first(name: Uint8Array, length: number): number {
    return this.#heads[hashBytes(name, 0, length) & this.#mask] as number
  }

  /** The next candidate after `entry`. */
  after(entry: number): number {
    return this.#next[entry - 1] as number
  }
}

function hashBytes(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0x811c9dc5
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193)
  // FNV's low bits are weak for short names.
  return hash ^ (hash >>> 15)
}
