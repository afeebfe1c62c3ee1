import { BpfError } from '../../bytes/index.ts'
import type { Btf } from '../btf.ts'
import { FlatTypes } from '../flat.ts'
import { ENTRY_WORDS, FIXED_WORDS, TYPE_WORDS } from '../layout.ts'
import { NameTable } from '../names.ts'
import { BtfKind } from '../types.ts'

/**
 * Comparisons of two types that are allowed for each type, and at least: real ones need 60 (Linux with itself), made-up
 * ones may all look alike.
 */
const COMPARISONS_A_TYPE = 250
const MIN_COMPARISONS = 10_000_000

/** Words of one member: name, type, offset. */
const MEMBER_WORDS = 3

/**
 * The records of a BTF in an array of words that dedup may change. Names are replaced by numbers, the same for equal
 * names, so that records can be compared as words.
 */
export class Records {
  /** Valid ids are 0 to count - 1. */
  readonly count: number
  readonly words: Uint32Array
  /** Word where each type's record starts. */
  readonly at: Uint32Array
  #comparisonsLeft: number

  constructor(btf: Btf) {
    const { typeCount, words, at } = new FlatTypes(btf)
    this.count = typeCount
    this.#comparisonsLeft = MIN_COMPARISONS + COMPARISONS_A_TYPE * typeCount
    this.words = words
    this.at = at
    const names = new NameTable(btf)
    for (let id = 1; id < typeCount; id++) this.#numberNames(id, names)
  }

  #numberNames(id: number, names: NameTable): void {
    const { words } = this
    const start = this.at[id] as number
    words[start] = names.number(words[start] as number)
    const kind = this.kind(id)
    const step = ENTRY_WORDS[kind] as number
    if (step === 0 || kind === BtfKind.DATASEC) return
    const end = start + this.length(id)
    for (let at = start + TYPE_WORDS; at < end; at += step) words[at] = names.number(words[at] as number)
  }

  word(id: number, index: number): number {
    return this.words[(this.at[id] as number) + index] as number
  }

  setWord(id: number, index: number, value: number): void {
    this.words[(this.at[id] as number) + index] = value
  }

  kind(id: number): number {
    return (this.word(id, 1) >>> 24) & 0x1f
  }

  vlen(id: number): number {
    return this.word(id, 1) & 0xffff
  }

  kindFlag(id: number): boolean {
    return this.word(id, 1) >>> 31 === 1
  }

  /** Words of a record. Of a FUNC, vlen is the linkage, but it has no entries. */
  length(id: number): number {
    const kind = this.kind(id)
    return TYPE_WORDS + (FIXED_WORDS[kind] as number) + (ENTRY_WORDS[kind] as number) * this.vlen(id)
  }

  isComposite(id: number): boolean {
    const kind = this.kind(id)
    return kind === BtfKind.STRUCT || kind === BtfKind.UNION
  }

  isAnyEnum(id: number): boolean {
    const kind = this.kind(id)
    return kind === BtfKind.ENUM || kind === BtfKind.ENUM64
  }

  /** Enums without values stand for ones that are declared elsewhere. */
  isEnumForward(id: number): boolean {
    return this.isAnyEnum(id) && this.vlen(id) === 0
  }

  /** Counts a comparison. @throws BpfError `limit` */
  spend(): void {
    if (--this.#comparisonsLeft < 0) {
      throw new BpfError('limit', `the types look so much alike that dedup takes too many comparisons`)
    }
  }

  /** Equal kinds, names, sizes, entries and, by number, types that are referred to. */
  areEqual(a: number, b: number): boolean {
    this.spend()
    return this.word(a, 1) === this.word(b, 1) && this.#sameWords(a, b, -1)
  }

  /** Equal but for the types of members. */
  areShallowEqualStructs(a: number, b: number): boolean {
    this.spend()
    return this.isComposite(a) && this.word(a, 1) === this.word(b, 1) && this.#sameWords(a, b, 1)
  }

  /** Equal, or at least one is a forward declaration of the other. */
  areCompatibleEnums(a: number, b: number): boolean {
    if (!this.isEnumForward(a) && !this.isEnumForward(b)) return this.areEqual(a, b)
    return this.word(a, 0) === this.word(b, 0) && this.isAnyEnum(a) && this.isAnyEnum(b)
  }

  /** Equal but for the types of parameters and the returned one. */
  areCompatibleProtos(a: number, b: number): boolean {
    if (this.word(a, 0) !== this.word(b, 0) || this.word(a, 1) !== this.word(b, 1)) return false
    const end = this.length(a)
    for (let i = TYPE_WORDS; i < end; i += 2) if (this.word(a, i) !== this.word(b, i)) return false
    return true
  }

  /** A number that equal records share; of structs and enums, also those that may turn out to be the same. */
  hash(id: number): number {
    const { words } = this
    const start = this.at[id] as number
    if (this.isAnyEnum(id)) return words[start] as number
    const end = start + this.length(id)
    const isComposite = this.isComposite(id)
    let hash = 0x811c9dc5
    for (let at = start; at < end; at++) {
      const isMemberType = isComposite && at >= start + TYPE_WORDS && (at - start) % MEMBER_WORDS === 1
      if (!isMemberType) hash = Math.imul(hash ^ (words[at] as number), 0x01000193)
    }
    return hash
  }

  #sameWords(a: number, b: number, ignoredMemberWord: number): boolean {
    const { words } = this
    const atA = this.at[a] as number
    const atB = this.at[b] as number
    const end = this.length(a)
    for (let i = 0; i < end; i++) {
      if (words[atA + i] === words[atB + i]) continue
      if (i < TYPE_WORDS || i % MEMBER_WORDS !== ignoredMemberWord) return false
    }
    return true
  }
}
