import type { Btf } from '../btf.ts'
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
export function sortedIds(btf: Btf, names: NameTable, skipFirst: boolean): Uint32Array {
  const sorter = new Sorter(btf, names)
  const first = skipFirst ? sorter.first() : 0
  const ids = new Uint32Array(btf.typeCount)
  let count = 0
  for (let id = 1; id < btf.typeCount; id++) if (id !== first && prints(btf, id)) ids[count++] = id
  return sorter.sort(ids.subarray(0, count))
}

function kindOf(btf: Btf, id: number): number {
  return (btf.word(id, 1) >>> 24) & 0x1f
}

function prints(btf: Btf, id: number): boolean {
  const kind = kindOf(btf, id)
  return kind !== BtfKind.FUNC && kind !== BtfKind.VAR && kind !== BtfKind.DATASEC && kind !== BtfKind.DECL_TAG
}

/** The type that a reference, modifier, tag or array is about; -1 for others. */
function targetOf(btf: Btf, id: number): number {
  switch (kindOf(btf, id)) {
    case BtfKind.ARRAY:
      return btf.word(id, 3)
    case BtfKind.TYPE_TAG:
    case BtfKind.CONST:
    case BtfKind.PTR:
    case BtfKind.VOLATILE:
    case BtfKind.RESTRICT:
    case BtfKind.TYPEDEF:
    case BtfKind.DECL_TAG:
      return btf.word(id, 2)
    default:
      return -1
  }
}

class Sorter {
  readonly #btf: Btf
  readonly #names: NameTable
  /** By id: what to sort by. Hashes of contents are only worked out where names are equal. */
  readonly #sortNames: Uint32Array
  readonly #ownNames: Uint32Array
  readonly #ranks: Uint8Array
  readonly #deep: Hashes
  /** Hashes without members: what a member adds to its struct's. */
  readonly #shallow: Hashes

  constructor(btf: Btf, names: NameTable) {
    this.#btf = btf
    this.#names = names
    const count = btf.typeCount
    this.#sortNames = new Uint32Array(count)
    this.#ownNames = new Uint32Array(count)
    this.#ranks = new Uint8Array(count)
    this.#deep = new Hashes(count)
    this.#shallow = new Hashes(count)
  }

  /** The id that sorts first of all ids, void included. */
  first(): number {
    const btf = this.#btf
    let best = 0
    let bestRank = LAST_RANK
    for (let id = 1; id < btf.typeCount; id++) {
      const rank = this.#rank(id)
      if (rank < bestRank || (rank === bestRank && this.#compareNames(id, best) < 0)) {
        best = id
        bestRank = rank
      }
    }
    return best
  }

  #compareNames(a: number, b: number): number {
    const { bytes } = this.#names
    return (
      compareBytes(bytes, this.#sortName(a), this.#sortName(b)) ||
      compareBytes(bytes, this.#btf.word(a, 0), this.#btf.word(b, 0)) ||
      this.#compareHash(a, b)
    )
  }

  sort(ids: Uint32Array): Uint32Array {
    this.#numberNames(ids)
    const sorted = this.#byRankAndName(ids)
    // Types of one rank and name: by own name, contents, id.
    for (let start = 0; start < sorted.length;) {
      let end = start + 1
      while (end < sorted.length && this.#sameRun(sorted[start] as number, sorted[end] as number)) end++
      if (end - start > 1) this.#sortRun(sorted.subarray(start, end))
      start = end
    }
    return sorted
  }

  #numberNames(ids: Uint32Array): void {
    const names = this.#names
    const sortNames = this.#sortNames
    const ownNames = this.#ownNames
    for (const id of ids) {
      this.#ranks[id] = this.#rank(id)
      sortNames[id] = names.number(this.#sortName(id))
      ownNames[id] = names.number(this.#btf.word(id, 0))
    }
    // Names become their places in C's order, so that comparing them is comparing numbers.
    const ordinals = orderOfNames(names)
    for (const id of ids) {
      sortNames[id] = ordinals[sortNames[id] as number] as number
      ownNames[id] = ordinals[ownNames[id] as number] as number
    }
  }

  #byRankAndName(ids: Uint32Array): Uint32Array {
    // Plain numbers sort several times faster than by a function: rank, name and position in one.
    const count = ids.length
    const keys = new Float64Array(count)
    const range = this.#names.count + 1
    for (let i = 0; i < count; i++) {
      const id = ids[i] as number
      keys[i] = ((this.#ranks[id] as number) * range + (this.#sortNames[id] as number)) * count + i
    }
    keys.sort()
    const sorted = new Uint32Array(count)
    for (let i = 0; i < count; i++) sorted[i] = ids[(keys[i] as number) % count] as number
    return sorted
  }

  #sameRun(a: number, b: number): boolean {
    return this.#sortNames[a] === this.#sortNames[b] && this.#ranks[a] === this.#ranks[b]
  }

  /** Sorts ids that are in order already. */
  #sortRun(run: Uint32Array): void {
    const btf = this.#btf
    // Prototypes are many, nameless and have the hash 0: they come first, as they are.
    const rest: number[] = []
    let first = 0
    for (const id of run) {
      if (kindOf(btf, id) === BtfKind.FUNC_PROTO && btf.word(id, 0) === 0) run[first++] = id
      else rest.push(id)
    }
    const ownNames = this.#ownNames
    rest.sort((a, b) => (ownNames[a] as number) - (ownNames[b] as number) || this.#compareHash(a, b) || a - b)
    run.set(rest, first)
  }

  #rank(id: number): number {
    const btf = this.#btf
    let hasName = false
    for (let at = id, steps = 0; ; steps++) {
      if (btf.word(at, 0) !== 0) hasName = true
      switch (kindOf(btf, at)) {
        case BtfKind.ENUM:
        case BtfKind.ENUM64:
          return hasName ? 1 : 0
        case BtfKind.INT:
        case BtfKind.FLOAT:
          return 2
        case BtfKind.STRUCT:
        case BtfKind.UNION:
          return hasName ? 3 : LAST_RANK
        case BtfKind.FUNC_PROTO:
          return hasName ? 4 : LAST_RANK
        default:
          break
      }
      const next = targetOf(btf, at)
      if (next < 0 || !hasName) return LAST_RANK
      if (steps > MAX_DEPTH) throw tooDeep(id)
      at = next
    }
  }

  /** String offset of the name to sort by. */
  #sortName(id: number): number {
    const btf = this.#btf
    let at = id
    for (let steps = 0; ; steps++) {
      const next = targetOf(btf, at)
      if (next < 0) break
      if (steps > MAX_DEPTH) throw tooDeep(id)
      at = next
    }
    const name = btf.word(at, 0)
    const kind = kindOf(btf, at)
    // An anonymous enum goes by its first enumerator, unless a reference led here.
    const isEnum = kind === BtfKind.ENUM || kind === BtfKind.ENUM64
    if (name === 0 && at === id && isEnum && (btf.word(at, 1) & 0xffff) > 0) return btf.word(at, 3)
    return name
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
    const btf = this.#btf
    const sum = new Hash64()
    const info = btf.word(id, 1)
    const kind = (info >>> 24) & 0x1f
    this.#addName(sum, btf.word(id, 0))
    if (kind === BtfKind.ENUM || kind === BtfKind.ENUM64) {
      const step = kind === BtfKind.ENUM ? 2 : 3
      for (let i = 0; i < (info & 0xffff); i++) this.#addName(sum, btf.word(id, 3 + i * step))
    } else if (kind === BtfKind.STRUCT || kind === BtfKind.UNION) {
      const count = members ? info & 0xffff : 0
      for (let i = 0; i < count; i++) {
        this.#addName(sum, btf.word(id, 3 + i * 3))
        this.#addType(sum, this.#shallow, btf.word(id, 4 + i * 3), false, depth)
      }
    } else {
      const target = targetOf(btf, id)
      if (kind === BtfKind.ARRAY) sum.add(0, btf.word(id, 5))
      if (target >= 0) this.#addType(sum, into, target, members, depth)
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

/** By number of a name: its place in the order of C's strcmp. */
function orderOfNames(names: NameTable): Uint32Array {
  const { bytes, count } = names
  // Plain numbers sort several times faster than by a function: the first six bytes in one number, the rest later.
  const prefixes = new Float64Array(count)
  for (let i = 0; i < count; i++) {
    let prefix = 0
    let at = names.offsetOf(i + 1)
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
    order[start + (taken[start] as number)] = i + 1
    taken[start] = (taken[start] as number) + 1
  }
  const compareRest = (a: number, b: number): number =>
    compareBytes(bytes, names.offsetOf(a) + PREFIX_BYTES, names.offsetOf(b) + PREFIX_BYTES)
  for (let start = 0; start < count; start += taken[start] as number) {
    const length = taken[start] as number
    if (length > 1) order.subarray(start, start + length).sort(compareRest)
  }
  const ordinals = new Uint32Array(count + 1)
  for (let i = 0; i < count; i++) ordinals[order[i] as number] = i
  return ordinals
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
