import { BtfKind } from '../types.ts'
import type { CheckContext } from './context.ts'

const ENUM_BITS = 32
const MAX_COPY_BITS = 128
const POINTER_SIZE = 8

/** Answers which type with a size another stands for. */
interface Sizes {
  sized(id: number): { readonly id: number; readonly size: number } | null
}

/** Checks that member `index` of struct `id` lies inside of it and as its type wants. */
export function checkMember(context: CheckContext, sizes: Sizes, id: number, index: number): void {
  const { btf } = context
  const declared = btf.word(id, 4 + index * 3)
  const raw = btf.word(id, 5 + index * 3)
  const kindFlag = context.kindFlag(id)
  const bits = kindFlag ? raw >>> 24 : 0
  const offset = kindFlag ? raw & 0xff_ffff : raw
  const structSize = btf.word(id, 2)
  const fail: (message: string) => never = (message) => context.fail(id, `member ${index} ${message}`)
  const sized = context.isModifier(declared) ? sizes.sized(declared) : null
  if (context.isModifier(declared) && sized === null) fail('has no size')
  const type = sized === null ? declared : sized.id
  const kind = context.kind(type)
  const start = Math.floor(offset / 8)

  if (kind === BtfKind.INT) {
    checkIntMember(context, type, kindFlag, offset, bits, structSize, fail)
    return
  }
  if (kindFlag && (kind === BtfKind.ENUM || kind === BtfKind.ENUM64)) {
    if (bits === 0 && offset % 8 !== 0) fail(`at bit ${offset} does not start at a byte`)
    if (bits > ENUM_BITS) fail(`is a bit-field of ${bits} bits, at most ${ENUM_BITS} for an enum`)
    if (Math.ceil((offset + (bits || ENUM_BITS)) / 8) > structSize) fail(`ends outside of ${structSize} bytes`)
    return
  }
  if (bits > 0) fail('is a bit-field, but no integer or enum')
  switch (kind) {
    case BtfKind.PTR:
    case BtfKind.ARRAY:
    case BtfKind.STRUCT:
    case BtfKind.UNION:
    case BtfKind.ENUM:
    case BtfKind.ENUM64: {
      if (offset % 8 !== 0) fail(`at bit ${offset} does not start at a byte`)
      const size = kind === BtfKind.PTR ? POINTER_SIZE : (sizes.sized(type)?.size ?? 0)
      if (structSize - start < size) fail(`of ${size} bytes ends outside of ${structSize} bytes`)
      return
    }
    case BtfKind.FLOAT: {
      const size = btf.word(type, 2)
      if (offset % (Math.min(POINTER_SIZE, size) * 8) !== 0) fail(`at bit ${offset} is not aligned`)
      if (start + size > structSize) fail(`ends outside of ${structSize} bytes`)
      return
    }
    default:
      fail(`cannot have type ${type}`)
  }
}

function checkIntMember(
  context: CheckContext,
  type: number,
  kindFlag: boolean,
  offset: number,
  bitSize: number,
  structSize: number,
  fail: (message: string) => never,
): void {
  const data = context.btf.word(type, 3)
  const intBits = data & 0xff
  let start = offset
  let bits = intBits
  if (kindFlag) {
    if (!context.isRegularInt(type)) fail('is an integer that does not fill its bytes')
    if (bitSize === 0 && offset % 8 !== 0) fail(`at bit ${offset} does not start at a byte`)
    if (bitSize > intBits) fail(`is a bit-field of ${bitSize} bits of an integer of ${intBits}`)
    if (bitSize > 0) bits = bitSize
  } else {
    start += (data >>> 16) & 0xff
    if (start > 0xffff_ffff) fail('starts beyond 4 Gi bits')
  }
  const copied = bits + (start % 8)
  if (copied > MAX_COPY_BITS) fail(`spans ${copied} bits, at most ${MAX_COPY_BITS}`)
  if (Math.floor(start / 8) + Math.ceil(copied / 8) > structSize) fail(`ends outside of ${structSize} bytes`)
}
