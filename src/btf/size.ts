import { BpfError } from '../bytes/index.ts'
import type { Btf } from './btf.ts'
import type { TypeWords } from './flat.ts'
import { kindName } from './layout.ts'
import { BtfKind } from './types.ts'

/** Chains longer than this are refused as loops (MAX_RESOLVE_DEPTH of libbpf and the kernel). */
const MAX_CHAIN = 32
const MAX_NESTING = 64
const UINT32_MAX = 0xffff_ffff

/** Spellings of `long` in the wild; its size tells that of a pointer. */
const LONG_NAMES: ReadonlySet<string> = new Set([
  'long',
  'long int',
  'int long',
  'unsigned long',
  'long unsigned',
  'unsigned long int',
  'unsigned int long',
  'long unsigned int',
  'long int unsigned',
  'int unsigned long',
  'int long unsigned',
])

function isModifier(kind: number): boolean {
  return kind === BtfKind.CONST || kind === BtfKind.VOLATILE || kind === BtfKind.RESTRICT || kind === BtfKind.TYPE_TAG
}

function kindAt(btf: TypeWords, id: number): number {
  return (btf.word(id, 1) >>> 24) & 0x1f
}

/** The first type of the chain at `id` that is no modifier (and no typedef). */
export function skipChain(btf: Btf, id: number, typedefs: boolean): number {
  let at = id
  for (let i = 0; i <= btf.typeCount; i++) {
    const kind = kindAt(btf, at)
    if (!isModifier(kind) && !(typedefs && kind === BtfKind.TYPEDEF)) return at
    at = btf.word(at, 2)
  }
  throw new BpfError('malformed', `type [${id}] refers to itself through modifiers and typedefs only`)
}

/** See {@link Btf.pointerSize}. */
export function pointerSizeOf(btf: Btf): 4 | 8 {
  if (btf.base !== null) return btf.base.pointerSize
  for (let id = btf.firstId; id < btf.typeCount; id++) {
    if (kindAt(btf, id) !== BtfKind.INT) continue
    const size = btf.word(id, 2)
    if ((size === 4 || size === 8) && LONG_NAMES.has(btf.name(id))) return size
  }
  return 8
}

/** See {@link Btf.sizeOf}. */
export function sizeOfType(btf: Btf, id: number): number {
  let count = 1
  let at = id
  for (let i = 0; i < MAX_CHAIN; i++) {
    const kind = kindAt(btf, at)
    switch (kind) {
      case BtfKind.INT:
      case BtfKind.STRUCT:
      case BtfKind.UNION:
      case BtfKind.ENUM:
      case BtfKind.ENUM64:
      case BtfKind.DATASEC:
      case BtfKind.FLOAT:
        return product(btf, id, count, btf.word(at, 2))
      case BtfKind.PTR:
        return product(btf, id, count, btf.pointerSize)
      case BtfKind.TYPEDEF:
      case BtfKind.VOLATILE:
      case BtfKind.CONST:
      case BtfKind.RESTRICT:
      case BtfKind.VAR:
      case BtfKind.DECL_TAG:
      case BtfKind.TYPE_TAG:
        at = btf.word(at, 2)
        break
      case BtfKind.ARRAY:
        count = product(btf, id, count, btf.word(at, 5))
        at = btf.word(at, 3)
        break
      default:
        throw new BpfError('type-mismatch', `type [${id}] ${btf.name(id)} has no size: it is ${kindName(kind)}`)
    }
  }
  throw new BpfError('malformed', `type [${id}] refers through more than ${MAX_CHAIN} types, or to itself`)
}

function product(btf: Btf, id: number, count: number, size: number): number {
  const total = count * size
  if (total > UINT32_MAX) throw new BpfError('limit', `type [${id}] ${btf.name(id)} has ${total} bytes, above 4 GiB`)
  return total
}

/** Alignment in bytes; 0 for types that have none (libbpf's btf__align_of). @throws BpfError `malformed` for loops */
export function alignOfType(btf: Btf, id: number): number {
  let known = alignments.get(btf)
  if (known === undefined) alignments.set(btf, (known = new AlignmentCache(btf)))
  return known.of(id)
}

/** Alignments of structs that were worked out are kept, since that is not cheap. */
const alignments = new WeakMap<Btf, AlignmentCache>()

const UNKNOWN = 0xff

/** {@link alignOfType} for many types. */
export class AlignmentCache {
  readonly #btf: TypeWords
  readonly #pointerSize: number
  /** By id: alignment of a struct or union. */
  readonly #known: Uint8Array

  constructor(btf: TypeWords) {
    this.#btf = btf
    this.#pointerSize = btf.pointerSize
    this.#known = new Uint8Array(btf.typeCount).fill(UNKNOWN)
  }

  of(id: number): number {
    return this.#of(id, 0)
  }

  #of(id: number, depth: number): number {
    const btf = this.#btf
    let at = id
    let kind = kindAt(btf, at)
    for (let i = 0; kind === BtfKind.ARRAY || kind === BtfKind.TYPEDEF || isModifier(kind); i++) {
      if (i > btf.typeCount) throw new BpfError('malformed', `type [${id}] refers to itself`)
      at = btf.word(at, kind === BtfKind.ARRAY ? 3 : 2)
      kind = kindAt(btf, at)
    }
    switch (kind) {
      case BtfKind.INT:
      case BtfKind.ENUM:
      case BtfKind.ENUM64:
      case BtfKind.FLOAT:
        return Math.min(this.#pointerSize, btf.word(at, 2))
      case BtfKind.PTR:
        return this.#pointerSize
      case BtfKind.STRUCT:
      case BtfKind.UNION: {
        const known = this.#known[at] as number
        if (known !== UNKNOWN) return known
        if (depth > MAX_NESTING) {
          throw new BpfError('malformed', `type [${at}] contains itself, or is nested more than ${MAX_NESTING} deep`)
        }
        const result = this.#composite(at, depth)
        this.#known[at] = result
        return result
      }
      default:
        return 0
    }
  }

  #composite(id: number, depth: number): number {
    const btf = this.#btf
    const info = btf.word(id, 1)
    const kindFlag = info >>> 31 !== 0
    let largest = 1
    for (let i = 0; i < (info & 0xffff); i++) {
      const member = this.#of(btf.word(id, 4 + i * 3), depth + 1)
      if (member === 0) return 0
      if (member > largest) largest = member
      const offset = btf.word(id, 5 + i * 3)
      const isBitField = kindFlag && offset >>> 24 !== 0
      // A member that is not at its natural place: the struct must be packed.
      if (!isBitField && offset % (8 * member) !== 0) return 1
    }
    return btf.word(id, 2) % largest === 0 ? largest : 1
  }
}
