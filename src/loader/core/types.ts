import { BtfKind, type Btf } from '../../btf/index.ts'

/** Where a type's entries (members, enumerators, parameters) start in its record, in words. */
const ENTRIES = 3

/** Kind of a type, without decoding it. The id must be valid. */
export function kindOf(btf: Btf, id: number): number {
  return (btf.word(id, 1) >>> 24) & 0x1f
}

/** Number of members, enumerators or parameters. */
export function countOf(btf: Btf, id: number): number {
  return btf.word(id, 1) & 0xffff
}

/** The kind flag: signed enum, bit-field offsets, forward declaration of a union. */
export function flagOf(btf: Btf, id: number): boolean {
  return btf.word(id, 1) >>> 31 === 1
}

/** Size word of int, struct, union, enum, float. */
export function sizeWord(btf: Btf, id: number): number {
  return btf.word(id, 2)
}

/** Type word of ptr, typedef, modifiers, func, func_proto. */
export function refOf(btf: Btf, id: number): number {
  return btf.word(id, 2)
}

export function isComposite(kind: number): boolean {
  return kind === BtfKind.STRUCT || kind === BtfKind.UNION
}

export function isAnyEnum(kind: number): boolean {
  return kind === BtfKind.ENUM || kind === BtfKind.ENUM64
}

/** Equal kinds, or two enums (libbpf's btf_kind_core_compat). */
export function kindsAreCompatible(a: number, b: number): boolean {
  return a === b || (isAnyEnum(a) && isAnyEnum(b))
}

export function memberNameOffset(btf: Btf, id: number, index: number): number {
  return btf.word(id, ENTRIES + index * 3)
}

export function memberType(btf: Btf, id: number, index: number): number {
  return btf.word(id, ENTRIES + index * 3 + 1)
}

/** Bits from the start of the struct. */
export function memberBitOffset(btf: Btf, id: number, index: number): number {
  const word = btf.word(id, ENTRIES + index * 3 + 2)
  return flagOf(btf, id) ? word & 0xffffff : word
}

/** Bits of a bit-field member, 0 for others. */
export function memberBitSize(btf: Btf, id: number, index: number): number {
  return flagOf(btf, id) ? btf.word(id, ENTRIES + index * 3 + 2) >>> 24 : 0
}

export function enumeratorNameOffset(btf: Btf, id: number, index: number): number {
  return btf.word(id, ENTRIES + index * (kindOf(btf, id) === BtfKind.ENUM64 ? 3 : 2))
}

export function paramType(btf: Btf, id: number, index: number): number {
  return btf.word(id, ENTRIES + index * 2 + 1)
}

export function arrayElement(btf: Btf, id: number): number {
  return btf.word(id, ENTRIES)
}

export function arrayLength(btf: Btf, id: number): number {
  return btf.word(id, ENTRIES + 2)
}

/** Signed bit of an int's encoding. */
export function intIsSigned(btf: Btf, id: number): boolean {
  return ((btf.word(id, ENTRIES) >>> 24) & 1) !== 0
}

/** Whether an int's encoding is exactly "signed" (not char or bool, too), which libbpf tells apart. */
export function intIsPlainSigned(btf: Btf, id: number): boolean {
  return ((btf.word(id, ENTRIES) >>> 24) & 0x0f) === 1
}

/** Bit offset of an old-style bit-field int, 0 for ordinary ones. */
export function intBitOffset(btf: Btf, id: number): number {
  return (btf.word(id, ENTRIES) >>> 16) & 0xff
}
