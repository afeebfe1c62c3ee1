import { BtfKind } from './types.ts'

/** First two bytes of every BTF and BTF.ext blob, in the blob's own byte order. */
export const BTF_MAGIC = 0xeb9f
export const BTF_VERSION = 1
/** Size of struct btf_header: magic, version, flags, hdr_len, type_off, type_len, str_off, str_len. */
export const BTF_HEADER_SIZE = 24
/** Largest value of the vlen field (include/uapi/linux/btf.h). */
export const BTF_MAX_VLEN = 0xffff
export const BTF_MAX_TYPE = 0x000f_ffff
export const BTF_MAX_NAME_OFFSET = 0x00ff_ffff
export const BTF_MAX_SIZE: number = 16 * 1024 * 1024

/** Words of struct btf_type itself: name_off, info, size or type. */
export const TYPE_WORDS = 3
export const KIND_COUNT = 20

/** Encoding bits of an INT's extra word. */
export const INT_SIGNED = 1
export const INT_CHAR = 2
export const INT_BOOL = 4

/** By kind: words after struct btf_type that do not depend on vlen. */
export const FIXED_WORDS: Uint8Array = byKind({
  [BtfKind.INT]: 1,
  [BtfKind.ARRAY]: 3,
  [BtfKind.VAR]: 1,
  [BtfKind.DECL_TAG]: 1,
})

/** By kind: words per member, enumerator, parameter or section variable. */
export const ENTRY_WORDS: Uint8Array = byKind({
  [BtfKind.STRUCT]: 3,
  [BtfKind.UNION]: 3,
  [BtfKind.ENUM]: 2,
  [BtfKind.FUNC_PROTO]: 2,
  [BtfKind.DATASEC]: 3,
  [BtfKind.ENUM64]: 3,
})

/** By kind: 1 when the third word of struct btf_type is a type id. */
export const REFERS: Uint8Array = byKind({
  [BtfKind.PTR]: 1,
  [BtfKind.TYPEDEF]: 1,
  [BtfKind.VOLATILE]: 1,
  [BtfKind.CONST]: 1,
  [BtfKind.RESTRICT]: 1,
  [BtfKind.FUNC]: 1,
  [BtfKind.FUNC_PROTO]: 1,
  [BtfKind.VAR]: 1,
  [BtfKind.DECL_TAG]: 1,
  [BtfKind.TYPE_TAG]: 1,
})

/** Kind names as bpftool prints them, by number. */
export const KIND_NAMES: readonly string[] = [
  'UNKNOWN',
  'INT',
  'PTR',
  'ARRAY',
  'STRUCT',
  'UNION',
  'ENUM',
  'FWD',
  'TYPEDEF',
  'VOLATILE',
  'CONST',
  'RESTRICT',
  'FUNC',
  'FUNC_PROTO',
  'VAR',
  'DATASEC',
  'FLOAT',
  'DECL_TAG',
  'TYPE_TAG',
  'ENUM64',
]

/** Name of a kind in lower case, as messages use it ("struct", "func_proto"). */
export function kindName(kind: number): string {
  return kind === 0 ? 'void' : (KIND_NAMES[kind] ?? `kind ${kind}`).toLowerCase()
}

/** Whether this machine stores integers least significant byte first. */
export const HOST_IS_LITTLE_ENDIAN: boolean = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1

function byKind(entries: Readonly<Record<number, number>>): Uint8Array {
  // 32 entries, so that the five bits of a kind index it without a bounds check.
  const table = new Uint8Array(32)
  for (const [kind, value] of Object.entries(entries)) table[Number(kind)] = value
  return table
}
