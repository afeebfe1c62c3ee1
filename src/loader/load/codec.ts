import {
  compileDecoder,
  plainIntegerMax,
  writeValue,
  type Btf,
  type BtfValueInput,
  type ValueDecoder,
} from '../../btf/index.ts'
import { BpfError, within } from '../../bytes/index.ts'

/** Turns keys or values of a map to bytes and back: by their C type, or as bytes where there is none. */
export class Codec {
  readonly #what: string
  readonly #map: string
  readonly #size: number
  readonly #btf: Btf | null
  readonly #typeId: number
  #decoder: ValueDecoder | null = null
  /** Where single values are read from, so that the decoder sees the same memory each time. */
  readonly #scratch: Uint8Array
  /** Largest number that is written without a look at the type: of little-endian integers; otherwise -1. */
  readonly #plainMost: number

  constructor(what: 'key' | 'value', map: string, size: number, btf: Btf | null, typeId: number) {
    this.#what = `${what} of map ${map}`
    this.#map = map
    this.#size = size
    this.#btf = typeId === 0 ? null : btf
    this.#typeId = typeId
    this.#scratch = new Uint8Array(this.#btf === null ? 0 : size)
    this.#plainMost = this.#btf === null ? -1 : plainIntegerMax(this.#btf, typeId)
  }

  /** Whether values have a C type; otherwise they are bytes. */
  get typed(): boolean {
    return this.#btf !== null
  }

  /**
   * Bytes are taken as they are; everything else goes by the C type. Without a type a number may stand for up to 8
   * bytes.
   * @throws BpfError `type-mismatch`
   */
  encode(value: unknown): Uint8Array {
    if (typeof value === 'number' && value >>> 0 === value && value <= this.#plainMost) {
      const bytes = new Uint8Array(this.#size)
      for (let i = 0, rest = value; rest > 0; i++, rest >>>= 8) bytes[i] = rest
      return bytes
    }
    return within({ map: this.#map }, () => this.#encode(value))
  }

  #encode(value: unknown): Uint8Array {
    if (value instanceof Uint8Array) {
      if (value.length !== this.#size) {
        throw new BpfError('type-mismatch', `${this.#what}: ${value.length} bytes were given, it has ${this.#size}`)
      }
      return value
    }
    const bytes = new Uint8Array(this.#size)
    if (this.#btf !== null) {
      writeValue(this.#btf, this.#typeId, value as BtfValueInput, bytes)
      return bytes
    }
    const isInteger = typeof value === 'bigint' || (typeof value === 'number' && Number.isSafeInteger(value))
    if (!isInteger || this.#size > 8) {
      throw new BpfError('type-mismatch', `${this.#what}: its type is not known, give ${this.#size} bytes`)
    }
    let rest = BigInt(value)
    const bits = BigInt(this.#size * 8)
    if (BigInt.asUintN(Number(bits), rest) !== rest && BigInt.asIntN(Number(bits), rest) !== rest) {
      throw new BpfError('type-mismatch', `${this.#what}: ${rest} does not fit ${this.#size} bytes`)
    }
    for (let i = 0; i < bytes.length; i++, rest >>= 8n) bytes[i] = Number(rest & 0xffn)
    return bytes
  }

  /** A JS value by the C type, the bytes without one. */
  decode(bytes: Uint8Array): unknown {
    if (this.#btf === null) return bytes
    this.#scratch.set(bytes)
    return this.decodeAt(this.#scratch, 0)
  }

  /** As decode(), of the bytes from `offset`; fastest where many values lie in the same array. */
  decodeAt(bytes: Uint8Array, offset: number): unknown {
    if (this.#btf === null) return bytes.slice(offset, offset + this.#size)
    this.#decoder ??= compileDecoder(this.#btf, this.#typeId)
    return this.#decoder(bytes, offset, this.#size)
  }
}
