import { encodeUtf8 } from '../bytes/index.ts'
import { ATTR, ATTR_SIZE, STRUCT, STRUCT_SIZE } from '../uapi/index.ts'
import type { Pointer } from './binding.ts'

interface FieldLayout {
  readonly offset: number
  readonly size: number
}
type Layout = Readonly<Record<string, FieldLayout>>

/** Part of union bpf_attr, as the tables of elfbee/uapi name them. */
export type AttrPart = keyof typeof ATTR

/**
 * Value of a field: a number or bigint for scalars; text or bytes that a 64-bit field points to (text gets its
 * terminating zero), or that an inline array such as `map_name` holds.
 */
export type AttrValue = number | bigint | string | Uint8Array

/** Values by field name; undefined leaves a field zero. */
export type AttrFields<P extends AttrPart> = { readonly [F in keyof (typeof ATTR)[P]]?: AttrValue | undefined }

/** The bytes of one attribute, by field name, with the buffers that it points to. Kernel byte order is little-endian. */
export class Attr<P extends AttrPart> {
  readonly bytes: Uint8Array
  readonly pointers: Pointer[] = []
  readonly #view: DataView
  readonly #layout: Layout

  /** `nested` has the pointers to write into the buffers of fields that point to structures with pointers. */
  constructor(part: P, fields: AttrFields<P>, nested: Readonly<Record<string, readonly Pointer[]>> = {}) {
    // Zeros behind the last field are allowed on every kernel, and 8 bytes keep the smallest parts pointer-safe.
    this.bytes = new Uint8Array((ATTR_SIZE[part] + 7) & ~7)
    this.#view = new DataView(this.bytes.buffer)
    this.#layout = ATTR[part]
    for (const [name, value] of Object.entries(fields) as [string, AttrValue | undefined][]) {
      if (value !== undefined) this.#set(name, value, nested[name])
    }
  }

  /** A 32-bit field, as the kernel left it. */
  u32(field: keyof (typeof ATTR)[P] & string): number {
    return this.#view.getUint32(this.#field(field).offset, true)
  }

  #set(name: string, value: AttrValue, nested: readonly Pointer[] | undefined): void {
    const field = this.#field(name)
    if (typeof value === 'object' || typeof value === 'string') {
      const bytes = typeof value === 'string' ? cstring(value) : value
      if (field.size === 8) this.pointers.push(nested ? [field.offset, bytes, nested] : [field.offset, bytes])
      else this.bytes.set(bytes.subarray(0, field.size), field.offset)
    } else if (field.size === 8) {
      this.#view.setBigUint64(field.offset, BigInt.asUintN(64, BigInt(value)), true)
    } else {
      this.#view.setUint32(field.offset, Number(value) >>> 0, true)
    }
  }

  #field(name: string): FieldLayout {
    return this.#layout[name] as FieldLayout
  }
}

/** Text as a zero-terminated C string. */
export function cstring(text: string): Uint8Array {
  const bytes = encodeUtf8(text)
  const terminated = new Uint8Array(bytes.length + 1)
  terminated.set(bytes)
  return terminated
}

/** A structure of the kernel's BPF interface (bpf_prog_info, bpf_map_info, …), read by field name. */
export class StructView<S extends keyof typeof STRUCT> {
  readonly bytes: Uint8Array
  readonly #view: DataView
  readonly #layout: Layout

  constructor(name: S, bytes: Uint8Array = new Uint8Array(STRUCT_SIZE[name])) {
    this.bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#layout = STRUCT[name]
  }

  offset(field: keyof (typeof STRUCT)[S] & string): number {
    return this.#field(field).offset
  }

  u32(field: keyof (typeof STRUCT)[S] & string): number {
    return this.#view.getUint32(this.#field(field).offset, true)
  }

  u64(field: keyof (typeof STRUCT)[S] & string): bigint {
    return this.#view.getBigUint64(this.#field(field).offset, true)
  }

  setU32(field: keyof (typeof STRUCT)[S] & string, value: number): void {
    this.#view.setUint32(this.#field(field).offset, value, true)
  }

  slice(field: keyof (typeof STRUCT)[S] & string): Uint8Array {
    const { offset, size } = this.#field(field)
    return this.bytes.slice(offset, offset + size)
  }

  #field(name: string): FieldLayout {
    return this.#layout[name] as FieldLayout
  }
}
