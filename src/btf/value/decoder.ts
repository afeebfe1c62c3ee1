import { decodeCString } from '../../bytes/index.ts'
import type { Btf } from '../btf.ts'
import { BtfKind, type BtfArray, type BtfComposite, type BtfInt } from '../types.ts'
import { readValue } from './read.ts'
import { isCharType, resolveType, type BtfValue } from './types.ts'

/** Reads one value: `length` bytes from `offset` of `bytes`. */
export type ValueDecoder = (bytes: Uint8Array, offset: number, length: number) => BtfValue

/** Reads a part at an offset that was checked before. */
type PartReader = (view: DataView, at: number, bytes: Uint8Array) => BtfValue

/** Longest array whose elements are read without looking at the type again, and deepest nesting. */
const LONGEST_ARRAY = 4096
const DEEPEST = 16

/**
 * A function that reads values of one type many times, with the results (and errors) of {@link readValue}: the layout is
 * looked at once, here. Types that need care (bit-fields, enumerators, network order, flexible arrays, odd sizes) still
 * go through readValue(), part by part.
 * @throws BpfError for a type that is not in the BTF
 */
export function compileDecoder(btf: Btf, typeId: number): ValueDecoder {
  const careful: ValueDecoder = (bytes, offset, length) =>
    readValue(btf, typeId, bytes.subarray(offset, offset + length))
  const { id } = resolveType(btf, typeId)
  const type = btf.type(id)
  if (type.kind !== BtfKind.STRUCT || endsFlexibly(btf, type)) return careful
  const read = composite(btf, type, 0)
  if (read === null) return careful
  const { size } = type
  // Records come in chunks: one view serves them all.
  let last: Uint8Array = new Uint8Array(0)
  let view: DataView = new DataView(last.buffer)
  return (bytes, offset, length) => {
    if (length < size) return careful(bytes, offset, length)
    if (bytes !== last) {
      last = bytes
      view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    }
    return read(view, offset, bytes)
  }
}

function endsFlexibly(btf: Btf, type: BtfComposite): boolean {
  const last = type.members.at(-1)
  if (last === undefined) return true
  const inner = btf.type(resolveType(btf, last.type).id)
  return inner.kind === BtfKind.ARRAY && inner.length === 0
}

/** Reader of a struct, null when its own layout needs care. */
function composite(btf: Btf, type: BtfComposite, depth: number): PartReader | null {
  if (type.kind !== BtfKind.STRUCT || depth > DEEPEST) return null
  const names: string[] = []
  const offsets: number[] = []
  const readers: PartReader[] = []
  for (const member of type.members) {
    if (member.name === '' || member.name === '__proto__' || member.bitSize > 0 || member.bitOffset % 8 !== 0)
      return null
    const reader = part(btf, member.type, depth)
    if (reader === null || names.includes(member.name)) return null
    names.push(member.name)
    offsets.push(member.bitOffset / 8)
    readers.push(reader)
  }
  const template: Record<string, BtfValue> = {}
  for (const name of names) template[name] = 0
  const count = names.length
  return (view, at, bytes) => {
    const value = { ...template }
    for (let i = 0; i < count; i++) {
      value[names[i] as string] = (readers[i] as PartReader)(view, at + (offsets[i] as number), bytes)
    }
    return value
  }
}

/** Reader of a member or element; null when the struct around it has to be read with care. */
function part(btf: Btf, typeId: number, depth: number): PartReader | null {
  const { id, bigEndian } = resolveType(btf, typeId)
  const type = btf.type(id)
  if (type.kind === BtfKind.INT) {
    // Old compilers put bit-fields in integers, which only the struct knows how to read.
    if (type.bits !== type.size * 8 || type.bitOffset !== 0) return null
    return (bigEndian ? null : integer(type, btf.littleEndian)) ?? careful(btf, typeId)
  }
  if (type.kind === BtfKind.PTR && btf.pointerSize === 8) {
    return btf.littleEndian ? (view, at) => view.getBigUint64(at, true) : (view, at) => view.getBigUint64(at, false)
  }
  if (type.kind === BtfKind.ARRAY) return array(btf, type, depth) ?? careful(btf, typeId)
  if (type.kind === BtfKind.STRUCT) return composite(btf, type, depth + 1) ?? careful(btf, typeId)
  return careful(btf, typeId)
}

function careful(btf: Btf, typeId: number): PartReader {
  const size = btf.sizeOf(typeId)
  return (_view, at, bytes) => readValue(btf, typeId, bytes.subarray(at, at + size))
}

function array(btf: Btf, type: BtfArray, depth: number): PartReader | null {
  const { elementType, length } = type
  if (isCharType(btf, elementType)) return (_view, at, bytes) => decodeCString(bytes.subarray(at, at + length))
  if (length > LONGEST_ARRAY) return null
  const element = part(btf, elementType, depth + 1)
  if (element === null) return null
  const size = btf.sizeOf(elementType)
  return (view, at, bytes) => {
    const values: BtfValue[] = []
    for (let i = 0; i < length; i++) values.push(element(view, at + i * size, bytes))
    return values
  }
}

function integer(type: BtfInt, littleEndian: boolean): PartReader | null {
  if (type.bool) return type.size === 1 ? (view, at) => view.getUint8(at) !== 0 : null
  switch (type.size) {
    case 1:
      return type.signed ? (view, at) => view.getInt8(at) : (view, at) => view.getUint8(at)
    case 2:
      return type.signed
        ? (view, at) => view.getInt16(at, littleEndian)
        : (view, at) => view.getUint16(at, littleEndian)
    case 4:
      return type.signed
        ? (view, at) => view.getInt32(at, littleEndian)
        : (view, at) => view.getUint32(at, littleEndian)
    case 8:
      return type.signed
        ? (view, at) => view.getBigInt64(at, littleEndian)
        : (view, at) => view.getBigUint64(at, littleEndian)
    default:
      return null
  }
}
