import { BpfError } from '../errors.ts'
import { decodeUtf8 } from './utf8.ts'

/** How to make a {@link Reader}. */
export interface ReaderOptions {
  /** What the bytes are, for messages ("ELF header", ".BTF"). */
  readonly name?: string
  /** Byte order of multi-byte fields; little-endian unless said otherwise. */
  readonly littleEndian?: boolean
  /** Offset of the first byte in the file, so that errors carry absolute offsets. */
  readonly baseOffset?: number
}

/** A cursor over bytes. Every access is bounds-checked; errors are `truncated` with the absolute offset. */
export class Reader {
  readonly bytes: Uint8Array
  readonly name: string
  readonly littleEndian: boolean
  readonly baseOffset: number
  /** Next byte to read, relative to the first byte of this reader. */
  pos = 0
  readonly #view: DataView

  constructor(bytes: Uint8Array, options: ReaderOptions = {}) {
    this.bytes = bytes
    this.name = options.name ?? 'input'
    this.littleEndian = options.littleEndian ?? true
    this.baseOffset = options.baseOffset ?? 0
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** Number of bytes in all. */
  get length(): number {
    return this.bytes.length
  }

  /** Bytes left after the cursor. */
  get remaining(): number {
    return this.bytes.length - this.pos
  }

  /** Absolute offset of the cursor in the file. */
  get offset(): number {
    return this.baseOffset + this.pos
  }

  /** Moves the cursor; the end itself is allowed. */
  seek(pos: number): this {
    if (!Number.isInteger(pos) || pos < 0 || pos > this.bytes.length) {
      throw new BpfError('truncated', `${this.name}: offset ${pos} is outside its ${this.bytes.length} bytes`, {
        where: { offset: this.baseOffset + Math.max(0, pos) },
      })
    }
    this.pos = pos
    return this
  }

  skip(count: number): this {
    this.#take(count)
    return this
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1))
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), this.littleEndian)
  }

  s16(): number {
    return this.#view.getInt16(this.#take(2), this.littleEndian)
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), this.littleEndian)
  }

  s32(): number {
    return this.#view.getInt32(this.#take(4), this.littleEndian)
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), this.littleEndian)
  }

  s64(): bigint {
    return this.#view.getBigInt64(this.#take(8), this.littleEndian)
  }

  /**
   * A 64-bit offset or size as a number.
   * @throws BpfError `malformed` when it is above 2^53 and can be no offset in any file
   */
  size64(what: string): number {
    const at = this.offset
    const value = this.u64()
    if (value > 0x1f_ffff_ffff_ffffn) {
      throw new BpfError('malformed', `${this.name}: ${what} 0x${value.toString(16)} is absurd`, {
        where: { offset: at },
      })
    }
    return Number(value)
  }

  /** The next `count` bytes as a view (not a copy). */
  take(count: number): Uint8Array {
    const start = this.#take(count)
    return this.bytes.subarray(start, start + count)
  }

  /** A reader over `length` bytes at `start`, that keeps absolute offsets. The cursor stays. */
  sub(start: number, length: number, name: string = this.name): Reader {
    if (!(start >= 0 && length >= 0 && start + length <= this.bytes.length)) {
      throw new BpfError(
        'truncated',
        `${name}: bytes ${start} to ${start + length} are outside ${this.name}, which has ${this.bytes.length}`,
        { where: { offset: this.baseOffset + Math.max(0, start) } },
      )
    }
    return new Reader(this.bytes.subarray(start, start + length), {
      name,
      littleEndian: this.littleEndian,
      baseOffset: this.baseOffset + start,
    })
  }

  /** The zero-terminated text at `start`; the cursor stays. */
  cstringAt(start: number): string {
    if (!(start >= 0 && start < this.bytes.length)) {
      throw new BpfError(
        'truncated',
        `${this.name}: string offset ${start} is outside its ${this.bytes.length} bytes`,
        {
          where: { offset: this.baseOffset },
        },
      )
    }
    const end = this.bytes.indexOf(0, start)
    if (end < 0) {
      throw new BpfError('malformed', `${this.name}: the string at ${start} has no terminating zero`, {
        where: { offset: this.baseOffset + start },
      })
    }
    return decodeUtf8(this.bytes.subarray(start, end))
  }

  #take(count: number): number {
    const start = this.pos
    if (!(count >= 0 && count <= this.bytes.length - start)) {
      throw new BpfError(
        'truncated',
        `${this.name}: ${count} bytes wanted at ${start}, ${this.bytes.length - start} are left`,
        { where: { offset: this.baseOffset + start } },
      )
    }
    this.pos = start + count
    return start
  }
}
