import { BpfError } from '../../bytes/index.ts'
import type { Btf } from '../btf.ts'
import { BtfKind, type BtfEnum, type BtfInt } from '../types.ts'

/**
 * A C value in JavaScript: numbers for up to 32 bits (and floats), bigints for 64 and 128 bits and pointers, booleans,
 * strings for char arrays and for enumerators, arrays, and objects for structs, unions and sections of variables.
 */
export type BtfValue = number | bigint | boolean | string | BtfValue[] | { [member: string]: BtfValue }

/**
 * What {@link writeValue} takes: a {@link BtfValue}, bytes of exactly the type's size, decimal or hexadecimal digits
 * as text, "10.0.0.1" for `__be32`, or null and undefined for zero. Members that are not given are zero.
 */
export type BtfValueInput =
  | number
  | bigint
  | boolean
  | string
  | null
  | undefined
  | Uint8Array
  | readonly BtfValueInput[]
  | { readonly [member: string]: BtfValueInput }

/** Where and how values lie in memory. */
export interface BtfValueOptions {
  /** Byte order of the value; the BTF's own unless given. */
  readonly littleEndian?: boolean
  /**
   * `declared` (the default) honours the kernel's typedefs __be16, __be32 and __be64: 443 in a `__be16` is 443, stored
   * big-endian. `memory` takes them as plain integers, as bpftool does.
   */
  readonly networkOrder?: 'declared' | 'memory'
}

/** Nesting and number of parts after which a type is refused: C has no such values, made-up BTF does. */
export const MAX_VALUE_DEPTH = 64
export const MAX_VALUE_PARTS: number = 1 << 22

/** The state of a walk over a value. */
export class ValueWalk {
  readonly btf: Btf
  readonly littleEndian: boolean
  readonly declaredOrder: boolean
  parts = 0

  constructor(btf: Btf, options: BtfValueOptions) {
    this.btf = btf
    this.littleEndian = options.littleEndian ?? btf.littleEndian
    this.declaredOrder = options.networkOrder !== 'memory'
  }

  /** Counts a part, and refuses what cannot end. */
  step(path: string, depth: number): void {
    if (depth > MAX_VALUE_DEPTH || ++this.parts > MAX_VALUE_PARTS) {
      throw new BpfError('limit', `${path}: the type is nested too deep or has too many parts`)
    }
  }
}

/** A type without what does not change its bytes, and whether a typedef on the way said network byte order. */
export interface Resolved {
  readonly id: number
  readonly bigEndian: boolean
}

/** Skips modifiers, typedefs and variables. */
export function resolveType(btf: Btf, id: number): Resolved {
  let at = id
  let bigEndian = false
  for (let i = 0; i < 2 * MAX_VALUE_DEPTH; i++) {
    const kind = btf.kind(at)
    if (kind === BtfKind.TYPEDEF) {
      const name = btf.name(at)
      if (name === '__be16' || name === '__be32' || name === '__be64') bigEndian = true
    } else if (
      kind !== BtfKind.CONST &&
      kind !== BtfKind.VOLATILE &&
      kind !== BtfKind.RESTRICT &&
      kind !== BtfKind.TYPE_TAG &&
      kind !== BtfKind.VAR &&
      kind !== BtfKind.DECL_TAG
    ) {
      return { id: at, bigEndian }
    }
    at = btf.word(at, 2)
  }
  throw new BpfError('malformed', `type [${id}] refers to itself`)
}

/** Whether an array of this element type is text: `char`, or an integer with the encoding CHAR. */
export function isCharType(btf: Btf, id: number): boolean {
  const element = btf.type(resolveType(btf, id).id)
  return element.kind === BtfKind.INT && element.size === 1 && (element.char || element.name === 'char')
}

/** "flows.key" and "saddr" as "flows.key.saddr". */
export function memberPath(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`
}

/** The path for messages: the type's name where the value is the whole. */
export function described(path: string, btf: Btf, id: number): string {
  return path === '' ? btf.name(id) || `type [${id}]` : path
}

/** Refuses integers that no machine has; made-up BTF can say anything. */
export function checkScalar(type: BtfInt | BtfEnum, path: string): void {
  if (type.size > 16) {
    throw new BpfError('malformed', `${path || type.name}: type [${type.id}] is an integer of ${type.size} bytes`)
  }
  if (type.kind === BtfKind.INT && type.bitOffset + type.bits > type.size * 8) {
    throw new BpfError(
      'malformed',
      `${path || type.name}: type [${type.id}] has bits ${type.bitOffset} to ${type.bitOffset + type.bits} of ${type.size} bytes`,
    )
  }
}
