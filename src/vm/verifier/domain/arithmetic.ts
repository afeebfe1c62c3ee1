import type { AluOp } from '../../../isa/index.ts'
import { Bounds, type Scalar, ZERO } from './bounds.ts'
import {
  addHigh,
  bigS,
  bigU,
  highOf,
  lessU,
  lowOf,
  shlHigh,
  shlLow,
  shrHigh,
  shrLow,
  subHigh,
  sarHigh,
  sarLow,
} from './int64.ts'
import { tnumAdd, tnumAnd, tnumIsConst, tnumMul, tnumOr, tnumSar, tnumShl, tnumShr, tnumSub, tnumXor } from './tnum.ts'

/**
 * Result of `a op b` on 64 or (zero-extended) 32 bits, or null when nothing is known of it: division, and shifts by an
 * unknown or too large number of bits.
 */
export function arithmetic(op: AluOp, wide: boolean, a: Scalar, b: Scalar): Scalar | null {
  const to = Bounds.copy(op === 'neg' ? ZERO : a)
  const from = op === 'neg' ? a : b
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- all others are treated alike below
  switch (op) {
    case 'add':
      add32(to, from)
      add64(to, from)
      tnumAdd(to, to, from)
      break
    case 'sub':
    case 'neg':
      sub32(to, from)
      sub64(to, from)
      tnumSub(to, to, from)
      break
    case 'mul':
      tnumMul(to, to, from)
      mul32(to, from)
      mul64(to, from)
      break
    case 'and':
    case 'or':
    case 'xor':
      bitwise(op, to, from)
      break
    case 'lsh':
    case 'rsh':
    case 'arsh': {
      const n = shiftBy(from, wide ? 64 : 32)
      if (n < 0) return null
      const shift = SHIFTS[op]
      shift[wide ? 1 : 0](to, n)
      break
    }
    default:
      return null
  }
  if (!wide) to.zeroExtend32()
  return to.sync()
}

type Shift = (to: Bounds, n: number) => void

/** Shifts of 32 and of 64 bits. */
const SHIFTS: Readonly<Record<'lsh' | 'rsh' | 'arsh', readonly [Shift, Shift]>> = {
  lsh: [shl32, shl64],
  rsh: [shr32, shr64],
  arsh: [sar32, sar64],
}

function shiftBy(by: Scalar, bits: number): number {
  const known =
    bits === 64
      ? by.mh === 0 &&
        by.ml === 0 &&
        by.sminH === by.smaxH &&
        by.sminL === by.smaxL &&
        by.uminH === by.umaxH &&
        by.uminL === by.umaxL
      : by.ml === 0 && by.s32min === by.s32max && by.u32min === by.u32max
  return known && by.umaxH === 0 && by.umaxL >>> 0 < bits ? by.umaxL : -1
}

function inS32(x: number): boolean {
  return x === (x | 0)
}

function add32(to: Bounds, b: Scalar): void {
  const smin = to.s32min + b.s32min
  const smax = to.s32max + b.s32max
  if (inS32(smin) && inS32(smax)) {
    to.s32min = smin
    to.s32max = smax
  } else to.forgetSigned32()
  const umin = (to.u32min >>> 0) + (b.u32min >>> 0)
  const umax = (to.u32max >>> 0) + (b.u32max >>> 0)
  // Both ends overflow, or neither does: the range stays one piece.
  if (umin > 0xffffffff === umax > 0xffffffff) {
    to.u32min = umin | 0
    to.u32max = umax | 0
  } else to.forgetUnsigned32()
}

function add64(to: Bounds, b: Scalar): void {
  const sminL = (to.sminL + b.sminL) | 0
  const sminH = addHigh(to.sminH, to.sminL, b.sminH, b.sminL)
  const smaxL = (to.smaxL + b.smaxL) | 0
  const smaxH = addHigh(to.smaxH, to.smaxL, b.smaxH, b.smaxL)
  // Signed overflow: the operands agree in sign and the sum does not.
  const overflow = ((to.sminH ^ sminH) & (b.sminH ^ sminH)) < 0 || ((to.smaxH ^ smaxH) & (b.smaxH ^ smaxH)) < 0
  if (overflow) to.forgetSigned64()
  else {
    to.sminH = sminH
    to.sminL = sminL
    to.smaxH = smaxH
    to.smaxL = smaxL
  }
  const uminL = (to.uminL + b.uminL) | 0
  const uminH = addHigh(to.uminH, to.uminL, b.uminH, b.uminL)
  const umaxL = (to.umaxL + b.umaxL) | 0
  const umaxH = addHigh(to.umaxH, to.umaxL, b.umaxH, b.umaxL)
  if (lessU(uminH, uminL, to.uminH, to.uminL) === lessU(umaxH, umaxL, to.umaxH, to.umaxL)) {
    to.uminH = uminH
    to.uminL = uminL
    to.umaxH = umaxH
    to.umaxL = umaxL
  } else to.forgetUnsigned64()
}

function sub32(to: Bounds, b: Scalar): void {
  const smin = to.s32min - b.s32max
  const smax = to.s32max - b.s32min
  if (inS32(smin) && inS32(smax)) {
    to.s32min = smin
    to.s32max = smax
  } else to.forgetSigned32()
  const umin = (to.u32min >>> 0) - (b.u32max >>> 0)
  const umax = (to.u32max >>> 0) - (b.u32min >>> 0)
  if (umin < 0 === umax < 0) {
    to.u32min = umin | 0
    to.u32max = umax | 0
  } else to.forgetUnsigned32()
}

function sub64(to: Bounds, b: Scalar): void {
  const sminL = (to.sminL - b.smaxL) | 0
  const sminH = subHigh(to.sminH, to.sminL, b.smaxH, b.smaxL)
  const smaxL = (to.smaxL - b.sminL) | 0
  const smaxH = subHigh(to.smaxH, to.smaxL, b.sminH, b.sminL)
  const overflow = ((to.sminH ^ b.smaxH) & (to.sminH ^ sminH)) < 0 || ((to.smaxH ^ b.sminH) & (to.smaxH ^ smaxH)) < 0
  if (overflow) to.forgetSigned64()
  else {
    to.sminH = sminH
    to.sminL = sminL
    to.smaxH = smaxH
    to.smaxL = smaxL
  }
  const minUnder = lessU(to.uminH, to.uminL, b.umaxH, b.umaxL)
  const maxUnder = lessU(to.umaxH, to.umaxL, b.uminH, b.uminL)
  if (minUnder === maxUnder) {
    const uminH = subHigh(to.uminH, to.uminL, b.umaxH, b.umaxL)
    const umaxH = subHigh(to.umaxH, to.umaxL, b.uminH, b.uminL)
    to.uminL = (to.uminL - b.umaxL) | 0
    to.uminH = uminH
    to.umaxL = (to.umaxL - b.uminL) | 0
    to.umaxH = umaxH
  } else to.forgetUnsigned64()
}

function mul32(to: Bounds, b: Scalar): void {
  const umax = (to.u32max >>> 0) * (b.u32max >>> 0)
  if (umax > 0xffffffff) to.forgetUnsigned32()
  else {
    to.u32min = Math.imul(to.u32min, b.u32min)
    to.u32max = umax | 0
  }
  const products = [to.s32min * b.s32min, to.s32min * b.s32max, to.s32max * b.s32min, to.s32max * b.s32max]
  if (products.every(inS32)) {
    to.s32min = Math.min(...products)
    to.s32max = Math.max(...products)
  } else to.forgetSigned32()
}

const U64_END = 1n << 64n

function mul64(to: Bounds, b: Scalar): void {
  const umax = bigU(to.umaxH, to.umaxL) * bigU(b.umaxH, b.umaxL)
  if (umax >= U64_END) to.forgetUnsigned64()
  else {
    const umin = bigU(to.uminH, to.uminL) * bigU(b.uminH, b.uminL)
    to.umaxH = highOf(umax)
    to.umaxL = lowOf(umax)
    to.uminH = highOf(umin)
    to.uminL = lowOf(umin)
  }
  const [a0, a1] = [bigS(to.sminH, to.sminL), bigS(to.smaxH, to.smaxL)]
  const [b0, b1] = [bigS(b.sminH, b.sminL), bigS(b.smaxH, b.smaxL)]
  const products = [a0 * b0, a0 * b1, a1 * b0, a1 * b1]
  if (products.every((p) => BigInt.asIntN(64, p) === p)) {
    const min = products.reduce((x, y) => (y < x ? y : x))
    const max = products.reduce((x, y) => (y > x ? y : x))
    to.sminH = highOf(min)
    to.sminL = lowOf(min)
    to.smaxH = highOf(max)
    to.smaxL = lowOf(max)
  } else to.forgetSigned64()
}

/** and, or, xor: the tnum is the better half; unsigned bounds follow from it and from the operands' bounds. */
function bitwise(op: 'and' | 'or' | 'xor', to: Bounds, b: Scalar): void {
  const known32 = to.ml === 0 && b.ml === 0
  const known64 = tnumIsConst(to) && b.mh === 0 && b.ml === 0
  if (op === 'and') tnumAnd(to, to, b)
  else if (op === 'or') tnumOr(to, to, b)
  else tnumXor(to, to, b)
  if (known32) to.setKnown32(to.vl)
  else {
    if (op === 'or') to.raiseU32(b.u32min)
    else to.u32min = to.vl
    if (op === 'and') to.lowerU32(b.u32max)
    else to.u32max = to.vl | to.ml
    if (to.u32min <= to.u32max) {
      to.s32min = to.u32min
      to.s32max = to.u32max
    } else to.forgetSigned32()
  }
  if (known64) return to.setKnown(to.vh, to.vl)
  if (op === 'or') to.raiseUmin(b.uminH, b.uminL)
  else {
    to.uminH = to.vh
    to.uminL = to.vl
  }
  if (op === 'and') to.lowerUmax(b.umaxH, b.umaxL)
  else {
    to.umaxH = to.vh | to.mh
    to.umaxL = to.vl | to.ml
  }
  const { uminH, uminL, umaxH, umaxL } = to
  if (uminH < umaxH || (uminH === umaxH && uminL >>> 0 <= umaxL >>> 0)) {
    to.sminH = uminH
    to.sminL = uminL
    to.smaxH = umaxH
    to.smaxL = umaxL
  } else to.forgetSigned64()
  to.boundsFromTnum()
}

function shiftU32Left(to: Bounds, n: number): void {
  to.forgetSigned32()
  if (n > 31 || to.u32max >>> 0 > 2 ** (31 - n)) to.forgetUnsigned32()
  else {
    to.u32min <<= n
    to.u32max <<= n
  }
}

function shl32(to: Bounds, n: number): void {
  shiftU32Left(to, n)
  to.vh = to.mh = 0
  tnumShl(to, to, n)
  to.vh = to.mh = 0
  to.forget64()
  to.boundsFromTnum32()
}

function shl64(to: Bounds, n: number): void {
  if (n === 32) {
    // Shift left, then arithmetic shift right by 32: how compilers sign-extend.
    to.smaxH = to.s32max
    to.sminH = to.s32min
    to.smaxL = to.sminL = 0
  } else to.forgetSigned64()
  const limit = 63 - n
  const tooLarge = lessU(limit >= 32 ? 1 << (limit - 32) : 0, limit >= 32 ? 0 : 1 << limit, to.umaxH, to.umaxL)
  if (tooLarge) to.forgetUnsigned64()
  else {
    to.uminH = shlHigh(to.uminH, to.uminL, n)
    to.uminL = shlLow(to.uminL, n)
    to.umaxH = shlHigh(to.umaxH, to.umaxL, n)
    to.umaxL = shlLow(to.umaxL, n)
  }
  shiftU32Left(to, n)
  tnumShl(to, to, n)
  to.boundsFromTnum()
}

function shr32(to: Bounds, n: number): void {
  to.forgetSigned32()
  to.vh = to.mh = 0
  tnumShr(to, to, n)
  to.u32min = (to.u32min >>> n) | 0
  to.u32max = (to.u32max >>> n) | 0
  to.forget64()
  to.boundsFromTnum32()
}

function shr64(to: Bounds, n: number): void {
  to.forgetSigned64()
  tnumShr(to, to, n)
  to.uminL = shrLow(to.uminH, to.uminL, n)
  to.uminH = shrHigh(to.uminH, n)
  to.umaxL = shrLow(to.umaxH, to.umaxL, n)
  to.umaxH = shrHigh(to.umaxH, n)
  to.forget32()
  to.boundsFromTnum()
}

function sar32(to: Bounds, n: number): void {
  to.s32min >>= n
  to.s32max >>= n
  tnumSar(to, to, n, 32)
  to.forgetUnsigned32()
  to.forget64()
  to.boundsFromTnum32()
}

function sar64(to: Bounds, n: number): void {
  to.sminL = sarLow(to.sminH, to.sminL, n)
  to.sminH = sarHigh(to.sminH, n)
  to.smaxL = sarLow(to.smaxH, to.smaxL, n)
  to.smaxH = sarHigh(to.smaxH, n)
  tnumSar(to, to, n, 64)
  to.forgetUnsigned64()
  to.forget32()
  to.boundsFromTnum()
}
