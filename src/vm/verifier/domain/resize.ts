import { Bounds, constant, isConst, type Scalar } from './bounds.ts'
import { tnumRange, tnumSet } from './tnum.ts'

/** The low `size` bytes (1, 2 or 4), zero-extended. */
export function truncate(s: Scalar, size: number): Scalar {
  if (size === 8) return s
  const to = Bounds.copy(s)
  const mask = size === 4 ? -1 : (1 << (size * 8)) - 1
  tnumSet(to, 0, to.vl & mask, 0, to.ml & mask)
  if (to.uminH === to.umaxH && (to.uminL & ~mask) === (to.umaxL & ~mask)) {
    to.uminL &= mask
    to.umaxL &= mask
  } else {
    to.uminL = 0
    to.umaxL = mask
  }
  to.uminH = to.umaxH = 0
  to.sminH = to.smaxH = 0
  to.sminL = to.uminL
  to.smaxL = to.umaxL
  if (size < 4) to.forget32()
  return to.sync()
}

/** Low half zero-extended, as 32-bit moves do. */
export function zeroExtend32(s: Scalar): Scalar {
  const to = Bounds.copy(s)
  to.zeroExtend32()
  return to.sync()
}

/** The low 16, 32 or all 64 bits with their bytes in opposite order; only single bits stay known. */
export function swapBytes(s: Scalar, bits: 16 | 32 | 64): Scalar {
  const to = new Bounds()
  if (bits === 64) tnumSet(to, swap32(s.vl), swap32(s.vh), swap32(s.ml), swap32(s.mh))
  else tnumSet(to, 0, (swap32(s.vl) >>> (32 - bits)) | 0, 0, (swap32(s.ml) >>> (32 - bits)) | 0)
  return to.sync()
}

function swap32(x: number): number {
  return (x << 24) | ((x & 0xff00) << 8) | ((x >>> 8) & 0xff00) | (x >>> 24)
}

function extend(low: number, bits: number): number {
  return bits === 32 ? low | 0 : (low << (32 - bits)) >> (32 - bits)
}

/** The low `size` bytes (1, 2 or 4) sign-extended to 64 bits. */
export function signExtend64(s: Scalar, size: number): Scalar {
  const bits = size * 8
  if (isConst(s)) return constant(extend(s.vl, bits))
  const to = new Bounds()
  const keep = bits === 32 ? 0 : -1 << bits
  if (s.smaxH === s.sminH && (s.smaxL & keep) === (s.sminL & keep)) {
    const a = extend(s.smaxL, bits)
    const b = extend(s.sminL, bits)
    const max = Math.max(a, b)
    const min = Math.min(a, b)
    if (max >= 0 === min >= 0) {
      const high = min < 0 ? -1 : 0
      to.sminH = to.uminH = to.smaxH = to.umaxH = high
      to.sminL = to.uminL = to.s32min = to.u32min = min
      to.smaxL = to.umaxL = to.s32max = to.u32max = max
      tnumRange(to, high, min, high, max)
      return to
    }
  }
  const top = bits === 32 ? 0x7fffffff : (1 << (bits - 1)) - 1
  to.sminH = -1
  to.sminL = to.s32min = ~top
  to.smaxH = 0
  to.smaxL = to.s32max = top
  return to
}

/** The low `size` bytes (1 or 2) sign-extended to 32 bits, the high half zero. */
export function signExtend32(s: Scalar, size: number): Scalar {
  const bits = size * 8
  const to = Bounds.copy(s)
  if (isConst(s)) {
    const value = extend(s.vl, bits)
    to.setKnown(0, value)
    return to.sync()
  }
  const keep = -1 << bits
  let done = false
  if ((s.s32max & keep) === (s.s32min & keep)) {
    const a = extend(s.s32max, bits)
    const b = extend(s.s32min, bits)
    const max = Math.max(a, b)
    const min = Math.min(a, b)
    if (min >= 0 === max >= 0) {
      to.s32min = to.u32min = min
      to.s32max = to.u32max = max
      tnumRange(to, 0, min, 0, max)
      done = true
    }
  }
  if (!done) {
    const top = (1 << (bits - 1)) - 1
    to.s32min = ~top
    to.s32max = top
    to.forgetUnsigned32()
    tnumSet(to, 0, 0, 0, -1)
  }
  to.zeroExtend32()
  return to.sync()
}
