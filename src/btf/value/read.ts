import { BpfError, decodeCString } from '../../bytes/index.ts'
import type { Btf } from '../btf.ts'
import { kindName } from '../layout.ts'
import { BtfKind, type BtfComposite, type BtfDatasec, type BtfEnum, type BtfInt } from '../types.ts'
import { formatIpv4 } from './addresses.ts'
import { readBits, readInteger } from './bits.ts'
import {
  ValueWalk,
  checkScalar,
  described,
  isCharType,
  memberPath,
  resolveType,
  type BtfValue,
  type BtfValueOptions,
} from './types.ts'

/** Options of {@link readValue}. */
export interface BtfReadOptions extends BtfValueOptions {
  /** Enumerators by `name` where they have one (the default), or always as their `value`. */
  readonly enums?: 'name' | 'value'
  /** `text` reads `__be32` as "10.0.0.1" (when network order is honoured) instead of a number. */
  readonly addresses?: 'number' | 'text'
}

/**
 * Reads a value of type `typeId` from the start of `bytes`. Members of anonymous structs and unions are members of the
 * struct around them, as in C; all members of a union are read. A flexible array at the end takes what is left.
 * @throws BpfError `truncated` when bytes are missing, `type-mismatch` for types without values (void, functions,
 *   forward declarations), `unsupported` for floats other than 4 and 8 bytes; the message has the path to the member
 */
export function readValue(btf: Btf, typeId: number, bytes: Uint8Array, options: BtfReadOptions = {}): BtfValue {
  return new ValueReader(btf, bytes, options).read(typeId, 0, '', 0)
}

class ValueReader extends ValueWalk {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #enumNames: boolean
  readonly #addressText: boolean

  constructor(btf: Btf, bytes: Uint8Array, options: BtfReadOptions) {
    super(btf, options)
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#enumNames = options.enums !== 'value'
    this.#addressText = options.addresses === 'text' && this.declaredOrder
  }

  read(typeId: number, offset: number, path: string, depth: number): BtfValue {
    this.step(path, depth)
    const { btf } = this
    const { id, bigEndian } = resolveType(btf, typeId)
    const littleEndian = this.littleEndian && !(bigEndian && this.declaredOrder)
    const type = btf.type(id)
    switch (type.kind) {
      case BtfKind.INT:
        checkScalar(type, path)
        this.#need(offset, type.size, path, id)
        if (bigEndian && this.#addressText && type.size === 4) return formatIpv4(this.#view.getUint32(offset))
        return this.#int(type, offset, littleEndian)
      case BtfKind.PTR:
        this.#need(offset, btf.pointerSize, path, id)
        return readInteger(this.#bytes, offset, btf.pointerSize, littleEndian)
      case BtfKind.ENUM:
      case BtfKind.ENUM64:
        checkScalar(type, path)
        this.#need(offset, type.size, path, id)
        return this.#enum(type, readInteger(this.#bytes, offset, type.size, littleEndian), type.size * 8)
      case BtfKind.FLOAT:
        this.#need(offset, type.size, path, id)
        if (type.size === 4) return this.#view.getFloat32(offset, littleEndian)
        if (type.size === 8) return this.#view.getFloat64(offset, littleEndian)
        throw new BpfError('unsupported', `${described(path, btf, id)}: floats of ${type.size} bytes cannot be read`)
      case BtfKind.ARRAY:
        return this.#array(type.elementType, type.length, offset, path, depth)
      case BtfKind.STRUCT:
      case BtfKind.UNION:
        this.#need(offset, type.size, path, id)
        return this.#composite(type, offset, {}, path, depth)
      case BtfKind.DATASEC:
        return this.#section(type, offset, path, depth)
      case BtfKind.VOID:
      case BtfKind.FWD:
      case BtfKind.FUNC:
      case BtfKind.FUNC_PROTO:
      case BtfKind.TYPEDEF:
      case BtfKind.VOLATILE:
      case BtfKind.CONST:
      case BtfKind.RESTRICT:
      case BtfKind.TYPE_TAG:
      case BtfKind.VAR:
      case BtfKind.DECL_TAG:
      default:
        throw new BpfError('type-mismatch', `${described(path, btf, id)} is a ${kindName(type.kind)} and has no value`)
    }
  }

  #int(type: BtfInt, offset: number, littleEndian: boolean): BtfValue {
    const plain = type.bitOffset === 0 && type.bits === type.size * 8
    if (plain && type.size <= 8 && !type.bool) {
      switch (type.size) {
        case 1:
          return type.signed ? this.#view.getInt8(offset) : this.#view.getUint8(offset)
        case 2:
          return type.signed ? this.#view.getInt16(offset, littleEndian) : this.#view.getUint16(offset, littleEndian)
        case 4:
          return type.signed ? this.#view.getInt32(offset, littleEndian) : this.#view.getUint32(offset, littleEndian)
        case 8:
          return type.signed
            ? this.#view.getBigInt64(offset, littleEndian)
            : this.#view.getBigUint64(offset, littleEndian)
        default:
          break
      }
    }
    return integer(type, readBits(this.#bytes, offset * 8 + type.bitOffset, type.bits, littleEndian), type.bits)
  }

  #enum(type: BtfEnum, raw: bigint, bits: number): BtfValue {
    const value = type.signed ? BigInt.asIntN(bits, raw) : raw
    if (this.#enumNames) {
      // Enumerators of an ENUM are 32 bits wide, whatever its size.
      const found = type.values.find((entry) => entry.value === value || BigInt.asUintN(bits, entry.value) === raw)
      if (found !== undefined) return found.name
    }
    return bits > 32 ? value : Number(value)
  }

  #array(elementType: number, length: number, offset: number, path: string, depth: number): BtfValue {
    const { btf } = this
    const size = btf.sizeOf(elementType)
    this.#need(offset, size * length, path, elementType)
    if (isCharType(btf, elementType)) return decodeCString(this.#bytes.subarray(offset, offset + length))
    const values: BtfValue[] = []
    for (let i = 0; i < length; i++) values.push(this.read(elementType, offset + i * size, `${path}[${i}]`, depth + 1))
    return values
  }

  #composite(
    type: BtfComposite,
    offset: number,
    into: { [member: string]: BtfValue },
    path: string,
    depth: number,
  ): BtfValue {
    const { btf } = this
    for (let i = 0; i < type.members.length; i++) {
      const member = type.members[i] as BtfComposite['members'][number]
      const where = memberPath(path, member.name)
      const at = offset + Math.floor(member.bitOffset / 8)
      if (member.bitSize > 0) {
        define(into, member.name, this.#bitField(member.type, offset * 8 + member.bitOffset, member.bitSize, where))
        continue
      }
      const inner = btf.type(resolveType(btf, member.type).id)
      if (member.name === '' && (inner.kind === BtfKind.STRUCT || inner.kind === BtfKind.UNION)) {
        this.step(where, depth)
        this.#need(at, inner.size, where, inner.id)
        this.#composite(inner, at, into, path, depth + 1)
        continue
      }
      if (inner.kind === BtfKind.INT && (inner.bits !== inner.size * 8 || member.bitOffset % 8 !== 0)) {
        // How clang wrote bit-fields before the kind flag: in the offset and the integer.
        const bits = Math.min(inner.bits, 128)
        const start = offset * 8 + member.bitOffset + inner.bitOffset
        define(into, member.name, this.#bitField(member.type, start, bits, where))
        continue
      }
      if (inner.kind === BtfKind.ARRAY && inner.length === 0 && depth === 0 && i === type.members.length - 1) {
        define(into, member.name, this.#flexible(inner.elementType, at, where, depth + 1))
        continue
      }
      define(into, member.name, this.read(member.type, at, where, depth + 1))
    }
    return into
  }

  /** A flexible array: as many elements as there are bytes. */
  #flexible(elementType: number, offset: number, path: string, depth: number): BtfValue {
    const size = this.btf.sizeOf(elementType)
    const room = Math.max(0, this.#bytes.length - offset)
    return this.#array(elementType, size === 0 ? 0 : Math.floor(room / size), offset, path, depth)
  }

  #bitField(typeId: number, bitOffset: number, bits: number, path: string): BtfValue {
    const { btf } = this
    const { id } = resolveType(btf, typeId)
    const type = btf.type(id)
    this.#need(Math.floor(bitOffset / 8), Math.ceil(((bitOffset % 8) + bits) / 8), path, id)
    const raw = readBits(this.#bytes, bitOffset, bits, this.littleEndian)
    if (type.kind === BtfKind.ENUM || type.kind === BtfKind.ENUM64) return this.#enum(type, raw, bits)
    if (type.kind === BtfKind.INT) return integer(type, raw, bits)
    throw new BpfError('type-mismatch', `${path}: a bit-field cannot be a ${kindName(type.kind)}`)
  }

  #section(type: BtfDatasec, offset: number, path: string, depth: number): BtfValue {
    const values: { [member: string]: BtfValue } = {}
    for (const entry of type.vars) {
      if (this.btf.kind(entry.type) !== BtfKind.VAR) continue
      const name = this.btf.name(entry.type)
      define(values, name, this.read(entry.type, offset + entry.offset, memberPath(path, name), depth + 1))
    }
    return values
  }

  #need(offset: number, size: number, path: string, id: number): void {
    if (offset + size > this.#bytes.length) {
      throw new BpfError(
        'truncated',
        `${described(path, this.btf, id)} has ${size} bytes at ${offset}, but there are only ${this.#bytes.length}`,
      )
    }
  }
}

function integer(type: BtfInt, raw: bigint, bits: number): BtfValue {
  if (type.bool) return raw !== 0n
  const value = type.signed && bits > 0 ? BigInt.asIntN(bits, raw) : raw
  return type.size > 4 && bits > 32 ? value : Number(value)
}

/** Sets a member also when it is called __proto__. */
function define(into: { [member: string]: BtfValue }, name: string, value: BtfValue): void {
  if (name === '__proto__')
    Object.defineProperty(into, name, { value, enumerable: true, writable: true, configurable: true })
  else into[name] = value
}
