import { BpfError } from '../../bytes/index.ts'
import type { TypeWords } from '../flat.ts'
import { BtfKind } from '../types.ts'

/** Declarations nested or chained deeper than this are refused. */
export const MAX_DEPTH = 500

/** Chains to be used again: a header has a hundred thousand declarations, some within others. */
export class ChainPool {
  readonly #free: Chain[] = []

  take(): Chain {
    return this.#free.pop() ?? { ids: [], left: 0 }
  }

  give(chain: Chain): void {
    this.#free.push(chain)
  }
}

/** What a declaration writes at the end of its chain, and how. The dumper and cName differ in these. */
export interface DeclarationParts {
  readonly types: TypeWords
  add(text: string): void
  /** Adds the text at a string offset. */
  addName(offset: number): void
  /** Whether the text at a string offset is not empty. */
  hasText(offset: number): boolean
  readonly chains: ChainPool
  /** A struct or union: its definition when that has to stand here, else `struct name`. */
  composite(id: number, level: number): void
  enumeration(id: number, level: number): void
  forward(id: number): void
  typedef(id: number): void
  /** The attribute of a type tag. */
  typeTag(id: number): string
}

/** A declared name: its text, or its string offset. */
export type Declarator = string | number

/** The types from a declared name's outermost derivation to its base, as a stack that is used up from the base. */
export interface Chain {
  readonly ids: number[]
  left: number
}

/**
 * Writes a C declaration: `int *(*name[4])(void)`. BTF lists derivations from the name outwards, C writes the base
 * type first, then pointers to the left of the name and arrays and parameters to the right of it; so the chain is
 * collected down to the base and written from its end. Qualifiers stand before a base type but after a pointer.
 * The spacing is libbpf's.
 */
export function declare(parts: DeclarationParts, id: number, name: Declarator, level: number): void {
  declareNested(parts, id, name, level, 0)
}

function declareNested(parts: DeclarationParts, id: number, name: Declarator, level: number, depth: number): void {
  if (depth > MAX_DEPTH) throw tooDeep(id)
  const ids: number[] = []
  for (let at = id; ;) {
    ids.push(at)
    if (ids.length > MAX_DEPTH) throw tooDeep(id)
    const next = derivedFrom(parts.types, at)
    if (next < 0) break
    at = next
  }
  writeChain(parts, { ids, left: ids.length }, name, level, depth)
}

export function tooDeep(id: number): BpfError {
  return new BpfError('malformed', `type [${id}] contains itself, or is derived through more than ${MAX_DEPTH} types`)
}

function kindOf(btf: TypeWords, id: number): number {
  return (btf.word(id, 1) >>> 24) & 0x1f
}

/** The type that `id` derives from in a declaration; -1 for those that end one. */
function derivedFrom(btf: TypeWords, id: number): number {
  switch (kindOf(btf, id)) {
    case BtfKind.PTR:
    case BtfKind.VOLATILE:
    case BtfKind.CONST:
    case BtfKind.RESTRICT:
    case BtfKind.FUNC_PROTO:
    case BtfKind.TYPE_TAG:
      return btf.word(id, 2)
    case BtfKind.ARRAY:
      return btf.word(id, 3)
    default:
      return -1
  }
}

const QUALIFIERS: Readonly<Record<number, string>> = {
  [BtfKind.VOLATILE]: 'volatile',
  [BtfKind.CONST]: 'const',
  [BtfKind.RESTRICT]: 'restrict',
}

/** Qualifiers of a base type: written before it. */
function writeQualifiers(parts: DeclarationParts, chain: Chain): void {
  while (chain.left > 0) {
    const word = QUALIFIERS[kindOf(parts.types, chain.ids[chain.left - 1] as number)]
    if (word === undefined) return
    parts.add(`${word} `)
    chain.left--
  }
}

/** Qualifiers of an array or a function mean nothing (GCC writes some); they are left out. */
function dropQualifiers(parts: DeclarationParts, chain: Chain): void {
  while (chain.left > 0) {
    const kind = kindOf(parts.types, chain.ids[chain.left - 1] as number)
    if (QUALIFIERS[kind] === undefined && kind !== BtfKind.TYPE_TAG) return
    chain.left--
  }
}

function writeName(parts: DeclarationParts, name: Declarator, afterPointer: boolean): void {
  if (name === '' || name === 0) return
  if (!afterPointer) parts.add(' ')
  if (typeof name === 'string') parts.add(name)
  else parts.addName(name)
}

function writeChain(parts: DeclarationParts, chain: Chain, name: Declarator, level: number, depth: number): void {
  const btf = parts.types
  // A chain that starts with a pointer is inside parentheses: "(*name)" has no space before the asterisk.
  let afterPointer = true
  while (chain.left > 0) {
    const id = chain.ids[--chain.left] as number
    const kind = kindOf(btf, id)
    switch (kind) {
      case BtfKind.VOID:
        writeQualifiers(parts, chain)
        parts.add('void')
        break
      case BtfKind.INT:
      case BtfKind.FLOAT:
        writeQualifiers(parts, chain)
        parts.addName(btf.word(id, 0))
        break
      case BtfKind.STRUCT:
      case BtfKind.UNION:
        writeQualifiers(parts, chain)
        parts.composite(id, level)
        break
      case BtfKind.ENUM:
      case BtfKind.ENUM64:
        writeQualifiers(parts, chain)
        parts.enumeration(id, level)
        break
      case BtfKind.FWD:
        writeQualifiers(parts, chain)
        parts.forward(id)
        break
      case BtfKind.TYPEDEF:
        writeQualifiers(parts, chain)
        parts.typedef(id)
        break
      case BtfKind.PTR:
        parts.add(afterPointer ? '*' : ' *')
        break
      case BtfKind.VOLATILE:
      case BtfKind.CONST:
      case BtfKind.RESTRICT:
        parts.add(` ${QUALIFIERS[kind] as string}`)
        break
      case BtfKind.TYPE_TAG:
        writeQualifiers(parts, chain)
        parts.add(` ${parts.typeTag(id)}`)
        break
      case BtfKind.ARRAY:
        writeArray(parts, chain, id, name, level, afterPointer, depth)
        return
      case BtfKind.FUNC_PROTO:
        writeFunction(parts, chain, id, name, level, afterPointer, depth)
        return
      default:
        // A variable, function or section in a declaration: broken BTF. libbpf leaves the rest out.
        return
    }
    afterPointer = kind === BtfKind.PTR
  }
  writeName(parts, name, afterPointer)
}

function writeArray(
  parts: DeclarationParts,
  chain: Chain,
  id: number,
  name: Declarator,
  level: number,
  afterPointer: boolean,
  depth: number,
): void {
  const length = `[${parts.types.word(id, 5)}]`
  dropQualifiers(parts, chain)
  if (chain.left === 0) {
    writeName(parts, name, afterPointer)
    parts.add(length)
    return
  }
  const isMatrix = kindOf(parts.types, chain.ids[chain.left - 1] as number) === BtfKind.ARRAY
  if (name !== '' && name !== 0 && !afterPointer) parts.add(' ')
  if (!isMatrix) parts.add('(')
  writeChain(parts, chain, name, level, depth + 1)
  if (!isMatrix) parts.add(')')
  parts.add(length)
}

function writeFunction(
  parts: DeclarationParts,
  chain: Chain,
  id: number,
  name: Declarator,
  level: number,
  afterPointer: boolean,
  depth: number,
): void {
  const btf = parts.types
  dropQualifiers(parts, chain)
  if (chain.left > 0) {
    parts.add(' (')
    writeChain(parts, chain, name, level, depth + 1)
    parts.add(')')
  } else {
    writeName(parts, name, afterPointer)
  }
  const count = btf.word(id, 1) & 0xffff
  // clang writes f(void) as one parameter of type void.
  if (count === 0 || (count === 1 && btf.word(id, 4) === 0)) {
    parts.add('(void)')
    return
  }
  parts.add('(')
  for (let i = 0; i < count; i++) {
    if (i > 0) parts.add(', ')
    const type = btf.word(id, 4 + i * 2)
    if (i === count - 1 && type === 0) {
      parts.add('...')
      break
    }
    declareNested(parts, type, btf.word(id, 3 + i * 2), level, depth + 1)
  }
  parts.add(')')
}
