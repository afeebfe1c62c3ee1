import { bigS, bigU, highOf, lessS, lessU, lowOf, numberS, numberU } from './int64.ts'
import { tnumIntersect, tnumIsConst, tnumNext, tnumRange, tnumSet, type Tnum } from './tnum.ts'

const scratch: Tnum = { vh: 0, vl: 0, mh: 0, ml: 0 }
const S32_MIN = -0x80000000
const S32_MAX = 0x7fffffff

/**
 * What is known of a 64-bit value: a tnum, unsigned and signed bounds of all 64 and of the low 32 bits. A Bounds is
 * mutable only while one operation computes it; registers hold it as {@link Scalar} and share it between states.
 * All fields are int32 halves; the 32-bit unsigned bounds are compared after `>>> 0`.
 */
export class Bounds implements Tnum {
  vh = 0
  vl = 0
  mh = -1
  ml = -1
  uminH = 0
  uminL = 0
  umaxH = -1
  umaxL = -1
  sminH: number = S32_MIN
  sminL = 0
  smaxH: number = S32_MAX
  smaxL = -1
  u32min = 0
  u32max = -1
  s32min: number = S32_MIN
  s32max: number = S32_MAX

  static copy(from: Scalar): Bounds {
    const to = new Bounds()
    to.vh = from.vh
    to.vl = from.vl
    to.mh = from.mh
    to.ml = from.ml
    to.uminH = from.uminH
    to.uminL = from.uminL
    to.umaxH = from.umaxH
    to.umaxL = from.umaxL
    to.sminH = from.sminH
    to.sminL = from.sminL
    to.smaxH = from.smaxH
    to.smaxL = from.smaxL
    to.u32min = from.u32min
    to.u32max = from.u32max
    to.s32min = from.s32min
    to.s32max = from.s32max
    return to
  }

  /** A known value. */
  static known(high: number, low: number): Bounds {
    const to = new Bounds()
    to.setKnown(high, low)
    return to
  }

  setKnown(high: number, low: number): void {
    this.vh = this.uminH = this.umaxH = this.sminH = this.smaxH = high
    this.vl = this.uminL = this.umaxL = this.sminL = this.smaxL = low
    this.mh = this.ml = 0
    this.u32min = this.u32max = this.s32min = this.s32max = low
  }

  /** The low half becomes known; the bounds of the whole are left as they are. */
  setKnown32(low: number): void {
    this.vl = low
    this.ml = 0
    this.u32min = this.u32max = this.s32min = this.s32max = low
  }

  forgetUnsigned64(): void {
    this.uminH = this.uminL = 0
    this.umaxH = this.umaxL = -1
  }

  forgetSigned64(): void {
    this.sminH = S32_MIN
    this.sminL = 0
    this.smaxH = S32_MAX
    this.smaxL = -1
  }

  forget64(): void {
    this.forgetUnsigned64()
    this.forgetSigned64()
  }

  forgetUnsigned32(): void {
    this.u32min = 0
    this.u32max = -1
  }

  forgetSigned32(): void {
    this.s32min = S32_MIN
    this.s32max = S32_MAX
  }

  forget32(): void {
    this.forgetUnsigned32()
    this.forgetSigned32()
  }

  raiseUmin(h: number, l: number): void {
    if (!lessU(this.uminH, this.uminL, h, l)) return
    this.uminH = h
    this.uminL = l
  }

  lowerUmax(h: number, l: number): void {
    if (!lessU(h, l, this.umaxH, this.umaxL)) return
    this.umaxH = h
    this.umaxL = l
  }

  raiseSmin(h: number, l: number): void {
    if (!lessS(this.sminH, this.sminL, h, l)) return
    this.sminH = h
    this.sminL = l
  }

  lowerSmax(h: number, l: number): void {
    if (!lessS(h, l, this.smaxH, this.smaxL)) return
    this.smaxH = h
    this.smaxL = l
  }

  raiseU32(x: number): void {
    if (x >>> 0 > this.u32min >>> 0) this.u32min = x
  }

  lowerU32(x: number): void {
    if (x >>> 0 < this.u32max >>> 0) this.u32max = x
  }

  raiseS32(x: number): void {
    if (x > this.s32min) this.s32min = x
  }

  lowerS32(x: number): void {
    if (x < this.s32max) this.s32max = x
  }

  /** Bounds from the tnum. */
  boundsFromTnum(): void {
    this.boundsFromTnum32()
    const { vh, vl, mh, ml } = this
    this.raiseSmin(vh | (mh & S32_MIN), vl)
    this.lowerSmax(vh | (mh & S32_MAX), vl | ml)
    this.raiseUmin(vh, vl)
    this.lowerUmax(vh | mh, vl | ml)
    this.#onlyCommonValue()
  }

  /** When the tnum and the unsigned range have a single value in common, this is the value. */
  #onlyCommonValue(): void {
    const { vh, vl, mh, ml, uminH, uminL, umaxH, umaxL } = this
    if ((mh & ml) === -1) {
      if (uminH === umaxH && uminL === umaxL) this.setKnown(uminH, uminL)
      return
    }
    const isMember = (uminH & ~mh) === vh && (uminL & ~ml) === vl
    tnumNext(scratch, this, uminH, uminL)
    const nextH = scratch.vh
    const nextL = scratch.vl
    if (isMember) {
      if (lessU(umaxH, umaxL, nextH, nextL)) this.setKnown(uminH, uminL)
    } else if (nextH === (vh | mh) && nextL === (vl | ml)) this.setKnown(nextH, nextL)
    else if (!lessU(umaxH, umaxL, nextH, nextL)) {
      tnumNext(scratch, this, nextH, nextL)
      if (lessU(umaxH, umaxL, scratch.vh, scratch.vl)) this.setKnown(nextH, nextL)
    }
  }

  boundsFromTnum32(): void {
    const { vl, ml } = this
    this.raiseS32(vl | (ml & S32_MIN))
    this.lowerS32(vl | (ml & S32_MAX))
    this.raiseU32(vl)
    this.lowerU32(vl | ml)
  }

  /** 64-bit bounds of a value whose high half was cleared, from the bounds of the low half. */
  assign32Into64(): void {
    this.uminH = this.umaxH = 0
    this.uminL = this.u32min
    this.umaxL = this.u32max
    this.sminH = this.smaxH = 0
    if (this.s32min >= 0 && this.s32max >= 0) {
      this.sminL = this.s32min
      this.smaxL = this.s32max
    } else {
      this.sminL = 0
      this.smaxL = -1
    }
  }

  /** The high half becomes zero. */
  zeroExtend32(): void {
    this.vh = this.mh = 0
    this.assign32Into64()
  }

  /** Brings the tnum and the four ranges into agreement, with the strength (and the limits) of Linux 6.18. */
  sync(): this {
    this.boundsFromTnum()
    for (let i = 0; i < 3; i++) {
      this.#deduce32()
      this.#deduce64()
      this.#deduceMixed()
    }
    tnumRange(scratch, this.uminH, this.uminL, this.umaxH, this.umaxL)
    tnumIntersect(this, this, scratch)
    tnumRange(scratch, 0, this.u32min, 0, this.u32max)
    const vl = this.vl | scratch.vl
    this.ml &= scratch.ml
    this.vl = vl & ~this.ml
    this.boundsFromTnum()
    return this
  }

  /** 32-bit bounds from the 64-bit ones and from each other. */
  #deduce32(): void {
    if (this.uminH === this.umaxH) {
      this.raiseU32(this.uminL)
      this.lowerU32(this.umaxL)
      if (this.uminL <= this.umaxL) {
        this.raiseS32(this.uminL)
        this.lowerS32(this.umaxL)
      }
    }
    if (this.sminH === this.smaxH) {
      if (this.sminL >>> 0 <= this.smaxL >>> 0) {
        this.raiseU32(this.sminL)
        this.lowerU32(this.smaxL)
      }
      if (this.sminL <= this.smaxL) {
        this.raiseS32(this.sminL)
        this.lowerS32(this.smaxL)
      }
    }
    // A range over two neighbouring high halves: the low half runs through -1 to 0.
    if (((this.uminH + 1) | 0) === this.umaxH && this.uminL < 0 && this.umaxL >= 0) {
      this.raiseS32(this.uminL)
      this.lowerS32(this.umaxL)
    }
    if (((this.sminH + 1) | 0) === this.smaxH && this.sminL < 0 && this.smaxL >= 0) {
      this.raiseS32(this.sminL)
      this.lowerS32(this.smaxL)
    }
    if (this.u32min <= this.u32max) {
      this.raiseS32(this.u32min)
      this.lowerS32(this.u32max)
    }
    if (this.s32min >>> 0 <= this.s32max >>> 0) {
      this.raiseU32(this.s32min)
      this.lowerU32(this.s32max)
    } else if (this.u32max >>> 0 < this.s32min >>> 0) {
      this.s32min = this.u32min
      this.lowerU32(this.s32max)
    } else if (this.s32max >>> 0 < this.u32min >>> 0) {
      this.s32max = this.u32max
      this.raiseU32(this.s32min)
    }
  }

  /** 64-bit bounds: signed from unsigned and back. */
  #deduce64(): void {
    if (!lessS(this.umaxH, this.umaxL, this.uminH, this.uminL)) {
      this.raiseSmin(this.uminH, this.uminL)
      this.lowerSmax(this.umaxH, this.umaxL)
    }
    if (!lessU(this.smaxH, this.smaxL, this.sminH, this.sminL)) {
      this.raiseUmin(this.sminH, this.sminL)
      this.lowerUmax(this.smaxH, this.smaxL)
    } else if (lessU(this.umaxH, this.umaxL, this.sminH, this.sminL)) {
      // The signed range wraps around zero and the unsigned one meets only its non-negative part.
      this.sminH = this.uminH
      this.sminL = this.uminL
      this.lowerUmax(this.smaxH, this.smaxL)
    } else if (lessU(this.smaxH, this.smaxL, this.uminH, this.uminL)) {
      this.smaxH = this.umaxH
      this.smaxL = this.umaxL
      this.raiseUmin(this.sminH, this.sminL)
    }
  }

  /** 64-bit bounds from the 32-bit ones. */
  #deduceMixed(): void {
    this.#tighten64(this.u32min, this.u32max)
    if (this.s32min >>> 0 <= this.s32max >>> 0) this.#tighten64(this.s32min, this.s32max)
    // A sign-extended load whose low half is not negative is not negative as a whole.
    const smin = numberS(this.sminH, this.sminL)
    const smax = numberS(this.smaxH, this.smaxL)
    if (this.s32min >= 0 && smin >= S32_MIN && smax <= S32_MAX) {
      this.sminH = this.smaxH = this.uminH = this.umaxH = this.s32max < 0 ? -1 : 0
      this.sminH = this.uminH = 0
      this.sminL = this.uminL = this.s32min
      this.smaxL = this.umaxL = this.s32max
      tnumRange(scratch, this.sminH, this.sminL, this.smaxH, this.smaxL)
      tnumIntersect(this, this, scratch)
    }
  }

  #tighten64(low: number, high: number): void {
    this.raiseUmin(this.uminH, low)
    this.lowerUmax(this.umaxH, high)
    this.raiseSmin(this.sminH, low)
    this.lowerSmax(this.smaxH, high)
  }

  /** False when the ranges contradict themselves or the tnum: the kernel then forgets everything of the value. */
  consistent(): boolean {
    if (lessU(this.umaxH, this.umaxL, this.uminH, this.uminL)) return false
    if (lessS(this.smaxH, this.smaxL, this.sminH, this.sminL)) return false
    if (this.u32min >>> 0 > this.u32max >>> 0 || this.s32min > this.s32max) return false
    const { vh, vl } = this
    if (tnumIsConst(this)) {
      if (this.uminH !== vh || this.uminL !== vl || this.umaxH !== vh || this.umaxL !== vl) return false
      if (this.sminH !== vh || this.sminL !== vl || this.smaxH !== vh || this.smaxL !== vl) return false
    }
    if (this.ml === 0) {
      if (this.u32min !== vl || this.u32max !== vl || this.s32min !== vl || this.s32max !== vl) return false
    }
    return true
  }
}

/** What is known of a value, never changed after it was computed. */
export type Scalar = Readonly<
  Pick<
    Bounds,
    | 'vh'
    | 'vl'
    | 'mh'
    | 'ml'
    | 'uminH'
    | 'uminL'
    | 'umaxH'
    | 'umaxL'
    | 'sminH'
    | 'sminL'
    | 'smaxH'
    | 'smaxL'
    | 'u32min'
    | 'u32max'
    | 's32min'
    | 's32max'
  >
>

/** Nothing known. */
export const UNKNOWN: Scalar = new Bounds()
/** Zero. */
export const ZERO: Scalar = Bounds.known(0, 0)

/** A known int32, sign-extended. */
export function constant(value: number): Scalar {
  return value === 0 ? ZERO : Bounds.known(value < 0 ? -1 : 0, value | 0)
}

export function constant64(value: bigint): Scalar {
  return Bounds.known(highOf(value), lowOf(value))
}

/** All values from 0 to `max` (a number below 2^53). */
export function unsignedUpTo(max: number): Scalar {
  const to = new Bounds()
  to.umaxH = Math.floor(max / 4294967296) | 0
  to.umaxL = max | 0
  return to.sync()
}

/** A value loaded by a zero-extending load of `size` bytes. */
export function loaded(size: number): Scalar {
  return (LOADED[size] ??= size === 8 ? UNKNOWN : zeroExtended(size))
}

const LOADED: (Scalar | undefined)[] = []

function zeroExtended(size: number): Scalar {
  const to = new Bounds()
  tnumSet(to, 0, 0, 0, size === 4 ? -1 : (1 << (size * 8)) - 1)
  to.umaxH = 0
  to.umaxL = to.ml
  to.sminH = 0
  to.smaxH = 0
  to.smaxL = to.ml
  return to.sync()
}

/** Signed range; both in int32. */
export function signedRange(min: number, max: number): Scalar {
  const to = new Bounds()
  to.sminH = min < 0 ? -1 : 0
  to.sminL = min | 0
  to.smaxH = max < 0 ? -1 : 0
  to.smaxL = max | 0
  to.s32min = min | 0
  to.s32max = max | 0
  return to.sync()
}

export function isConst(s: Scalar): boolean {
  return s.mh === 0 && s.ml === 0
}

export function isZero(s: Scalar): boolean {
  return s.mh === 0 && s.ml === 0 && s.vl === 0 && s.vh === 0
}

export function sminOf(s: Scalar): number {
  return numberS(s.sminH, s.sminL)
}

export function smaxOf(s: Scalar): number {
  return numberS(s.smaxH, s.smaxL)
}

export function uminOf(s: Scalar): number {
  return numberU(s.uminH, s.uminL)
}

export function umaxOf(s: Scalar): number {
  return numberU(s.umaxH, s.umaxL)
}

/** The value of a constant as a signed number; exact up to 2^53. */
export function valueOf(s: Scalar): number {
  return numberS(s.vh, s.vl)
}

export function valueBig(s: Scalar): bigint {
  return bigS(s.vh, s.vl)
}

export function uminBig(s: Scalar): bigint {
  return bigU(s.uminH, s.uminL)
}

export function umaxBig(s: Scalar): bigint {
  return bigU(s.umaxH, s.umaxL)
}

export function sminBig(s: Scalar): bigint {
  return bigS(s.sminH, s.sminL)
}

export function smaxBig(s: Scalar): bigint {
  return bigS(s.smaxH, s.smaxL)
}

export function sameScalar(a: Scalar, b: Scalar): boolean {
  if (a === b) return true
  return (
    a.vl === b.vl &&
    a.vh === b.vh &&
    a.ml === b.ml &&
    a.mh === b.mh &&
    a.uminL === b.uminL &&
    a.uminH === b.uminH &&
    a.umaxL === b.umaxL &&
    a.umaxH === b.umaxH &&
    a.sminL === b.sminL &&
    a.sminH === b.sminH &&
    a.smaxL === b.smaxL &&
    a.smaxH === b.smaxH &&
    a.u32min === b.u32min &&
    a.u32max === b.u32max &&
    a.s32min === b.s32min &&
    a.s32max === b.s32max
  )
}

/** Whether every value that `now` allows is also allowed by `old`, bound by bound (the kernel's test of pruning). */
export function within(old: Scalar, now: Scalar): boolean {
  if (old === now) return true
  return (
    !lessU(now.uminH, now.uminL, old.uminH, old.uminL) &&
    !lessU(old.umaxH, old.umaxL, now.umaxH, now.umaxL) &&
    !lessS(now.sminH, now.sminL, old.sminH, old.sminL) &&
    !lessS(old.smaxH, old.smaxL, now.smaxH, now.smaxL) &&
    old.u32min >>> 0 <= now.u32min >>> 0 &&
    old.u32max >>> 0 >= now.u32max >>> 0 &&
    old.s32min <= now.s32min &&
    old.s32max >= now.s32max &&
    (now.mh & ~old.mh) === 0 &&
    (now.ml & ~old.ml) === 0 &&
    old.vh === (now.vh & ~old.mh) &&
    old.vl === (now.vl & ~old.ml)
  )
}
