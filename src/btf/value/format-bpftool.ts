import { BpfError, decodeCString } from '../../bytes/index.ts'
import type { Btf } from '../btf.ts'
import { quote, type JsonNode } from '../json-layout.ts'
import { kindName } from '../layout.ts'
import { BtfKind, type BtfArray, type BtfEnum, type BtfInt } from '../types.ts'
import { readBits, readInteger } from './bits.ts'
import { ValueWalk, checkScalar, described, isCharType, type BtfValueOptions } from './types.ts'

/** For {@link bpftoolNode}: `plain` is bpftool's text, not plain its JSON. */
export interface BpftoolFormatOptions extends BtfValueOptions {
  readonly plain: boolean
}

/** A value as bpftool's BTF dumper shows it; see the option `style` of formatValue. */
export function bpftoolNode(btf: Btf, typeId: number, bytes: Uint8Array, options: BpftoolFormatOptions): JsonNode {
  return new BpftoolFormatter(btf, bytes, options).node(typeId, 0, '', 0)
}

const SPACE = 0x20
const DELETE = 0x7f

class BpftoolFormatter extends ValueWalk {
  readonly #bytes: Uint8Array
  readonly #plain: boolean

  constructor(btf: Btf, bytes: Uint8Array, options: BpftoolFormatOptions) {
    super(btf, options)
    this.#bytes = bytes
    this.#plain = options.plain
  }

  /** @param bit position in bits from the start */
  node(typeId: number, bit: number, path: string, depth: number): JsonNode {
    this.step(path, depth)
    const { btf } = this
    const type = btf.type(typeId)
    const offset = Math.floor(bit / 8)
    switch (type.kind) {
      case BtfKind.INT:
        checkScalar(type, path)
        return this.#int(type, bit, path)
      case BtfKind.STRUCT:
      case BtfKind.UNION:
        return {
          fields: type.members.map((member) => {
            const at = bit + member.bitOffset
            const value =
              member.bitSize > 0
                ? this.#bits(at, member.bitSize, member.name)
                : this.node(member.type, at, member.name, depth + 1)
            return [member.name, value] as const
          }),
        }
      case BtfKind.ARRAY:
        return this.#array(type, offset, path, depth)
      case BtfKind.ENUM:
      case BtfKind.ENUM64:
        checkScalar(type, path)
        return this.#enum(type, offset, path)
      case BtfKind.PTR: {
        const value = this.#integer(offset, btf.pointerSize, path)
        if (!this.#plain) return String(value)
        return value === 0n ? '"(nil)"' : `"0x${value.toString(16)}"`
      }
      case BtfKind.TYPEDEF:
      case BtfKind.VOLATILE:
      case BtfKind.CONST:
      case BtfKind.RESTRICT:
      case BtfKind.TYPE_TAG:
        return this.node(type.type, bit, path, depth + 1)
      case BtfKind.VAR:
        return { fields: [[type.name, this.node(type.type, bit, type.name, depth + 1)]] }
      case BtfKind.DATASEC: {
        const items = type.vars.map((entry) => this.node(entry.type, bit + entry.offset * 8, path, depth + 1))
        return { fields: [[type.name, { items }]] }
      }
      case BtfKind.VOID:
        return '(unknown)'
      case BtfKind.FWD:
      case BtfKind.FUNC:
      case BtfKind.FUNC_PROTO:
      case BtfKind.FLOAT:
      case BtfKind.DECL_TAG:
      default:
        throw new BpfError('type-mismatch', `${described(path, btf, typeId)} is a ${kindName(type.kind)}: no value`)
    }
  }

  #int(type: BtfInt, bit: number, path: string): JsonNode {
    const { bits } = type
    if (bit % 8 !== 0 || type.bitOffset !== 0 || bits % 8 !== 0) return this.#bits(bit + type.bitOffset, bits, path)
    const offset = bit / 8
    if (bits === 128) return this.#hex(this.#integer(offset, 16, path))
    if (type.bool) return String(this.#integer(offset, 1, path) !== 0n)
    if (type.char) return this.#character(Number(this.#integer(offset, 1, path)))
    if (bits !== 8 && bits !== 16 && bits !== 32 && bits !== 64) return this.#bits(bit, bits, path)
    const raw = this.#integer(offset, bits / 8, path)
    return String(type.signed ? BigInt.asIntN(bits, raw) : raw)
  }

  #character(code: number): JsonNode {
    if (code >= SPACE && code < DELETE) return `"${String.fromCharCode(code)}"`
    const hex = code.toString(16)
    return this.#plain ? `0x${hex}` : `"\\u00${hex.padStart(2, '0')}"`
  }

  #array(type: BtfArray, offset: number, path: string, depth: number): JsonNode {
    const { btf } = this
    if (this.#isText(type, offset)) return quote(decodeCString(this.#bytes.subarray(offset, offset + type.length)))
    const size = btf.sizeOf(type.elementType)
    this.#need(offset, size * type.length, path)
    const items: JsonNode[] = []
    for (let i = 0; i < type.length; i++) {
      items.push(this.node(type.elementType, (offset + i * size) * 8, `${path}[${i}]`, depth + 1))
    }
    return { items }
  }

  /** Printable characters and a zero, in an array of char that is no typedef. */
  #isText(type: BtfArray, offset: number): boolean {
    const element = this.btf.skipModifiers(type.elementType)
    if (this.btf.kind(element) !== BtfKind.INT || !isCharType(this.btf, element)) return false
    for (let i = 0; i < type.length && offset + i < this.#bytes.length; i++) {
      const c = this.#bytes[offset + i] as number
      if (c === 0) return true
      if (c < SPACE || c >= DELETE) return false
    }
    return false
  }

  #enum(type: BtfEnum, offset: number, path: string): JsonNode {
    const bits = type.size * 8
    const value = BigInt.asIntN(bits, this.#integer(offset, type.size, path))
    const found = type.values.find(
      (entry) => BigInt.asIntN(type.kind === BtfKind.ENUM ? 32 : 64, entry.value) === value,
    )
    return found === undefined ? String(value) : quote(found.name)
  }

  #bits(bit: number, bits: number, path: string): JsonNode {
    this.#need(Math.floor(bit / 8), Math.ceil(((bit % 8) + bits) / 8), path)
    return this.#hex(readBits(this.#bytes, bit, bits, this.littleEndian))
  }

  #hex(value: bigint): JsonNode {
    const text = `0x${value.toString(16)}`
    return this.#plain ? text : `"${text}"`
  }

  #integer(offset: number, size: number, path: string): bigint {
    this.#need(offset, size, path)
    return readInteger(this.#bytes, offset, size, this.littleEndian)
  }

  #need(offset: number, size: number, path: string): void {
    if (offset + size > this.#bytes.length) {
      throw new BpfError(
        'truncated',
        `${path || 'value'} has ${size} bytes at ${offset}, but there are only ${this.#bytes.length}`,
      )
    }
  }
}
