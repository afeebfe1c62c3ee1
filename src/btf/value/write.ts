import { BpfError, encodeUtf8 } from '../../bytes/index.ts'
import type { Btf } from '../btf.ts'
import { kindName } from '../layout.ts'
import { BtfKind, type BtfComposite, type BtfDatasec, type BtfEnum, type BtfInt, type BtfMember } from '../types.ts'
import { parseIpv4, parseIpv6, parseMac } from './addresses.ts'
import { writeBits, writeInteger } from './bits.ts'
import {
  ValueWalk,
  checkScalar,
  described,
  isCharType,
  memberPath,
  resolveType,
  type BtfValueInput,
  type BtfValueOptions,
} from './types.ts'

type Members = { readonly [member: string]: BtfValueInput }

/**
 * Writes `value` as type `typeId` at the start of `into`; members and elements that are not given become zero.
 * @throws BpfError `type-mismatch` for a value that does not fit its type, with the path to it ("key.saddr"), and
 *   `truncated` when `into` is too small
 */
export function writeValue(
  btf: Btf,
  typeId: number,
  value: BtfValueInput,
  into: Uint8Array,
  options: BtfValueOptions = {},
): void {
  new ValueWriter(btf, into, options).write(typeId, value, 0, '', 0)
}

class ValueWriter extends ValueWalk {
  readonly #into: Uint8Array
  readonly #view: DataView

  constructor(btf: Btf, into: Uint8Array, options: BtfValueOptions) {
    super(btf, options)
    this.#into = into
    this.#view = new DataView(into.buffer, into.byteOffset, into.byteLength)
  }

  write(typeId: number, value: BtfValueInput, offset: number, path: string, depth: number): void {
    this.step(path, depth)
    const { btf } = this
    const { id, bigEndian } = resolveType(btf, typeId)
    const littleEndian = this.littleEndian && !(bigEndian && this.declaredOrder)
    const type = btf.type(id)
    const where = described(path, btf, typeId)
    if (type.kind === BtfKind.VOID || type.kind === BtfKind.FUNC || type.kind === BtfKind.FUNC_PROTO) {
      throw new BpfError('type-mismatch', `${where} is a ${kindName(type.kind)} and has no value`)
    }
    const size = btf.sizeOf(id)
    if (type.kind === BtfKind.INT || type.kind === BtfKind.ENUM || type.kind === BtfKind.ENUM64) checkScalar(type, path)
    this.#need(offset, size, where)
    if (value === null || value === undefined) {
      this.#into.fill(0, offset, offset + size)
      return
    }
    if (value instanceof Uint8Array) {
      const isShortArray = type.kind === BtfKind.ARRAY && value.length < size && btf.sizeOf(type.elementType) === 1
      if (value.length !== size && !isShortArray) {
        throw new BpfError('type-mismatch', `${where} has ${size} bytes, not ${value.length}`)
      }
      this.#into.fill(0, offset, offset + size)
      this.#into.set(value, offset)
      return
    }
    switch (type.kind) {
      case BtfKind.INT: {
        const plain = bigEndian && type.size === 4 && typeof value === 'string' ? parseIpv4(value) : null
        // Dotted addresses are in network order, also where such typedefs are plain integers otherwise.
        const order = plain === null ? littleEndian : false
        this.#int(type, plain ?? value, offset, order, where)
        return
      }
      case BtfKind.PTR:
        writeInteger(this.#into, offset, size, littleEndian, integerOf(value, size * 8, 'either', where))
        return
      case BtfKind.ENUM:
      case BtfKind.ENUM64:
        writeInteger(this.#into, offset, size, littleEndian, enumerator(type, value, size * 8, where))
        return
      case BtfKind.FLOAT:
        this.#float(value, offset, size, littleEndian, where)
        return
      case BtfKind.ARRAY:
        this.#into.fill(0, offset, offset + size)
        this.#array(type.elementType, type.length, value, offset, path, where, depth)
        return
      case BtfKind.STRUCT:
      case BtfKind.UNION:
        this.#into.fill(0, offset, offset + size)
        this.#whole(type, value, offset, path, where, depth)
        return
      case BtfKind.DATASEC:
        this.#section(type, membersOf(value, where), offset, path, depth)
        return
      case BtfKind.FWD:
      case BtfKind.TYPEDEF:
      case BtfKind.VOLATILE:
      case BtfKind.CONST:
      case BtfKind.RESTRICT:
      case BtfKind.TYPE_TAG:
      case BtfKind.VAR:
      case BtfKind.DECL_TAG:
        throw new BpfError('type-mismatch', `${where} is a ${kindName(type.kind)} and has no value`)
    }
  }

  #int(type: BtfInt, value: BtfValueInput, offset: number, littleEndian: boolean, where: string): void {
    const number = integerOf(value, type.bits, signOf(type), where)
    if (type.bitOffset === 0 && type.bits === type.size * 8) {
      writeInteger(this.#into, offset, type.size, littleEndian, number)
    } else {
      this.#into.fill(0, offset, offset + type.size)
      this.#need(offset, Math.ceil((type.bitOffset + type.bits) / 8), where)
      writeBits(this.#into, offset * 8 + type.bitOffset, type.bits, littleEndian, number)
    }
  }

  #float(value: BtfValueInput, offset: number, size: number, littleEndian: boolean, where: string): void {
    if (typeof value !== 'number') throw mismatch(where, value, 'a number')
    if (size === 4) this.#view.setFloat32(offset, value, littleEndian)
    else if (size === 8) this.#view.setFloat64(offset, value, littleEndian)
    else throw new BpfError('unsupported', `${where}: floats of ${size} bytes cannot be written`)
  }

  #array(
    elementType: number,
    length: number,
    value: BtfValueInput,
    offset: number,
    path: string,
    where: string,
    depth: number,
  ): void {
    const { btf } = this
    const size = btf.sizeOf(elementType)
    if (typeof value === 'string') {
      const bytes = isCharType(btf, elementType) ? encodeUtf8(value) : size === 1 ? address(value, length) : null
      if (bytes === null) throw mismatch(where, value, `an array of ${length}`)
      if (bytes.length > length) {
        throw new BpfError('type-mismatch', `${where}: '${value}' has ${bytes.length} bytes, ${length} fit`)
      }
      this.#into.set(bytes, offset)
      return
    }
    if (!Array.isArray(value)) throw mismatch(where, value, `an array of ${length}`)
    const items = value as readonly BtfValueInput[]
    if (items.length > length) {
      throw new BpfError('type-mismatch', `${where} has ${length} elements, not ${items.length}`)
    }
    for (let i = 0; i < items.length; i++)
      this.write(elementType, items[i], offset + i * size, `${path}[${i}]`, depth + 1)
  }

  #whole(type: BtfComposite, value: BtfValueInput, offset: number, path: string, where: string, depth: number): void {
    if (typeof value === 'string' && type.size === 16) {
      const bytes = parseIpv6(value)
      if (bytes !== null) {
        this.#into.set(bytes, offset)
        return
      }
    }
    const given = membersOf(value, where)
    const left = new Set(Object.keys(given))
    this.#composite(type, given, left, offset, path, depth)
    for (const name of left) {
      const known = memberNames(this.btf, type).join(', ')
      throw new BpfError('type-mismatch', `${where} has no member '${name}'; it has ${known || 'none'}`)
    }
  }

  #composite(type: BtfComposite, given: Members, left: Set<string>, offset: number, path: string, depth: number): void {
    const { btf } = this
    for (let i = 0; i < type.members.length; i++) {
      const member = type.members[i] as BtfMember
      const at = offset + Math.floor(member.bitOffset / 8)
      const innerId = resolveType(btf, member.type).id
      const inner = btf.type(innerId)
      if (member.name === '') {
        this.step(path, depth)
        if (inner.kind === BtfKind.STRUCT || inner.kind === BtfKind.UNION) {
          this.#need(at, inner.size, path)
          this.#composite(inner, given, left, at, path, depth + 1)
        }
        continue
      }
      if (!left.delete(member.name)) continue
      const value = given[member.name]
      const where = memberPath(path, member.name)
      const isOldBitField = inner.kind === BtfKind.INT && (inner.bits !== inner.size * 8 || member.bitOffset % 8 !== 0)
      if (member.bitSize > 0 || isOldBitField) {
        const bits = member.bitSize > 0 ? member.bitSize : inner.kind === BtfKind.INT ? inner.bits : 0
        const start = offset * 8 + member.bitOffset + (inner.kind === BtfKind.INT ? inner.bitOffset : 0)
        this.#bitField(innerId, value, start, bits, where)
        continue
      }
      const isFlexible = inner.kind === BtfKind.ARRAY && inner.length === 0 && i === type.members.length - 1
      if (isFlexible && depth === 0 && value !== null && value !== undefined) {
        this.#flexible(inner.elementType, value, at, where, depth + 1)
        continue
      }
      this.write(member.type, value, at, where, depth + 1)
    }
  }

  /** A flexible array: as many elements as `into` has room for. */
  #flexible(elementType: number, value: BtfValueInput, offset: number, path: string, depth: number): void {
    const size = this.btf.sizeOf(elementType)
    const room = Math.max(0, this.#into.length - offset)
    if (value instanceof Uint8Array) {
      if (value.length > room)
        throw new BpfError('truncated', `${path}: ${value.length} bytes, there is room for ${room}`)
      this.#into.set(value, offset)
      return
    }
    this.#array(elementType, size === 0 ? 0 : Math.floor(room / size), value, offset, path, path, depth)
  }

  #bitField(id: number, value: BtfValueInput, bitOffset: number, bits: number, where: string): void {
    const type = this.btf.type(id)
    this.#need(Math.floor(bitOffset / 8), Math.ceil(((bitOffset % 8) + bits) / 8), where)
    let number: bigint
    if (value === null || value === undefined) number = 0n
    else if (type.kind === BtfKind.ENUM || type.kind === BtfKind.ENUM64) number = enumerator(type, value, bits, where)
    else if (type.kind === BtfKind.INT) number = integerOf(value, bits, signOf(type), where)
    else throw new BpfError('type-mismatch', `${where}: a bit-field cannot be a ${kindName(type.kind)}`)
    if (bits > 0) writeBits(this.#into, bitOffset, bits, this.littleEndian, number)
  }

  #section(type: BtfDatasec, given: Members, offset: number, path: string, depth: number): void {
    const left = new Set(Object.keys(given))
    for (const entry of type.vars) {
      if (this.btf.kind(entry.type) !== BtfKind.VAR) continue
      const name = this.btf.name(entry.type)
      if (left.delete(name))
        this.write(entry.type, given[name], offset + entry.offset, memberPath(path, name), depth + 1)
    }
    for (const name of left) throw new BpfError('type-mismatch', `${type.name} has no variable '${name}'`)
  }

  #need(offset: number, size: number, where: string): void {
    if (offset + size > this.#into.length) {
      throw new BpfError('truncated', `${where} needs ${size} bytes at ${offset}, there are ${this.#into.length}`)
    }
  }
}

function mismatch(where: string, value: BtfValueInput, expected: string): BpfError {
  return new BpfError('type-mismatch', `${where}: ${show(value)} is not ${expected}`)
}

function show(value: BtfValueInput): string {
  if (typeof value === 'string') return `'${value}'`
  if (typeof value === 'bigint' || typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (value === null || value === undefined) return 'nothing'
  return Array.isArray(value) || value instanceof Uint8Array ? 'an array' : 'an object'
}

type Sign = 'signed' | 'unsigned' | 'either'

function signOf(type: BtfInt): Sign {
  return type.signed ? 'signed' : 'unsigned'
}

/** A number, bigint, boolean, one character or digits as an integer that fits. */
function integerOf(value: BtfValueInput, bits: number, sign: Sign, where: string): bigint {
  let number: bigint
  if (typeof value === 'bigint') number = value
  else if (typeof value === 'boolean') number = value ? 1n : 0n
  else if (typeof value === 'number' && Number.isInteger(value)) number = BigInt(value)
  else if (typeof value === 'string' && /^-?(0x[0-9a-f]+|\d+)$/i.test(value)) {
    number = value.startsWith('-') ? -BigInt(value.slice(1)) : BigInt(value)
  } else throw mismatch(where, value, `an integer of ${bits} bits`)
  const width = BigInt(bits)
  const min = sign === 'unsigned' ? 0n : -(1n << (width - (bits > 0 ? 1n : 0n)))
  const max = sign === 'signed' ? (1n << (width - (bits > 0 ? 1n : 0n))) - 1n : (1n << width) - 1n
  if (number < min || number > max) {
    throw new BpfError('type-mismatch', `${where}: ${number} is not between ${min} and ${max}`)
  }
  return number
}

function enumerator(type: BtfEnum, value: BtfValueInput, bits: number, where: string): bigint {
  if (typeof value === 'string') {
    const found = type.values.find((entry) => entry.name === value)
    if (found !== undefined) return found.value
    if (!/^-?(0x[0-9a-f]+|\d+)$/i.test(value)) {
      const names = type.values.slice(0, 12).map((entry) => entry.name)
      const more = type.values.length > 12 ? ', …' : ''
      throw new BpfError('type-mismatch', `${where}: '${value}' is not one of ${names.join(', ')}${more}`)
    }
  }
  return integerOf(value, bits, 'either', where)
}

function membersOf(value: BtfValueInput, where: string): Members {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array) {
    throw mismatch(where, value, 'an object')
  }
  return value as Members
}

function memberNames(btf: Btf, type: BtfComposite): string[] {
  return type.members.map((member) => member.name || btf.name(member.type) || '(anonymous)').slice(0, 20)
}

/** A MAC or IPv6 address as bytes, when the array has that many. */
function address(text: string, length: number): Uint8Array | null {
  if (length === 6) return parseMac(text)
  if (length === 16) return parseIpv6(text)
  if (length === 4) {
    const ipv4 = parseIpv4(text)
    return ipv4 === null ? null : Uint8Array.of(ipv4 >>> 24, (ipv4 >>> 16) & 255, (ipv4 >>> 8) & 255, ipv4 & 255)
  }
  return null
}
