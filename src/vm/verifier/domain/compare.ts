import type { BranchOp } from '../../../isa/index.ts'
import { unreachable } from '../../../isa/operation.ts'
import { Bounds, type Scalar } from './bounds.ts'
import { addHigh, bigU, lessS, lessU, subHigh } from './int64.ts'
import { tnumIntersect, tnumOverlap, tnumSet, type Tnum } from './tnum.ts'

/** `a op b` as `b flip(op) a`. */
export const FLIPPED: Readonly<Record<BranchOp, BranchOp>> = {
  eq: 'eq',
  ne: 'ne',
  set: 'set',
  gt: 'lt',
  ge: 'le',
  lt: 'gt',
  le: 'ge',
  sgt: 'slt',
  sge: 'sle',
  slt: 'sgt',
  sle: 'sge',
}

/** Condition of a branch, or `unset`: no common bit, the negation of `set`. */
export type Condition = BranchOp | 'unset'

/** `not (a op b)` as `a NEGATED[op] b`. */
export const NEGATED: Readonly<Record<BranchOp, Condition>> = {
  eq: 'ne',
  ne: 'eq',
  set: 'unset',
  gt: 'le',
  ge: 'lt',
  lt: 'ge',
  le: 'gt',
  sgt: 'sle',
  sge: 'slt',
  slt: 'sge',
  sle: 'sgt',
}

function subreg(s: Scalar): Tnum {
  return { vh: 0, vl: s.vl, mh: 0, ml: s.ml }
}

/** The whole value known; with `wide` false, the low half. */
export function knownBits(s: Scalar, wide: boolean): boolean {
  return s.ml === 0 && (!wide || s.mh === 0)
}

function aboveU(a: Scalar, b: Scalar, wide: boolean): boolean {
  return wide ? lessU(b.umaxH, b.umaxL, a.uminH, a.uminL) : a.u32min >>> 0 > b.u32max >>> 0
}

function atLeastU(a: Scalar, b: Scalar, wide: boolean): boolean {
  return wide ? !lessU(a.uminH, a.uminL, b.umaxH, b.umaxL) : a.u32min >>> 0 >= b.u32max >>> 0
}

function aboveS(a: Scalar, b: Scalar, wide: boolean): boolean {
  return wide ? lessS(b.smaxH, b.smaxL, a.sminH, a.sminL) : a.s32min > b.s32max
}

function atLeastS(a: Scalar, b: Scalar, wide: boolean): boolean {
  return wide ? !lessS(a.sminH, a.sminL, b.smaxH, b.smaxL) : a.s32min >= b.s32max
}

/** Whether `a` and `b` can have no value in common. */
function disjoint(a: Scalar, b: Scalar, wide: boolean): boolean {
  if (!tnumOverlap(wide ? a : subreg(a), wide ? b : subreg(b))) return true
  if (aboveU(a, b, wide) || aboveU(b, a, wide) || aboveS(a, b, wide) || aboveS(b, a, wide)) return true
  return wide && (aboveU(a, b, false) || aboveU(b, a, false) || aboveS(a, b, false) || aboveS(b, a, false))
}

function equal(a: Scalar, b: Scalar, wide: boolean): boolean | null {
  if (knownBits(a, wide) && knownBits(b, wide)) return a.vl === b.vl && (!wide || a.vh === b.vh)
  return disjoint(a, b, wide) ? false : null
}

function common(a: Scalar, b: Scalar, wide: boolean): boolean | null {
  const constant = knownBits(b, wide) ? b : a
  const other = constant === b ? a : b
  if (!knownBits(constant, wide)) return null
  if (((other.vl & constant.vl) | (wide ? other.vh & constant.vh : 0)) !== 0) return true
  const possible = ((other.vl | other.ml) & constant.vl) | (wide ? (other.vh | other.mh) & constant.vh : 0)
  return possible === 0 ? false : null
}

/** Outcome of `a op b` when it is the same for all values, otherwise null. */
export function decide(op: BranchOp, a: Scalar, b: Scalar, wide: boolean): boolean | null {
  switch (op) {
    case 'eq':
      return equal(a, b, wide)
    case 'ne': {
      const same = equal(a, b, wide)
      return same === null ? null : !same
    }
    case 'set':
      return common(a, b, wide)
    case 'gt':
      return aboveU(a, b, wide) ? true : atLeastU(b, a, wide) ? false : null
    case 'lt':
      return aboveU(b, a, wide) ? true : atLeastU(a, b, wide) ? false : null
    case 'ge':
      return atLeastU(a, b, wide) ? true : aboveU(b, a, wide) ? false : null
    case 'le':
      return atLeastU(b, a, wide) ? true : aboveU(a, b, wide) ? false : null
    case 'sgt':
      return aboveS(a, b, wide) ? true : atLeastS(b, a, wide) ? false : null
    case 'slt':
      return aboveS(b, a, wide) ? true : atLeastS(a, b, wide) ? false : null
    case 'sge':
      return atLeastS(a, b, wide) ? true : aboveS(b, a, wide) ? false : null
    case 'sle':
      return atLeastS(b, a, wide) ? true : aboveS(a, b, wide) ? false : null
    default:
      return unreachable(op)
  }
}

/**
 * Narrows both operands in place to the values for which `a op b` holds, without bringing the ranges into agreement
 * (call sync() after). A contradiction leaves inconsistent bounds, as in the kernel.
 */
export function refine(op: Condition, a: Bounds, b: Bounds, wide: boolean): void {
  switch (op) {
    case 'ge':
    case 'gt':
    case 'sge':
    case 'sgt':
      return refine(FLIPPED[op], b, a, wide)
    case 'eq':
      return wide ? refineEqual64(a, b) : refineEqual32(a, b)
    case 'ne':
      return withConstant(a, b, wide, refineNotEqual)
    case 'set':
      return withConstant(a, b, wide, refineSet)
    case 'unset':
      return withConstant(a, b, wide, refineUnset)
    case 'le':
      if (wide) {
        a.lowerUmax(b.umaxH, b.umaxL)
        b.raiseUmin(a.uminH, a.uminL)
      } else {
        a.lowerU32(b.u32max)
        b.raiseU32(a.u32min)
      }
      return
    case 'lt':
      if (wide) {
        a.lowerUmax(subHigh(b.umaxH, b.umaxL, 0, 1), (b.umaxL - 1) | 0)
        b.raiseUmin(addHigh(a.uminH, a.uminL, 0, 1), (a.uminL + 1) | 0)
      } else {
        a.lowerU32((b.u32max - 1) | 0)
        b.raiseU32((a.u32min + 1) | 0)
      }
      return
    case 'sle':
      if (wide) {
        a.lowerSmax(b.smaxH, b.smaxL)
        b.raiseSmin(a.sminH, a.sminL)
      } else {
        a.lowerS32(b.s32max)
        b.raiseS32(a.s32min)
      }
      return
    case 'slt':
      if (wide) {
        a.lowerSmax(subHigh(b.smaxH, b.smaxL, 0, 1), (b.smaxL - 1) | 0)
        b.raiseSmin(addHigh(a.sminH, a.sminL, 0, 1), (a.sminL + 1) | 0)
      } else {
        a.lowerS32((b.s32max - 1) | 0)
        b.raiseS32((a.s32min + 1) | 0)
      }
      return
  }
}

function withConstant(
  a: Bounds,
  b: Bounds,
  wide: boolean,
  narrow: (s: Bounds, constant: Bounds, wide: boolean) => void,
): void {
  if (knownBits(b, wide)) narrow(a, b, wide)
  else if (knownBits(a, wide)) narrow(b, a, wide)
}

function refineEqual32(a: Bounds, b: Bounds): void {
  a.raiseU32(b.u32min)
  a.lowerU32(b.u32max)
  a.raiseS32(b.s32min)
  a.lowerS32(b.s32max)
  b.u32min = a.u32min
  b.u32max = a.u32max
  b.s32min = a.s32min
  b.s32max = a.s32max
  const vl = a.vl | b.vl
  const ml = a.ml & b.ml
  a.ml = b.ml = ml
  a.vl = b.vl = vl & ~ml
}

function refineEqual64(a: Bounds, b: Bounds): void {
  a.raiseUmin(b.uminH, b.uminL)
  a.lowerUmax(b.umaxH, b.umaxL)
  a.raiseSmin(b.sminH, b.sminL)
  a.lowerSmax(b.smaxH, b.smaxL)
  b.uminH = a.uminH
  b.uminL = a.uminL
  b.umaxH = a.umaxH
  b.umaxL = a.umaxL
  b.sminH = a.sminH
  b.sminL = a.sminL
  b.smaxH = a.smaxH
  b.smaxL = a.smaxL
  tnumIntersect(a, a, b)
  tnumSet(b, a.vh, a.vl, a.mh, a.ml)
}

function refineNotEqual(s: Bounds, c: Bounds, wide: boolean): void {
  const { vh, vl } = c
  if (!wide) {
    if (s.u32min === vl) s.u32min = (s.u32min + 1) | 0
    if (s.u32max === vl) s.u32max = (s.u32max - 1) | 0
    if (s.s32min === vl) s.s32min = (s.s32min + 1) | 0
    if (s.s32max === vl) s.s32max = (s.s32max - 1) | 0
    return
  }
  const nextH = addHigh(vh, vl, 0, 1)
  const nextL = (vl + 1) | 0
  const lastH = subHigh(vh, vl, 0, 1)
  const lastL = (vl - 1) | 0
  if (s.uminH === vh && s.uminL === vl) {
    s.uminH = nextH
    s.uminL = nextL
  }
  if (s.umaxH === vh && s.umaxL === vl) {
    s.umaxH = lastH
    s.umaxL = lastL
  }
  if (s.sminH === vh && s.sminL === vl) {
    s.sminH = nextH
    s.sminL = nextL
  }
  if (s.smaxH === vh && s.smaxL === vl) {
    s.smaxH = lastH
    s.smaxL = lastL
  }
}

/** Only a single bit can be told to be set. */
function refineSet(s: Bounds, c: Bounds, wide: boolean): void {
  const value = bigU(wide ? c.vh : 0, c.vl)
  if (value === 0n || (value & (value - 1n)) !== 0n) return
  s.vl |= c.vl
  s.ml &= ~c.vl
  if (!wide) return
  s.vh |= c.vh
  s.mh &= ~c.vh
}

function refineUnset(s: Bounds, c: Bounds, wide: boolean): void {
  // Ranges are forgotten first, so that a dead branch ends without contradicting bounds.
  s.forget64()
  s.forget32()
  s.vl &= ~c.vl
  s.ml &= ~c.vl
  if (!wide) return
  s.vh &= ~c.vh
  s.mh &= ~c.vh
}
