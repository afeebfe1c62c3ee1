import { decodeCString } from '../../bytes/index.ts'
import type { Btf } from '../btf.ts'
import { BtfKind, type BtfArray, type BtfComposite } from '../types.ts'
import { Chunk, LITTLE_ENDIAN_HOST } from './chunk.ts'
import { alignedInteger, viewedInteger } from './integers.ts'
import { readValue } from './read.ts'
import { recordMaker, type PartReader } from './record.ts'
import { isCharType, resolveType, type BtfValue } from './types.ts'

/** Reads one value: `length` bytes from `offset` of `bytes`. */
export type ValueDecoder = (bytes: Uint8Array, offset: number, length: number) => BtfValue

/** Longest array whose elements are read without looking at the type again, and deepest nesting. */
const LONGEST_ARRAY = 4096
const DEEPEST = 16

/**
 * A function that reads values of one type many times, with the results (and errors) of {@link readValue}: the layout is
 * looked at once, here. Types that need care (bit-fields, enumerators, network order, flexible arrays, odd sizes) still
 * go through readValue(), part by part. It is fastest where records lie on multiples of 8, as in ring buffers.
 * @throws BpfError for a type that is not in the BTF
 */
export function compileDecoder(btf: Btf, typeId: number): ValueDecoder {
  const careful: ValueDecoder = (bytes, offset, length) =>
    readValue(btf, typeId, bytes.subarray(offset, offset + length))
  const { id } = resolveType(btf, typeId)
  const type = btf.type(id)
  if (!COMPILED.has(type.kind) || (type.kind === BtfKind.STRUCT && endsFlexibly(btf, type))) return careful
  const anywhere = new Compiler(btf, false).part(typeId, 0, 0)
  if (anywhere === null) return careful
  const aligned = btf.littleEndian === LITTLE_ENDIAN_HOST ? new Compiler(btf, true).part(typeId, 0, 0) : null
  const size = btf.sizeOf(id)
  // Records come in chunks: one object serves them all.
  let chunk = new Chunk(new Uint8Array(0))
  return (bytes, offset, length) => {
    if (length < size) return careful(bytes, offset, length)
    if (bytes !== chunk.bytes) chunk = new Chunk(bytes)
    return aligned !== null && chunk.aligned && (offset & 7) === 0 ? aligned(chunk, offset) : anywhere(chunk, offset)
  }
}

const COMPILED: ReadonlySet<BtfKind> = new Set([BtfKind.STRUCT, BtfKind.INT, BtfKind.PTR, BtfKind.ARRAY])

function endsFlexibly(btf: Btf, type: BtfComposite): boolean {
  const last = type.members.at(-1)
  if (last === undefined) return true
  const inner = btf.type(resolveType(btf, last.type).id)
  return inner.kind === BtfKind.ARRAY && inner.length === 0
}

/** Makes readers of parts, for records on multiples of 8 or anywhere. `offset` is where a part lies in its record. */
class Compiler {
  readonly #btf: Btf
  readonly #aligned: boolean

  constructor(btf: Btf, aligned: boolean) {
    this.#btf = btf
    this.#aligned = aligned
  }

  /** Reader of a struct, null when its own layout needs care. */
  composite(type: BtfComposite, offset: number, depth: number): PartReader | null {
    if (type.kind !== BtfKind.STRUCT || depth > DEEPEST) return null
    const names: string[] = []
    const readers: PartReader[] = []
    for (const member of type.members) {
      if (member.name === '' || member.name === '__proto__' || member.bitSize > 0 || member.bitOffset % 8 !== 0)
        return null
      const reader = this.part(member.type, offset + member.bitOffset / 8, depth)
      if (reader === null || names.includes(member.name)) return null
      names.push(member.name)
      readers.push(reader)
    }
    return recordMaker(names, readers)
  }

  /** Reader of a member or element; null when the struct around it has to be read with care. */
  part(typeId: number, offset: number, depth: number): PartReader | null {
    const btf = this.#btf
    const { id, bigEndian } = resolveType(btf, typeId)
    const type = btf.type(id)
    if (type.kind === BtfKind.INT) {
      // Old compilers put bit-fields in integers, which only the struct knows how to read.
      if (type.bits !== type.size * 8 || type.bitOffset !== 0) return null
      const plain = bigEndian || (type.bool && type.size !== 1) ? null : this.#integer(type, offset)
      return plain ?? this.#careful(typeId, offset)
    }
    if (type.kind === BtfKind.PTR && btf.pointerSize === 8) {
      return this.#integer({ size: 8, signed: false, bool: false }, offset) ?? this.#careful(typeId, offset)
    }
    if (type.kind === BtfKind.ARRAY) return this.#array(type, offset, depth) ?? this.#careful(typeId, offset)
    if (type.kind === BtfKind.STRUCT) {
      return this.composite(type, offset, depth + 1) ?? this.#careful(typeId, offset)
    }
    return this.#careful(typeId, offset)
  }

  #integer(type: Parameters<typeof alignedInteger>[0], offset: number): PartReader | null {
    const isAligned = this.#aligned && offset % type.size === 0
    return isAligned ? alignedInteger(type, offset) : viewedInteger(type, offset, this.#btf.littleEndian)
  }

  #careful(typeId: number, offset: number): PartReader {
    const btf = this.#btf
    const size = btf.sizeOf(typeId)
    return ({ bytes }, at) => readValue(btf, typeId, bytes.subarray(at + offset, at + offset + size))
  }

  #array(type: BtfArray, offset: number, depth: number): PartReader | null {
    const btf = this.#btf
    const { elementType, length } = type
    if (isCharType(btf, elementType)) return text(offset, length)
    if (length > LONGEST_ARRAY) return null
    // Elements behind the first lie on multiples of their size only.
    const size = btf.sizeOf(elementType)
    const compiler = this.#aligned && size % 8 !== 0 ? new Compiler(btf, false) : this
    const element = compiler.part(elementType, offset, depth + 1)
    if (element === null) return null
    return (chunk, at) => {
      const values: BtfValue[] = []
      for (let i = 0; i < length; i++) values.push(element(chunk, at + i * size))
      return values
    }
  }
}

/** A char array: up to its zero. Short ASCII, which most names are, is put together without a decoder. */
function text(offset: number, length: number): PartReader {
  return ({ bytes }, at) => {
    const start = at + offset
    let short = ''
    for (let i = start; i < start + length; i++) {
      const byte = bytes[i] as number
      if (byte === 0) return short
      if (byte > 127 || i - start === SHORT) break
      short += ASCII[byte] as string
    }
    if (short.length === length) return short
    return decodeCString(bytes.subarray(start, start + length))
  }
}

/** Characters up to which concatenation is faster than a decoder. */
const SHORT = 32
const ASCII: readonly string[] = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code))
