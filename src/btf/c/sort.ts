import type { Btf } from '../btf.ts'
import type { NameTable } from '../names.ts'
import { BtfKind } from '../types.ts'
import { MAX_DEPTH, tooDeep } from './declare.ts'

const LAST_RANK = 10

/**
 * Ids in the order of bpftool 7.5 and newer, so that headers of similar kernels can be compared: by rank of the kind,
 * name of the type in the end referred to, own name, a hash of the contents, id.
 * Kinds that never print by themselves (functions, variables, sections, tags) are left out.
 *
 * @param skipFirst leaves out the type that sorts first of all: bpftool's loop starts at its second
 */
export function sortedIds(btf: Btf, names: NameTable, skipFirst: boolean): number[] {
  const sorter = new Sorter(btf, names)
  const ids: number[] = []
  for (let id = 1; id < btf.typeCount; id++) if (prints(btf, id)) ids.push(id)
  const first = skipFirst ? sorter.first() : 0
  const sorted = sorter.sort(ids)
  return first === 0 ? sorted : sorted.filter((id) => id !== first)
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
  readonly #hashed: Uint8Array
  readonly #high: Uint32Array
  readonly #low: Uint32Array

  constructor(btf: Btf, names: NameTable) {
    this.#btf = btf
    this.#names = names
    const count = btf.typeCount
    this.#sortNames = new Uint32Array(count)
    this.#ownNames = new Uint32Array(count)
    this.#hashed = new Uint8Array(count)
    this.#high = new Uint32Array(count)
    this.#low = new Uint32Array(count)
  }

  /** The id that sorts first of all ids, void included. */
  first(): number {
    let best = 0
    let bestRank = LAST_RANK
    let bestSort = ''
    let bestOwn = ''
    for (let id = 1; id < this.#btf.typeCount; id++) {
      const rank = this.#rank(id)
      if (rank > bestRank) continue
      const sort = this.#names.at(this.#sortName(id))
      const own = this.#names.at(this.#btf.word(id, 0))
      const order =
        rank - bestRank || compareText(sort, bestSort) || compareText(own, bestOwn) || this.#compareHash(id, best)
      if (order >= 0) continue
      best = id
      bestRank = rank
      bestSort = sort
      bestOwn = own
    }
    return best
  }

  sort(ids: readonly number[]): number[] {
    const btf = this.#btf
    const sortNames = this.#sortNames
    const ownNames = this.#ownNames
    const ordinals = new Ordinals(this.#names, btf.firstStringOffset + btf.strings.length)
    for (const id of ids) {
      sortNames[id] = ordinals.mark(this.#sortName(id))
      ownNames[id] = ordinals.mark(btf.word(id, 0))
    }
    ordinals.settle()
    for (const id of ids) {
      sortNames[id] = ordinals.of(sortNames[id] as number)
      ownNames[id] = ordinals.of(ownNames[id] as number)
    }
    // Plain numbers sort several times faster than by a function: rank, name and position in one.
    const count = ids.length
    const keys = new Float64Array(count)
    for (let i = 0; i < count; i++) {
      const id = ids[i] as number
      keys[i] = (this.#rank(id) * ordinals.count + (sortNames[id] as number)) * count + i
    }
    keys.sort()
    const sorted: number[] = []
    let run: number[] = []
    let runKey = -1
    const order = (a: number, b: number): number =>
      (ownNames[a] as number) - (ownNames[b] as number) || this.#compareHash(a, b) || a - b
    const finishRun = (): void => {
      if (run.length > 1) run.sort(order)
      for (const id of run) sorted.push(id)
    }
    for (let i = 0; i < count; i++) {
      const key = Math.floor((keys[i] as number) / count)
      const id = ids[(keys[i] as number) - key * count] as number
      if (key !== runKey) {
        finishRun()
        run = []
        runKey = key
      }
      run.push(id)
    }
    finishRun()
    return sorted
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
    const high = (this.#high[a] as number) - (this.#high[b] as number)
    return high !== 0 ? high : (this.#low[a] as number) - (this.#low[b] as number)
  }

  #ensureHash(id: number): void {
    if (this.#hashed[id] === 1) return
    this.#hashed[id] = 1
    const sum = new Hash64()
    this.#hashType(sum, id, true, 0)
    this.#high[id] = sum.high
    this.#low[id] = sum.low
  }

  #hashType(sum: Hash64, id: number, members: boolean, depth: number): void {
    if (depth > MAX_DEPTH) throw tooDeep(id)
    const btf = this.#btf
    this.#hashName(sum, btf.word(id, 0))
    const vlen = btf.word(id, 1) & 0xffff
    const kind = kindOf(btf, id)
    if (kind === BtfKind.ENUM || kind === BtfKind.ENUM64) {
      const step = kind === BtfKind.ENUM ? 2 : 3
      for (let i = 0; i < vlen; i++) this.#hashName(sum, btf.word(id, 3 + i * step))
      return
    }
    if (kind === BtfKind.STRUCT || kind === BtfKind.UNION) {
      const count = members ? vlen : 0
      for (let i = 0; i < count; i++) {
        this.#hashName(sum, btf.word(id, 3 + i * 3))
        const member = new Hash64()
        this.#hashType(member, btf.word(id, 4 + i * 3), false, depth + 1)
        sum.add(member.high, member.low)
      }
      return
    }
    const target = targetOf(btf, id)
    if (target < 0) return
    if (kind === BtfKind.ARRAY) sum.add(0, btf.word(id, 5))
    const below = new Hash64()
    this.#hashType(below, target, members, depth + 1)
    sum.add(below.high, below.low)
  }

  #hashName(sum: Hash64, offset: number): void {
    if (offset === 0) return
    const { strings, firstStringOffset } = this.#btf.stringOwner(offset)
    const hash = new Hash64()
    for (let i = offset - firstStringOffset; strings[i] !== 0; i++) {
      // C's char is signed here.
      const c = ((strings[i] as number) << 24) >> 24
      hash.add(c < 0 ? 0xffff_ffff : 0, c >>> 0)
    }
    sum.add(hash.high, hash.low)
  }
}

/** Numbers names by their order, so that comparing them is comparing numbers. */
class Ordinals {
  readonly #names: NameTable
  /** By string offset: index of the text + 1. */
  readonly #indexes: Uint32Array
  readonly #texts: string[] = []
  readonly #byText = new Map<string, number>()
  #ordinals: Uint32Array = new Uint32Array(0)

  constructor(names: NameTable, stringsLength: number) {
    this.#names = names
    this.#indexes = new Uint32Array(stringsLength + 1)
  }

  /** Number of different texts; ordinals are below it. */
  get count(): number {
    return this.#texts.length
  }

  /** Index of the text at a string offset. */
  mark(offset: number): number {
    const known = this.#indexes[offset] as number
    if (known !== 0) return known - 1
    const text = this.#names.at(offset)
    let index = this.#byText.get(text)
    if (index === undefined) {
      index = this.#texts.push(text) - 1
      this.#byText.set(text, index)
    }
    this.#indexes[offset] = index + 1
    return index
  }

  settle(): void {
    this.#ordinals = new Uint32Array(this.#texts.length)
    // Without a function: by UTF-16 code units, which is C's order for ASCII.
    const sorted = [...this.#texts].sort()
    for (let i = 0; i < sorted.length; i++) this.#ordinals[this.#byText.get(sorted[i] as string) as number] = i
  }

  of(index: number): number {
    return this.#ordinals[index] as number
  }
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

/** Order of C's strcmp for names, which are ASCII. */
function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
