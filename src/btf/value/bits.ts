/** `size` bytes at `offset` as an unsigned integer of up to 128 bits. The bytes must be there. */
export function readInteger(bytes: Uint8Array, offset: number, size: number, littleEndian: boolean): bigint {
  let value = 0n
  for (let i = 0; i < size; i++) {
    const at = littleEndian ? offset + size - 1 - i : offset + i
    value = (value << 8n) | BigInt(bytes[at] as number)
  }
  return value
}

export function writeInteger(
  bytes: Uint8Array,
  offset: number,
  size: number,
  littleEndian: boolean,
  value: bigint,
): void {
  let rest = BigInt.asUintN(size * 8, value)
  for (let i = 0; i < size; i++) {
    bytes[littleEndian ? offset + i : offset + size - 1 - i] = Number(rest & 0xffn)
    rest >>= 8n
  }
}

/** The bytes that hold a bit-field, and how far it is from their least significant bit. */
export interface BitSpan {
  readonly offset: number
  readonly size: number
  readonly shift: bigint
}

/**
 * Bit-field of `bits` bits at bit `bitOffset`: little-endian counts bits from the least significant one of the first
 * byte, big-endian from the most significant one.
 */
export function bitSpan(bitOffset: number, bits: number, littleEndian: boolean): BitSpan {
  const offset = Math.floor(bitOffset / 8)
  const size = Math.ceil((bitOffset + bits) / 8) - offset
  const before = bitOffset - offset * 8
  return { offset, size, shift: BigInt(littleEndian ? before : size * 8 - before - bits) }
}

export function readBits(bytes: Uint8Array, bitOffset: number, bits: number, littleEndian: boolean): bigint {
  const span = bitSpan(bitOffset, bits, littleEndian)
  return BigInt.asUintN(bits, readInteger(bytes, span.offset, span.size, littleEndian) >> span.shift)
}

export function writeBits(
  bytes: Uint8Array,
  bitOffset: number,
  bits: number,
  littleEndian: boolean,
  value: bigint,
): void {
  const span = bitSpan(bitOffset, bits, littleEndian)
  const mask = ((1n << BigInt(bits)) - 1n) << span.shift
  const old = readInteger(bytes, span.offset, span.size, littleEndian)
  const merged = (old & ~mask) | (BigInt.asUintN(bits, value) << span.shift)
  writeInteger(bytes, span.offset, span.size, littleEndian, merged)
}
