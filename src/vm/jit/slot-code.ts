import type { AccessSize } from '../../isa/index.ts'
import type { FrameSlot } from './slots.ts'
import { Op, type CodeSink } from './wasm/index.ts'

/** The low bits of that many bytes, as i32 (for 4 bytes and less). */
const maskOf = (size: number): number => (size >= 4 ? -1 : (1 << (size * 8)) - 1)

const EXTENDS: Record<AccessSize, Op | null> = {
  1: Op.i64_extend8_s,
  2: Op.i64_extend16_s,
  4: Op.i64_extend32_s,
  8: null,
}

/** Pushes, as i64, what `size` bytes at `offset` (from the frame's bottom) of a slot hold. */
export function loadSlot(code: CodeSink, slot: FrameSlot, offset: number, size: AccessSize, signed: boolean): void {
  const shift = (offset - slot.base) * 8
  const isWhole = shift + size * 8 === slot.size * 8
  code.get(slot.local)
  if (slot.size <= 4) {
    if (shift > 0) shiftRight32(code, shift)
    if (!isWhole && !signed) and32(code, maskOf(size))
    code.op(Op.i64_extend_i32_u)
  } else {
    if (shift > 0) {
      code.i64(shift)
      code.op(Op.i64_shr_u)
    }
    if (!isWhole && !signed) {
      code.i64Halves(maskOf(size), 0)
      code.op(Op.i64_and)
    }
  }
  const extend = EXTENDS[size]
  if (signed && extend !== null) code.op(extend)
}

/** Puts the low `size` bytes of a value, which `push` pushes as i64 and `push32` as i32, at `offset` (from the frame's bottom) of a slot. */
export function storeSlot(
  code: CodeSink,
  slot: FrameSlot,
  offset: number,
  size: AccessSize,
  push: () => void,
  push32: () => void,
): void {
  const shift = (offset - slot.base) * 8
  if (slot.size <= 4) {
    push32()
    if (size < 4) and32(code, maskOf(size))
    if (shift > 0) {
      code.i32(shift)
      code.op(Op.i32_shl)
    }
    if (size < slot.size) {
      code.get(slot.local)
      and32(code, ~(maskOf(size) << shift))
      code.op(Op.i32_or)
    }
  } else {
    push()
    if (size < 8) {
      code.i64Halves(maskOf(size), 0)
      code.op(Op.i64_and)
    }
    if (shift > 0) {
      code.i64(shift)
      code.op(Op.i64_shl)
    }
    if (size < slot.size) {
      const mask = ~(BigInt(maskOf(size) >>> 0) << BigInt(shift))
      code.get(slot.local)
      code.i64Halves(Number(BigInt.asIntN(32, mask)), Number(BigInt.asIntN(32, mask >> 32n)))
      code.op(Op.i64_and)
      code.op(Op.i64_or)
    }
  }
  code.set(slot.local)
}

function and32(code: CodeSink, mask: number): void {
  code.i32(mask)
  code.op(Op.i32_and)
}

function shiftRight32(code: CodeSink, shift: number): void {
  code.i32(shift)
  code.op(Op.i32_shr_u)
}
