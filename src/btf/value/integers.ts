import type { PartReader } from './record.ts'

interface IntegerShape {
  /** Bytes. */
  readonly size: number
  readonly signed: boolean
  readonly bool: boolean
}

/** Reader of an integer in the machine's byte order, on a multiple of its size; null for sizes no machine has. */
export function alignedInteger({ size, signed, bool }: IntegerShape, offset: number): PartReader | null {
  switch (size) {
    case 1:
      if (bool) return ({ bytes }, at) => bytes[at + offset] !== 0
      return signed ? ({ i8 }, at) => i8[at + offset] as number : ({ bytes }, at) => bytes[at + offset] as number
    case 2:
      return signed
        ? ({ i16 }, at) => i16[(at + offset) >>> 1] as number
        : ({ u16 }, at) => u16[(at + offset) >>> 1] as number
    case 4:
      return signed
        ? ({ i32 }, at) => i32[(at + offset) >>> 2] as number
        : ({ u32 }, at) => u32[(at + offset) >>> 2] as number
    case 8:
      return signed
        ? ({ i64 }, at) => i64[(at + offset) >>> 3] as bigint
        : ({ u64 }, at) => u64[(at + offset) >>> 3] as bigint
    default:
      return null
  }
}

/** Reader of an integer anywhere, in either byte order; null for sizes no machine has. */
export function viewedInteger(
  { size, signed, bool }: IntegerShape,
  offset: number,
  littleEndian: boolean,
): PartReader | null {
  switch (size) {
    case 1:
      if (bool) return ({ view }, at) => view.getUint8(at + offset) !== 0
      return signed ? ({ view }, at) => view.getInt8(at + offset) : ({ view }, at) => view.getUint8(at + offset)
    case 2:
      return signed
        ? ({ view }, at) => view.getInt16(at + offset, littleEndian)
        : ({ view }, at) => view.getUint16(at + offset, littleEndian)
    case 4:
      return signed
        ? ({ view }, at) => view.getInt32(at + offset, littleEndian)
        : ({ view }, at) => view.getUint32(at + offset, littleEndian)
    case 8:
      return signed
        ? ({ view }, at) => view.getBigInt64(at + offset, littleEndian)
        : ({ view }, at) => view.getBigUint64(at + offset, littleEndian)
    default:
      return null
  }
}
