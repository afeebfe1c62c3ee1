import { btfKindName, BtfKind, type Btf } from '../../btf/index.ts'
import { BpfError } from '../../bytes/index.ts'
import { arrayElement, countOf, isComposite, kindOf, memberType, paramType, refOf } from '../core/types.ts'

/** How far a mark goes from a type to what it refers to. */
type Reach =
  /** Up to pointers: what a load from a field needs. */
  | 'shallow'
  /** Through pointers, but not into structs: what a question about a whole type needs. */
  | 'pointers'
  /** Through everything, up to structs behind a pointer: what a type match compares. */
  | 'match'
  | 'matchBehindPointer'

/** The types and members of a BTF that are to be kept. */
export class TypeMarks {
  readonly #btf: Btf
  readonly #types = new Set<number>()
  readonly #members = new Map<number, Set<number>>()
  /** What was gone through already, by reach. */
  readonly #seen = new Map<Reach, Set<number>>()

  constructor(btf: Btf) {
    this.#btf = btf
  }

  /** Kept type ids, in order. */
  types(): number[] {
    return [...this.#types].sort((a, b) => a - b)
  }

  hasMember(id: number, index: number): boolean {
    return this.#members.get(id)?.has(index) ?? false
  }

  /** Keeps a type, and what is needed to understand it but its members and what it points to. */
  add(id: number): void {
    this.#mark(id, 'shallow')
  }

  /** Keeps a type and what it points to, without the members of structs. */
  addWithPointers(id: number): void {
    this.#mark(id, 'pointers')
  }

  /** Keeps a type with all its members, but structs that are only pointed to without theirs. */
  addForMatch(id: number): void {
    this.#mark(id, 'match')
  }

  /**
   * Keeps the members on a way through a type.
   * @param path indices of members and elements; the first one is that of the array which the root type stands in
   */
  addPath(rootId: number, path: readonly number[]): void {
    const btf = this.#btf
    this.add(rootId)
    let id = rootId
    for (let i = 1; i < path.length; i++) {
      id = btf.skipModifiersAndTypedefs(id)
      const kind = kindOf(btf, id)
      if (isComposite(kind)) {
        const index = path[i] as number
        this.#addMember(id, index)
        id = memberType(btf, id, index)
        this.add(id)
      } else if (kind === BtfKind.ARRAY) {
        id = arrayElement(btf, id)
      } else {
        throw new BpfError('core', `type [${id}] is a ${btfKindName(kind)}, which has no members`)
      }
    }
  }

  #addMember(id: number, index: number): void {
    const members = this.#members.get(id)
    if (members === undefined) this.#members.set(id, new Set([index]))
    else members.add(index)
  }

  #mark(rootId: number, reach: Reach): void {
    const pending: [number, Reach][] = [[rootId, reach]]
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const [id, how] = next
      if (id === 0 || this.#wasSeen(id, how)) continue
      this.#types.add(id)
      pending.push(...this.#neighbours(id, how))
    }
  }

  #wasSeen(id: number, reach: Reach): boolean {
    let seen = this.#seen.get(reach)
    if (seen === undefined) this.#seen.set(reach, (seen = new Set()))
    if (seen.has(id)) return true
    seen.add(id)
    return false
  }

  #neighbours(id: number, reach: Reach): [number, Reach][] {
    const btf = this.#btf
    const isMatch = reach === 'match' || reach === 'matchBehindPointer'
    const inside: Reach = isMatch ? 'match' : reach
    const kind = kindOf(btf, id)
    switch (kind) {
      case BtfKind.PTR:
        if (reach === 'shallow') return []
        return [[refOf(btf, id), isMatch ? 'matchBehindPointer' : reach]]
      case BtfKind.CONST:
      case BtfKind.VOLATILE:
      case BtfKind.RESTRICT:
      case BtfKind.TYPEDEF:
      case BtfKind.TYPE_TAG:
        return [[refOf(btf, id), reach]]
      case BtfKind.ARRAY:
        return [
          [arrayElement(btf, id), inside],
          [btf.word(id, 4), inside],
        ]
      case BtfKind.STRUCT:
      case BtfKind.UNION: {
        if (reach !== 'match') return []
        const members = indices(countOf(btf, id))
        for (const index of members) this.#addMember(id, index)
        return members.map((index) => [memberType(btf, id, index), inside])
      }
      case BtfKind.FUNC_PROTO:
        return [
          [refOf(btf, id), inside],
          ...indices(countOf(btf, id)).map((index): [number, Reach] => [paramType(btf, id, index), inside]),
        ]
      default:
        return []
    }
  }
}

function indices(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index)
}
