import { GUARD_SIZE, PAGE_SHIFT } from '../engine.ts'
import { Trap } from '../trap.ts'

/** Bytes that loads 50 to 56 and stores 60 to 63 of predecode.ts access. */
const LOAD_SIZES: readonly number[] = [1, 2, 4, 8, 1, 2, 4]
const STORE_SIZES: readonly number[] = [1, 2, 4, 8]
const LOAD = 50
const PAGE_SIZE: number = 1 << PAGE_SHIFT
const PAGE_MASK: number = PAGE_SIZE - 1
const STORE = 60
const SIGNED = 54
const ATOMIC32 = 110
const ATOMIC64 = 116
const CMPXCHG = 5

/** A register plus an offset as an address; -1 when it is outside of 32 bits. */
function address(low: number, high: number, offset: number): number {
  if (high === 0) return (low >>> 0) + offset
  // A negative offset from a register, or one that carries into the upper half.
  const at = high * 4294967296 + (low >>> 0) + offset
  return at >= 0 && at < 4294967296 ? at : -1
}

function isValid(at: number, size: number, view: DataView): boolean {
  return at >= GUARD_SIZE && at <= view.byteLength - size
}

/** Whether bytes touch a page that is absent by the table at address `absent`, 0 for none. */
function isAbsent(absent: number, at: number, size: number, view: DataView): boolean {
  if (absent === 0) return false
  return (view.getUint8(absent + (at >>> PAGE_SHIFT)) | view.getUint8(absent + ((at + size - 1) >>> PAGE_SHIFT))) !== 0
}

function badAccess(verb: 'read' | 'write', size: number, register: number, offset: number, regs: Registers): Trap {
  const base = (BigInt(regs.high[register] as number) << 32n) | BigInt((regs.low[register] as number) >>> 0)
  const at = BigInt.asUintN(64, base + BigInt(offset)).toString(16)
  const via = `r${register} ${offset < 0 ? '-' : '+'} ${Math.abs(offset)}`
  return new Trap('memory', `${verb} of ${size} bytes at address 0x${at} (${via}) is outside of the program's memory`)
}

interface Registers {
  readonly low: Int32Array
  readonly high: Int32Array
}

/** `dst = *(src + offset)`; a fault reads zero when `forgiving`, otherwise it is a Trap. So does what is partly absent. */
export function load(
  op: number,
  d: number,
  s: number,
  offset: number,
  low: Int32Array,
  high: Int32Array,
  view: DataView,
  forgiving: boolean,
  absent: number,
): void {
  const size = LOAD_SIZES[op - LOAD] as number
  const at = address(low[s] as number, high[s] as number, offset)
  if (!isValid(at, size, view)) {
    if (!forgiving) throw badAccess('read', size, s, offset, { low, high })
    low[d] = high[d] = 0
    return
  }
  // All of an absent page reads as zeros.
  if (absent !== 0 && (at & PAGE_MASK) > PAGE_SIZE - size && isAbsent(absent, at, size, view)) {
    low[d] = high[d] = 0
    return
  }
  switch (op) {
    case 50:
      low[d] = view.getUint8(at)
      break
    case 51:
      low[d] = view.getUint16(at, true)
      break
    case 52:
    case 56:
      low[d] = view.getInt32(at, true)
      break
    case 53:
      low[d] = view.getInt32(at, true)
      high[d] = view.getInt32(at + 4, true)
      return
    case 54:
      low[d] = view.getInt8(at)
      break
    case 55:
      low[d] = view.getInt16(at, true)
      break
  }
  high[d] = op >= SIGNED ? (low[d] as number) >> 31 : 0
}

/** Whether an access of `size` bytes, which a register says the address of, does nothing; see ArenaLayout. */
export function touchesAbsent(
  absent: number,
  register: number,
  offset: number,
  size: number,
  low: Int32Array,
  high: Int32Array,
  view: DataView,
): boolean {
  const at = address(low[register] as number, high[register] as number, offset)
  return isValid(at, size, view) && isAbsent(absent, at, size, view)
}

/** `*(dst + offset) = src`; nothing where a page is absent, see ArenaLayout. @throws Trap */
export function store(
  op: number,
  d: number,
  s: number,
  offset: number,
  low: Int32Array,
  high: Int32Array,
  view: DataView,
  absent: number,
): void {
  const size = STORE_SIZES[op - STORE] as number
  const at = address(low[d] as number, high[d] as number, offset)
  if (!isValid(at, size, view)) throw badAccess('write', size, d, offset, { low, high })
  if (isAbsent(absent, at, size, view)) return
  switch (op) {
    case 60:
      view.setInt8(at, low[s] as number)
      break
    case 61:
      view.setInt16(at, low[s] as number, true)
      break
    case 62:
      view.setInt32(at, low[s] as number, true)
      break
    case 63:
      view.setInt32(at, low[s] as number, true)
      view.setInt32(at + 4, high[s] as number, true)
      break
  }
}

/** Read-modify-write of 32 bits at dst + offset; the old value goes to src when `fetch`, with cmpxchg to r0. @throws Trap */
export function atomic32(
  op: number,
  d: number,
  s: number,
  offset: number,
  fetch: boolean,
  low: Int32Array,
  high: Int32Array,
  view: DataView,
  absent: number,
): void {
  const what = op - ATOMIC32
  const at = address(low[d] as number, high[d] as number, offset)
  if (!isValid(at, 4, view)) throw badAccess('write', 4, d, offset, { low, high })
  if (isAbsent(absent, at, 4, view)) return
  const old = view.getInt32(at, true)
  const operand = low[s] as number
  if (what === CMPXCHG) {
    if (old === low[0]) view.setInt32(at, operand, true)
    low[0] = old
    high[0] = 0
    return
  }
  view.setInt32(at, combine(what, old, operand), true)
  if (fetch) {
    low[s] = old
    high[s] = 0
  }
}

/** The same for 64 bits. @throws Trap */
export function atomic64(
  op: number,
  d: number,
  s: number,
  offset: number,
  fetch: boolean,
  low: Int32Array,
  high: Int32Array,
  view: DataView,
  absent: number,
): void {
  const what = op - ATOMIC64
  const at = address(low[d] as number, high[d] as number, offset)
  if (!isValid(at, 8, view)) throw badAccess('write', 8, d, offset, { low, high })
  if (isAbsent(absent, at, 8, view)) return
  const oldLow = view.getInt32(at, true)
  const oldHigh = view.getInt32(at + 4, true)
  const operand = low[s] as number
  const operandHigh = high[s] as number
  if (what === CMPXCHG) {
    if (oldLow === low[0] && oldHigh === high[0]) {
      view.setInt32(at, operand, true)
      view.setInt32(at + 4, operandHigh, true)
    }
    low[0] = oldLow
    high[0] = oldHigh
    return
  }
  const sum = combine(what, oldLow, operand)
  const carry = what === 0 && sum >>> 0 < oldLow >>> 0 ? 1 : 0
  view.setInt32(at, sum, true)
  view.setInt32(at + 4, combine(what, oldHigh, operandHigh) + carry, true)
  if (fetch) {
    low[s] = oldLow
    high[s] = oldHigh
  }
}

function combine(what: number, old: number, operand: number): number {
  switch (what) {
    case 0:
      return (old + operand) | 0
    case 1:
      return old | operand
    case 2:
      return old & operand
    case 3:
      return old ^ operand
    default:
      return operand
  }
}
