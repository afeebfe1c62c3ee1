import type { FlatTypes } from '../flat.ts'
import type { NameTable } from '../names.ts'
import { BtfKind } from '../types.ts'
import { MAX_DEPTH, tooDeep } from './declare.ts'

const LAST_RANK = 10
/** What fits into a number exactly. */
const PREFIX_BYTES = 6

/**
 * Ids in the order of bpftool 7.5 and newer, so that headers of similar kernels can be compared: by rank of the kind,
 * name of the type in the end referred to, own name, a hash of the contents, id.
 * Kinds that never print by themselves (functions, variables, sections, tags) are left out.
 *
 * @param skipFirst leaves out the type that sorts first of all: bpftool's loop starts at its second
 */
export function sortedIds(types: FlatTypes, names: NameTable, skipFirst: boolean): Uint32Array {
  const sorter = new Sorter(types, names)
  const first = skipFirst ? sorter.first() : 0
  const { words, at, typeCount } = types
  const ids = new Uint32Array(typeCount)
  let count = 0
  for (let id = 1; id < typeCount; id++) {
    const kind = ((words[(at[id] as number) + 1] as number) >>> 24) & 0x1f
    if (id !== first && NEVER_PRINTS[kind] === 0) ids[count++] = id
  }
  return sorter.sort(ids.subarray(0, count))
}

// Tables instead of switches: most of this runs only once in a process, before the compiler gets to it.

function byKind(entries: Readonly<Record<number, number>>, otherwise: number = 0): Uint8Array {
  const table = new Uint8Array(32).fill(otherwise)
  for (const [kind, value] of Object.entries(entries)) table[Number(kind)] = value
  return table
}

const NEVER_PRINTS = byKind({ [BtfKind.FUNC]: 1, [BtfKind.VAR]: 1, [BtfKind.DATASEC]: 1, [BtfKind.DECL_TAG]: 1 })

/** By kind: word with the type that a reference, modifier, tag or array is about; 0 for other kinds. */
const TARGET_WORD = byKind({
  [BtfKind.ARRAY]: 3,
  [BtfKind.TYPE_TAG]: 2,
  [BtfKind.CONST]: 2,
  [BtfKind.PTR]: 2,
  [BtfKind.VOLATILE]: 2,
  [BtfKind.RESTRICT]: 2,
  [BtfKind.TYPEDEF]: 2,
  [BtfKind.DECL_TAG]: 2,
})

/** By kind: rank of a type that has a name, or is referred to by one, and of one that has not. */
const NAMED_RANK = byKind(
  {
    [BtfKind.ENUM]: 1,
    [BtfKind.ENUM64]: 1,
    [BtfKind.INT]: 2,
    [BtfKind.FLOAT]: 2,
    [BtfKind.STRUCT]: 3,
    [BtfKind.UNION]: 3,
    [BtfKind.FUNC_PROTO]: 4,
  },
  LAST_RANK,
)
const NAMELESS_RANK = byKind(
  { [BtfKind.ENUM]: 0, [BtfKind.ENUM64]: 0, [BtfKind.INT]: 2, [BtfKind.FLOAT]: 2 },
  LAST_RANK,
)

class Sorter {
  readonly #types: FlatTypes
  readonly #names: NameTable
  /** By id: rank, string offset of the name to sort by, and (for those sorted) places of both names in C's order. */
  readonly #ranks: Uint8Array
  readonly #sortOffsets: Uint32Array
  readonly #sortNames: Uint32Array
  readonly #ownNames: Uint32Array
  /** Hashes of contents, only worked out where names are equal. */
  readonly #deep: Hashes
  /** Hashes without members: what a member adds to its struct's. */
  readonly #shallow: Hashes

  constructor(types: FlatTypes, names: NameTable) {
    const count = types.typeCount
    this.#types = types
    this.#names = names
    this.#ranks = new Uint8Array(count).fill(LAST_RANK)
    this.#sortOffsets = new Uint32Array(count)
    this.#sortNames = new Uint32Array(count)
    this.#ownNames = new Uint32Array(count)
    this.#deep = new Hashes(count)
    this.#shallow = new Hashes(count)
    this.#rankAll()
  }

  /** Follows each type to the one that it is about, for its rank and the name to sort by. */
  #rankAll(): void {
    const { words, at, typeCount } = this.#types
    for (let id = 1; id < typeCount; id++) {
      let record = at[id] as number
      let hasName = words[record] !== 0
      let rank = -1
      let kind = ((words[record + 1] as number) >>> 24) & 0x1f
      let steps = 0
      for (let target = TARGET_WORD[kind] as number; target !== 0; target = TARGET_WORD[kind] as number) {
        if (!hasName) rank = LAST_RANK
        if (++steps > MAX_DEPTH) throw tooDeep(id)
        record = at[words[record + target] as number] as number
        kind = ((words[record + 1] as number) >>> 24) & 0x1f
        if (words[record] !== 0) hasName = true
      }
      this.#ranks[id] = rank >= 0 ? rank : ((hasName ? NAMED_RANK : NAMELESS_RANK)[kind] as number)
      // An anonymous enum goes by its first enumerator, unless a reference led there.
      const isEnum = kind === BtfKind.ENUM || kind === BtfKind.ENUM64
      const isNamelessEnum = steps === 0 && !hasName && isEnum && ((words[record + 1] as number) & 0xffff) > 0
      this.#sortOffsets[id] = words[isNamelessEnum ? record + 3 : record] as number
    }
  }

  /** The id that sorts first of all ids, void included. */
  first(): number {
    const ranks = this.#ranks
    let best = 0
    for (let id = 1; id < ranks.length; id++) {
      const difference = (ranks[id] as number) - (ranks[best] as number)
      if (difference < 0 || (difference === 0 && this.#compareNames(id, best) < 0)) best = id
    }
    return best
  }

  #compareNames(a: number, b: number): number {
    const { bytes } = this.#names
    const types = this.#types
    return (
      compareBytes(bytes, this.#sortOffsets[a] as number, this.#sortOffsets[b] as number) ||
      compareBytes(bytes, types.word(a, 0), types.word(b, 0)) ||
      this.#compareHash(a, b)
    )
  }

  sort(ids: Uint32Array): Uint32Array {
    this.#numberNames(ids)
    const sorted = this.#byRankAndName(ids)
    const ranks = this.#ranks
    const sortNames = this.#sortNames
    // Types of one rank and name: by own name, contents, id.
    for (let start = 0; start < sorted.length;) {
      const id = sorted[start] as number
      const rank = ranks[id]
      const name = sortNames[id]
      let end = start + 1
      while (
        end < sorted.length &&
        sortNames[sorted[end] as number] === name &&
        ranks[sorted[end] as number] === rank
      ) {
        end++
      }
      if (end - start > 1) this.#sortRun(sorted.subarray(start, end))
      start = end
    }
    return sorted
  }

  /** Names become their places in C's order, so that comparing them is comparing numbers. */
  #numberNames(ids: Uint32Array): void {
    const { words, at } = this.#types
    const places = new Uint32Array(this.#names.bytes.length)
    const offsets: number[] = []
    for (const id of ids) {
      const own = words[at[id] as number] as number
      const sort = this.#sortOffsets[id] as number
      if (places[own] === 0) places[own] = offsets.push(own)
      if (places[sort] === 0) places[sort] = offsets.push(sort)
    }
    placeNames(this.#names.bytes, offsets, places)
    for (const id of ids) {
      this.#ownNames[id] = places[words[at[id] as number] as number] as number
      this.#sortNames[id] = places[this.#sortOffsets[id] as number] as number
    }
  }

  #byRankAndName(ids: Uint32Array): Uint32Array {
    // Plain numbers sort several times faster than by a function: rank, name and position in one.
    const count = ids.length
    const keys = new Float64Array(count)
    const range = count * 2 + 1
    for (let i = 0; i < count; i++) {
      const id = ids[i] as number
      keys[i] = ((this.#ranks[id] as number) * range + (this.#sortNames[id] as number)) * count + i
    }
    keys.sort()
    const sorted = new Uint32Array(count)
    for (let i = 0; i < count; i++) sorted[i] = ids[(keys[i] as number) % count] as number
    return sorted
  }

  /** Sorts ids that are in order already. */
  #sortRun(run: Uint32Array): void {
    const { words, at } = this.#types
    // Prototypes are many, nameless and have the hash 0: they come first, as they are.
    const rest: number[] = []
    let first = 0
    for (const id of run) {
      const record = at[id] as number
      const kind = ((words[record + 1] as number) >>> 24) & 0x1f
      if (kind === BtfKind.FUNC_PROTO && words[record] === 0) run[first++] = id
      else rest.push(id)
    }
    const ownNames = this.#ownNames
    rest.sort((a, b) => (ownNames[a] as number) - (ownNames[b] as number) || this.#compareHash(a, b) || a - b)
    run.set(rest, first)
  }

  #compareHash(a: number, b: number): number {
    this.#ensureHash(a)
    this.#ensureHash(b)
    const { high, low } = this.#deep
    return (high[a] as number) - (high[b] as number) || (low[a] as number) - (low[b] as number)
  }

  #ensureHash(id: number): void {
    if (this.#deep.has(id)) return
    this.#hashType(this.#deep, id, true, 0)
  }

  /** Works out the hash of a type, with its members or (as for members themselves) without. */
  #hashType(into: Hashes, id: number, members: boolean, depth: number): void {
    if (depth > MAX_DEPTH) throw tooDeep(id)
    const { words, at } = this.#types
    const record = at[id] as number
    const sum = new Hash64()
    const info = words[record + 1] as number
    const kind = (info >>> 24) & 0x1f
    this.#addName(sum, words[record] as number)
    if (kind === BtfKind.ENUM || kind === BtfKind.ENUM64) {
      const step = kind === BtfKind.ENUM ? 2 : 3
      for (let i = 0; i < (info & 0xffff); i++) this.#addName(sum, words[record + 3 + i * step] as number)
    } else if (kind === BtfKind.STRUCT || kind === BtfKind.UNION) {
      const count = members ? info & 0xffff : 0
      for (let i = 0; i < count; i++) {
        this.#addName(sum, words[record + 3 + i * 3] as number)
        this.#addType(sum, this.#shallow, words[record + 4 + i * 3] as number, false, depth)
      }
    } else {
      const target = TARGET_WORD[kind] as number
      if (kind === BtfKind.ARRAY) sum.add(0, words[record + 5] as number)
      if (target > 0) this.#addType(sum, into, words[record + target] as number, members, depth)
    }
    into.set(id, sum.high, sum.low)
  }

  #addType(sum: Hash64, hashes: Hashes, id: number, members: boolean, depth: number): void {
    if (!hashes.has(id)) this.#hashType(hashes, id, members, depth + 1)
    sum.add(hashes.high[id] as number, hashes.low[id] as number)
  }

  /** Adds the hash of a name: h * 31 + c for each byte, in limbs of 22 bits that stay small integers. */
  #addName(sum: Hash64, offset: number): void {
    if (offset === 0) return
    const { bytes } = this.#names
    let l0 = 0
    let l1 = 0
    let l2 = 0
    for (let i = offset; bytes[i] !== 0; i++) {
      // C's char is signed here: what is above 127 takes 256 away.
      const c = ((bytes[i] as number) << 24) >> 24
      l0 = l0 * 31 + c
      l1 = l1 * 31 + (l0 >> 22)
      l2 = (l2 * 31 + (l1 >> 22)) & 0xf_ffff
      l0 &= 0x3f_ffff
      l1 &= 0x3f_ffff
    }
    sum.add(((l1 >>> 10) | (l2 << 12)) >>> 0, (l0 | (l1 << 22)) >>> 0)
  }
}

/** Hashes by type id. */
class Hashes {
  readonly high: Uint32Array
  readonly low: Uint32Array
  readonly #known: Uint8Array

  constructor(count: number) {
    this.high = new Uint32Array(count)
    this.low = new Uint32Array(count)
    this.#known = new Uint8Array(count)
  }

  has(id: number): boolean {
    return this.#known[id] === 1
  }

  set(id: number, high: number, low: number): void {
    this.#known[id] = 1
    this.high[id] = high
    this.low[id] = low
  }
}

/**
 * Sets `places` at each of `offsets` to the place of the name there in the order of C's strcmp; equal names get the same.
 * Places are above 0 and at most the number of offsets.
 */
function placeNames(bytes: Uint8Array, offsets: readonly number[], places: Uint32Array): void {
  const count = offsets.length
  // Plain numbers sort several times faster than by a function: the first six bytes in one number, the rest later.
  const prefixes = new Float64Array(count)
  for (let i = 0; i < count; i++) {
    let prefix = 0
    let at = offsets[i] as number
    for (let n = 0; n < PREFIX_BYTES; n++) {
      const c = bytes[at] as number
      prefix = prefix * 256 + c
      if (c !== 0) at++
    }
    prefixes[i] = prefix
  }
  const sorted = prefixes.slice().sort()
  const taken = new Uint32Array(count)
  const order = new Uint32Array(count)
  for (let i = 0; i < count; i++) {
    const start = lowerBound(sorted, prefixes[i] as number)
    order[start + (taken[start] as number)] = offsets[i] as number
    taken[start] = (taken[start] as number) + 1
  }
  for (let start = 0; start < count; start += taken[start] as number) {
    const length = taken[start] as number
    if (length > 1) order.subarray(start, start + length).sort((a, b) => compareBytes(bytes, a, b))
  }
  let place = 0
  for (let i = 0; i < count; i++) {
    const offset = order[i] as number
    if (i === 0 || compareBytes(bytes, order[i - 1] as number, offset) !== 0) place++
    places[offset] = place
  }
}

function lowerBound(sorted: Float64Array, value: number): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((sorted[middle] as number) < value) low = middle + 1
    else high = middle
  }
  return low
}

/** The 64-bit hash h * 31 + x, wrapping, in two words. */
class Hash64 {
  high = 0
  low = 0

  add(high: number, low: number): void {
    const product = this.low * 31 + low
    this.low = product >>> 0
    this.high = (this.high * 31 + high + Math.floor(product / 0x1_0000_0000)) >>> 0
  }
}

/** C's strcmp of the texts at two offsets. */
function compareBytes(bytes: Uint8Array, a: number, b: number): number {
  let left = a
  let right = b
  while (bytes[left] === bytes[right] && bytes[left] !== 0) {
    left++
    right++
  }
  return (bytes[left] as number) - (bytes[right] as number)
}
