import { BpfError, Writer, encodeUtf8 } from '../bytes/index.ts'
import { Btf } from './btf.ts'
import {
  BTF_HEADER_SIZE,
  BTF_MAGIC,
  BTF_MAX_VLEN,
  BTF_VERSION,
  INT_BOOL,
  INT_CHAR,
  INT_SIGNED,
  kindName,
} from './layout.ts'
import { BtfKind, type BtfType } from './types.ts'

type Loose<T> = T extends BtfType
  ? Omit<T, 'id' | 'name' | 'kindFlag'> & { readonly name?: string; readonly kindFlag?: boolean }
  : never

/**
 * A type to add: a decoded one without its id. The name may be left out when there is none, and the kind flag of
 * structs, which follows from their bit-fields.
 */
export type BtfTypeSpec = Loose<BtfType>

/** How {@link BtfBuilder} writes. */
export interface BtfBuilderOptions {
  /** Ids and strings go on after this BTF's. */
  readonly base?: Btf
  /** Byte order; little-endian unless said otherwise. */
  readonly littleEndian?: boolean
}

/** Makes BTF: types are added one by one and may refer to ids that come later. Equal strings are stored once. */
export class BtfBuilder {
  readonly base: Btf | null
  readonly littleEndian: boolean
  /** Id of the first own type. */
  readonly firstId: number
  readonly #types: BtfTypeSpec[] = []
  readonly #strings = new Map<string, number>()
  readonly #stringBytes: Uint8Array[] = []
  #stringsLength: number
  readonly #firstStringOffset: number

  constructor(options: BtfBuilderOptions = {}) {
    const base = options.base ?? null
    this.base = base
    this.littleEndian = options.littleEndian ?? base?.littleEndian ?? true
    this.firstId = base === null ? 1 : base.typeCount
    this.#firstStringOffset = base === null ? 0 : base.firstStringOffset + base.strings.length
    this.#stringsLength = 0
    if (base === null) this.addString('')
  }

  /** A builder with all own types of `btf` under the same ids, for changing or adding to it. */
  static from(btf: Btf): BtfBuilder {
    const builder = new BtfBuilder({
      littleEndian: btf.littleEndian,
      ...(btf.base === null ? {} : { base: btf.base }),
    })
    for (const type of btf.types()) builder.add(type)
    return builder
  }

  /** Number of ids, void and the base's included; the id that the next type gets. */
  get typeCount(): number {
    return this.firstId + this.#types.length
  }

  /** Adds an integer of `size` bytes that is no character and no truth value. @returns its id */
  addInt(name: string, size: number, signed: boolean): number {
    return this.add({ kind: BtfKind.INT, name, size, bits: size * 8, bitOffset: 0, signed, char: false, bool: false })
  }

  /** Adds a type. @returns its id */
  add(type: BtfTypeSpec): number {
    return this.firstId + this.#types.push(type) - 1
  }

  /** Puts another type in the place of an own one. @throws BpfError `not-found` */
  replace(id: number, type: BtfTypeSpec): void {
    this.get(id)
    this.#types[id - this.firstId] = type
  }

  /** An own type as it was added. @throws BpfError `not-found` */
  get(id: number): BtfTypeSpec {
    const type = this.#types[id - this.firstId]
    if (type === undefined) throw new BpfError('not-found', `type id ${id} is not one of the builder's own`)
    return type
  }

  /** Stores a text once. @returns its string offset, 0 for the empty one */
  addString(text: string): number {
    if (text === '' && this.#firstStringOffset > 0) return 0
    const known = this.#strings.get(text)
    if (known !== undefined) return known
    if (text.includes('\0')) throw new BpfError('usage', `a BTF string cannot have a zero character: '${text}'`)
    const bytes = encodeUtf8(text)
    const offset = this.#firstStringOffset + this.#stringsLength
    this.#stringBytes.push(bytes)
    this.#stringsLength += bytes.length + 1
    this.#strings.set(text, offset)
    return offset
  }

  /** The blob. @throws BpfError `usage` for fields that have no room in the format */
  build(): Uint8Array {
    const types = new Writer(this.littleEndian, 4096)
    for (let i = 0; i < this.#types.length; i++) {
      this.#encode(types, this.#types[i] as BtfTypeSpec, this.firstId + i)
    }
    const out = new Writer(this.littleEndian, BTF_HEADER_SIZE + types.length + this.#stringsLength)
    out.u16(BTF_MAGIC).u8(BTF_VERSION).u8(0).u32(BTF_HEADER_SIZE)
    out.u32(0).u32(types.length).u32(types.length).u32(this.#stringsLength)
    out.write(types.bytes())
    for (const bytes of this.#stringBytes) out.write(bytes).u8(0)
    return out.bytes()
  }

  /** The built BTF, parsed: which checks ids. */
  toBtf(): Btf {
    return Btf.parse(this.build(), this.base === null ? {} : { base: this.base })
  }

  #encode(out: Writer, type: BtfTypeSpec, id: number): void {
    const where = `${kindName(type.kind)} [${id}] ${type.name ?? ''}`
    const head = (vlen: number, kindFlag: boolean, third: number): void => {
      if (vlen > BTF_MAX_VLEN) throw new BpfError('usage', `${where}: ${vlen} entries, at most ${BTF_MAX_VLEN} fit`)
      out.u32(this.addString(type.name ?? ''))
      out.u32(((kindFlag ? 0x8000_0000 : 0) | (type.kind << 24) | vlen) >>> 0).u32(u32(third, where))
    }
    switch (type.kind) {
      case BtfKind.VOID:
        throw new BpfError('usage', 'void is type 0 of every BTF and cannot be added')
      case BtfKind.INT: {
        const encoding = (type.signed ? INT_SIGNED : 0) | (type.char ? INT_CHAR : 0) | (type.bool ? INT_BOOL : 0)
        head(0, false, type.size)
        out.u32((encoding << 24) | (u8(type.bitOffset, where) << 16) | u8(type.bits, where))
        return
      }
      case BtfKind.PTR:
      case BtfKind.TYPEDEF:
      case BtfKind.VOLATILE:
      case BtfKind.CONST:
      case BtfKind.RESTRICT:
      case BtfKind.TYPE_TAG:
        head(0, type.kindFlag ?? false, type.type)
        return
      case BtfKind.ARRAY:
        head(0, false, 0)
        out.u32(u32(type.elementType, where)).u32(u32(type.indexType, where)).u32(u32(type.length, where))
        return
      case BtfKind.STRUCT:
      case BtfKind.UNION: {
        const kindFlag = type.kindFlag ?? type.members.some((member) => member.bitSize > 0)
        head(type.members.length, kindFlag, type.size)
        for (const member of type.members) {
          const fits = kindFlag ? member.bitOffset <= 0xff_ffff && member.bitSize <= 0xff : member.bitSize === 0
          if (!fits) {
            throw new BpfError(
              'usage',
              `${where}: member ${member.name} at bit ${member.bitOffset} with ${member.bitSize} bits has no room`,
            )
          }
          out.u32(this.addString(member.name)).u32(u32(member.type, where))
          out.u32(kindFlag ? ((member.bitSize << 24) | member.bitOffset) >>> 0 : u32(member.bitOffset, where))
        }
        return
      }
      case BtfKind.ENUM:
        head(type.values.length, type.signed, type.size)
        for (const { name, value } of type.values) {
          if (value < -0x8000_0000n || value > 0xffff_ffffn) {
            throw new BpfError('usage', `${where}: value ${value} of ${name} needs an enum64`)
          }
          out.u32(this.addString(name)).u32(Number(BigInt.asUintN(32, value)))
        }
        return
      case BtfKind.ENUM64:
        head(type.values.length, type.signed, type.size)
        for (const { name, value } of type.values) {
          const bits = BigInt.asUintN(64, value)
          out
            .u32(this.addString(name))
            .u32(Number(bits & 0xffff_ffffn))
            .u32(Number(bits >> 32n))
        }
        return
      case BtfKind.FWD:
        head(0, type.union, 0)
        return
      case BtfKind.FUNC:
        head(type.linkage, false, type.type)
        return
      case BtfKind.FUNC_PROTO:
        head(type.params.length, false, type.returnType)
        for (const param of type.params) out.u32(this.addString(param.name)).u32(u32(param.type, where))
        return
      case BtfKind.VAR:
        head(0, false, type.type)
        out.u32(type.linkage)
        return
      case BtfKind.DATASEC:
        head(type.vars.length, false, type.size)
        for (const variable of type.vars) {
          out.u32(u32(variable.type, where)).u32(u32(variable.offset, where)).u32(u32(variable.size, where))
        }
        return
      case BtfKind.FLOAT:
        head(0, false, type.size)
        return
      case BtfKind.DECL_TAG:
        head(0, type.kindFlag ?? false, type.type)
        out.u32(type.componentIndex >>> 0)
        return
    }
  }
}

function u32(value: number, where: string): number {
  if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff) {
    throw new BpfError('usage', `${where}: ${value} is not an unsigned 32-bit number`)
  }
  return value
}

function u8(value: number, where: string): number {
  if (!Number.isInteger(value) || value < 0 || value > 0xff) {
    throw new BpfError('usage', `${where}: ${value} is not between 0 and 255`)
  }
  return value
}
