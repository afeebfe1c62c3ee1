import { BpfError } from '../../bytes/index.ts'
import type { Btf } from '../btf.ts'
import type { FlatTypes } from '../flat.ts'
import { BtfKind } from '../types.ts'
import { MAX_DEPTH, tooDeep } from './declare.ts'

const ORDERING = 1
const ORDERED = 2
/**
 * Steps that a dump may take before its BTF is taken to be made up: prototypes that take prototypes twice over need
 * exponentially many. vmlinux takes 8 a type.
 */
export function stepLimit(btf: Btf): number {
  return 250_000 + 64 * btf.typeCount
}

export function tooEntangled(): BpfError {
  return new BpfError('limit', 'the types of this BTF are too entangled to be written as C')
}

/**
 * Finds which definitions have to come before a type's own: C wants the full definition of what a struct embeds, while
 * a declaration ahead is enough for what it only points to. The links to types that can be declared ahead are weak:
 * those through a pointer to something named. State is kept between calls: each type is listed once.
 */
export class DefinitionOrder {
  readonly #btf: Btf
  readonly #types: FlatTypes
  readonly #state: Uint8Array
  readonly #referenced: Uint8Array
  #queue: number[] = []
  #visits = 0
  readonly #limit: number

  constructor(btf: Btf, types: FlatTypes, referenced: Uint8Array) {
    this.#btf = btf
    this.#types = types
    this.#referenced = referenced
    this.#limit = stepLimit(btf)
    this.#state = new Uint8Array(btf.typeCount)
    this.#state[0] = ORDERED
  }

  /** Types to define for `id` to be usable, itself included, in an order that C takes. */
  definitionsFor(id: number): readonly number[] {
    if (this.#state[id] === ORDERED) return []
    this.#queue = []
    this.#visit(id, false, 0)
    return this.#queue
  }

  /** Whether the link is strong. */
  #visit(id: number, throughPointer: boolean, depth: number): boolean {
    const state = this.#state
    if (state[id] === ORDERED) return true
    if (depth > MAX_DEPTH) throw tooDeep(id)
    if (++this.#visits > this.#limit) throw tooEntangled()
    const { words } = this.#types
    const at = this.#types.at[id] as number
    const info = words[at + 1] as number
    const kind = (info >>> 24) & 0x1f
    const named = words[at] !== 0
    const isComposite = kind === BtfKind.STRUCT || kind === BtfKind.UNION
    if (state[id] === ORDERING) {
      if (isComposite && throughPointer && named) return false
      throw new BpfError('malformed', `type [${id}] ${this.#btf.name(id)} contains itself: C has no order for that`)
    }
    switch (kind) {
      case BtfKind.PTR: {
        const strong = this.#visit(words[at + 2] as number, true, depth + 1)
        state[id] = ORDERED
        return strong
      }
      case BtfKind.ARRAY:
        return this.#visit(words[at + 3] as number, false, depth + 1)
      case BtfKind.STRUCT:
      case BtfKind.UNION:
        if (throughPointer && named) return false
        state[id] = ORDERING
        for (let i = 0; i < (info & 0xffff); i++) this.#visit(words[at + 4 + i * 3] as number, false, depth + 1)
        if (named) this.#queue.push(id)
        state[id] = ORDERED
        return true
      case BtfKind.ENUM:
      case BtfKind.ENUM64:
      case BtfKind.FWD:
        // An anonymous enum that something refers to is written there.
        if (named || this.#referenced[id] === 0) this.#queue.push(id)
        state[id] = ORDERED
        return true
      case BtfKind.TYPEDEF: {
        const strong = this.#visit(words[at + 2] as number, throughPointer, depth + 1)
        if (throughPointer && !strong) return false
        this.#queue.push(id)
        state[id] = ORDERED
        return true
      }
      case BtfKind.VOLATILE:
      case BtfKind.CONST:
      case BtfKind.RESTRICT:
      case BtfKind.TYPE_TAG:
        return this.#visit(words[at + 2] as number, throughPointer, depth + 1)
      case BtfKind.FUNC_PROTO: {
        let strong = this.#visit(words[at + 2] as number, throughPointer, depth + 1)
        for (let i = 0; i < (info & 0xffff); i++) {
          if (this.#visit(words[at + 4 + i * 2] as number, throughPointer, depth + 1)) strong = true
        }
        return strong
      }
      default:
        // Integers need no definition; functions, variables, sections and tags are no part of a header.
        state[id] = ORDERED
        return false
    }
  }
}

/** Marks the types that some type refers to. */
export function referencedTypes(btf: Btf): Uint8Array {
  const marks = new Uint8Array(btf.typeCount)
  for (let owner: Btf | null = btf; owner !== null; owner = owner.base) markReferenced(owner, marks)
  return marks
}

function markReferenced(btf: Btf, marks: Uint8Array): void {
  const { words, offsets } = btf
  for (let i = 0; i < offsets.length; i++) {
    const at = offsets[i] as number
    const info = words[at + 1] as number
    const vlen = info & 0xffff
    switch ((info >>> 24) & 0x1f) {
      case BtfKind.VOLATILE:
      case BtfKind.CONST:
      case BtfKind.RESTRICT:
      case BtfKind.PTR:
      case BtfKind.TYPEDEF:
      case BtfKind.FUNC:
      case BtfKind.VAR:
      case BtfKind.DECL_TAG:
      case BtfKind.TYPE_TAG:
        marks[words[at + 2] as number] = 1
        break
      case BtfKind.ARRAY:
        marks[words[at + 3] as number] = 1
        marks[words[at + 4] as number] = 1
        break
      case BtfKind.STRUCT:
      case BtfKind.UNION:
        for (let n = 0; n < vlen; n++) marks[words[at + 4 + n * 3] as number] = 1
        break
      case BtfKind.FUNC_PROTO:
        for (let n = 0; n < vlen; n++) marks[words[at + 4 + n * 2] as number] = 1
        break
      case BtfKind.DATASEC:
        for (let n = 0; n < vlen; n++) marks[words[at + 3 + n * 3] as number] = 1
        break
      default:
        break
    }
  }
}
