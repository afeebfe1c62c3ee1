import { BtfKind, type Btf, type BtfArray, type BtfComposite, type BtfInt } from '../../btf/index.ts'
import type { LinearMemory } from './memory.ts'

/** Flags of bpf_snprintf_btf (BTF_F_*). */
export const ShowFlag = { COMPACT: 1, NONAME: 2, PTR_RAW: 4, ZERO: 8 } as const
const MAX_DEPTH = 32
/** Longest text; helpers cut it further. */
const MAX_TEXT = 1 << 20

/** Kinds that the name of a type leaves out. */
const QUALIFIERS: ReadonlySet<number> = new Set<number>([
  BtfKind.CONST,
  BtfKind.VOLATILE,
  BtfKind.RESTRICT,
  BtfKind.TYPE_TAG,
])

/** Shows the value of a kernel type at an address as bpf_snprintf_btf does (btf_type_show in kernel/bpf/btf.c). */
export function showType(btf: Btf, memory: LinearMemory, typeId: number, address: number, flags: number): string {
  const show = new Show(btf, memory, flags)
  show.value(typeId, address, 0, true)
  return show.text
}

class Show {
  text = ''
  readonly #btf: Btf
  readonly #memory: LinearMemory
  readonly #compact: boolean
  readonly #names: boolean
  readonly #zeros: boolean

  constructor(btf: Btf, memory: LinearMemory, flags: number) {
    this.#btf = btf
    this.#memory = memory
    this.#compact = (flags & ShowFlag.COMPACT) !== 0
    this.#names = (flags & ShowFlag.NONAME) === 0
    this.#zeros = (flags & ShowFlag.ZERO) !== 0
  }

  /** `typed`: the type stands before it, as it does not before elements of arrays. */
  value(typeId: number, at: number, depth: number, typed: boolean): void {
    if (depth > MAX_DEPTH || this.text.length > MAX_TEXT) return
    const resolved = this.#btf.skipModifiersAndTypedefs(typeId)
    const type = this.#btf.type(resolved)
    const prefix = typed && this.#names ? `(${this.#nameOf(typeId)})` : ''
    this.text += prefix
    if (type.kind === BtfKind.STRUCT || type.kind === BtfKind.UNION) this.#struct(type, at, depth)
    else if (type.kind === BtfKind.ARRAY) this.#array(type, at, depth)
    else if (type.kind === BtfKind.INT) this.text += this.#int(type, at)
    else if (type.kind === BtfKind.PTR) this.text += `0x${this.#memory.u64(at).toString(16).padStart(16, '0')}`
    else if (type.kind === BtfKind.ENUM || type.kind === BtfKind.ENUM64) {
      const value = this.#integer(at, type.size, type.signed)
      this.text += type.values.find((each) => each.value === value)?.name ?? String(value)
    } else this.text += '?'
  }

  #struct(type: BtfComposite, at: number, depth: number): void {
    this.text += '{'
    let shown = 0
    for (const member of type.members) {
      const offset = at + Math.floor(member.bitOffset / 8)
      const bits = member.bitSize
      if (!this.#zeros && this.#isZero(member.type, offset, bits, member.bitOffset % 8)) continue
      shown++
      this.#line(depth + 1)
      if (this.#names && member.name !== '') this.text += `.${member.name} = `
      if (bits === 0) this.value(member.type, offset, depth + 1, true)
      else {
        if (this.#names) this.text += `(${this.#nameOf(member.type)})`
        this.text += `0x${this.#bits(offset, member.bitOffset % 8, bits).toString(16)}`
      }
      this.text += ','
    }
    if (shown > 0) this.#line(depth)
    this.text += '}'
  }

  #array(type: BtfArray, at: number, depth: number): void {
    const size = this.#btf.sizeOf(type.elementType)
    const element = this.#btf.type(this.#btf.skipModifiersAndTypedefs(type.elementType))
    const isText = element.kind === BtfKind.INT && size === 1 && element.name.endsWith('char')
    this.text += '['
    let shown = 0
    for (let i = 0; i < type.length && this.text.length < MAX_TEXT; i++) {
      const here = at + i * size
      const zero = this.#isZero(type.elementType, here, 0, 0)
      // Text ends at its zero byte.
      if (isText && zero) break
      if (zero && !this.#zeros) continue
      shown++
      this.#line(depth + 1)
      const byte = this.#memory.u8[here] as number
      if (isText && byte >= 32 && byte < 127) this.text += `'${String.fromCharCode(byte)}'`
      else this.value(type.elementType, here, depth + 1, false)
      this.text += ','
    }
    if (shown > 0) this.#line(depth)
    this.text += ']'
  }

  #int(type: BtfInt, at: number): string {
    if (type.bool) return this.#memory.u8[at] === 0 ? 'false' : 'true'
    if (type.size > 8) {
      const bytes = this.#memory.read(at, type.size).toReversed()
      return `0x${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')}`
    }
    return String(this.#integer(at, type.size, type.signed))
  }

  #integer(at: number, size: number, signed: boolean): bigint {
    const value = this.#bits(at, 0, size * 8)
    return signed ? BigInt.asIntN(size * 8, value) : value
  }

  #bits(at: number, shift: number, bits: number): bigint {
    let value = 0n
    for (let i = Math.ceil((shift + bits) / 8) - 1; i >= 0; i--) {
      value = (value << 8n) | BigInt(this.#memory.u8[at + i] as number)
    }
    return BigInt.asUintN(bits, value >> BigInt(shift))
  }

  #isZero(typeId: number, at: number, bits: number, shift: number): boolean {
    if (bits !== 0) return this.#bits(at, shift, bits) === 0n
    const type = this.#btf.type(this.#btf.skipModifiersAndTypedefs(typeId))
    const size = this.#btf.sizeOf(typeId)
    if (type.kind === BtfKind.ARRAY && this.#btf.sizeOf(type.elementType) === 1) {
      // Text that starts with its end is empty.
      const element = this.#btf.type(this.#btf.skipModifiersAndTypedefs(type.elementType))
      if (element.kind === BtfKind.INT && element.name.endsWith('char')) return this.#memory.u8[at] === 0
    }
    return this.#memory.u8.subarray(at, at + size).every((byte) => byte === 0)
  }

  #line(depth: number): void {
    if (!this.#compact) this.text += `\n${'\t'.repeat(depth)}`
  }

  #nameOf(typeId: number): string {
    const type = this.#btf.type(typeId)
    const named = 'name' in type ? type.name : ''
    if (type.kind === BtfKind.STRUCT || type.kind === BtfKind.UNION) {
      return `${type.kind === BtfKind.STRUCT ? 'struct' : 'union'}${named === '' ? '' : ` ${named}`}`
    }
    if (type.kind === BtfKind.ENUM || type.kind === BtfKind.ENUM64) return `enum ${named}`
    if (type.kind === BtfKind.ARRAY) return `${this.#nameOf(type.elementType)}[]`
    if (type.kind === BtfKind.PTR) {
      const target = type.type === 0 ? 'void' : this.#nameOf(type.type)
      return target.endsWith('*') ? `${target}*` : `${target} *`
    }
    if (QUALIFIERS.has(type.kind) && 'type' in type) return type.type === 0 ? 'void' : this.#nameOf(type.type)
    return named
  }
}
