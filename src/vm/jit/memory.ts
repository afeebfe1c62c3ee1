import type { AccessSize, AtomicOp, Operation } from '../../isa/index.ts'
import { FRAME_SIZE, GUARD_SIZE } from '../engine.ts'
import { arenaAccess, emitInArena, refreshPresent, type ArenaAccess } from './arena-code.ts'
import {
  BASE_LOCAL,
  pushRegister,
  pushRegister32,
  setRegister,
  setRegister32,
  widen,
  type FunctionContext,
} from './context.ts'
import { Check, type Group, type Wide } from './facts.ts'
import { INLINE_MEMORY_HELPERS } from './inline.ts'
import { placeOf, type Place } from './places.ts'
import { loadSlot, storeSlot } from './slot-code.ts'
import type { FrameSlot } from './slots.ts'
import { setPlace, trapIf } from './trap.ts'
import { Op, ValueType } from './wasm/index.ts'

const LOADS: Record<AccessSize, Op> = { 1: Op.i64_load8_u, 2: Op.i64_load16_u, 4: Op.i64_load32_u, 8: Op.i64_load }
const SIGNED_LOADS: Record<AccessSize, Op> = {
  1: Op.i64_load8_s,
  2: Op.i64_load16_s,
  4: Op.i64_load32_s,
  8: Op.i64_load,
}
const LOADS32: Record<1 | 2 | 4, Op> = { 1: Op.i32_load8_u, 2: Op.i32_load16_u, 4: Op.i32_load }
const STORES32: Record<1 | 2 | 4, Op> = { 1: Op.i32_store8, 2: Op.i32_store16, 4: Op.i32_store }
const STORES: Record<AccessSize, Op> = { 1: Op.i64_store8, 2: Op.i64_store16, 4: Op.i64_store32, 8: Op.i64_store }

function placeAt(ctx: FunctionContext, register: number, off: number, size: number): Place {
  return placeOf(ctx.values, { register, off, size }, ctx.module.memorySize)
}

/** The local that is accessed in place of the frame, and where in the frame; null for all other accesses. */
function slotAt(ctx: FunctionContext, register: number, off: number, size: number): SlotAccess | null {
  const value = ctx.values.get(register)
  if (value?.kind !== 'frame') return null
  const offset = FRAME_SIZE + value.offset + off
  const slot = offset >= 0 && offset + size <= FRAME_SIZE ? ctx.facts.slots.at(offset) : null
  return slot === null ? null : { slot, offset }
}

interface SlotAccess {
  readonly slot: FrameSlot
  readonly offset: number
}

/**
 * Pushes whether the access is out of bounds. Leaves in the address local where the access ends, counted from
 * GUARD_SIZE: out of bounds is what is above the span, and (wrapped around) all that ends below the guard's end.
 */
function pushOutOfBounds(ctx: FunctionContext, register: number, off: number, size: number): void {
  const { code, locals } = ctx
  pushRegister(ctx, register)
  code.i64(off + size - GUARD_SIZE)
  code.op(Op.i64_add)
  code.tee(locals.address)
  code.get(locals.span)
  code.op(Op.i64_gt_u)
}

/** Checks an access; a bad one traps. Afterwards pushAddress() may be used, more than once. */
export function checkAccess(ctx: FunctionContext, register: number, off: number, size: number, at: number): void {
  if (placeAt(ctx, register, off, size) !== null) return
  setPlace(ctx, at, 'operation')
  pushOutOfBounds(ctx, register, off, size)
  trapIf(ctx)
}

/**
 * Checks what an instruction accesses, unless it is known to be good, and what else its check covers. Returns whether
 * the address local has where it ends.
 */
function checkInsn(ctx: FunctionContext, register: number, off: number, size: number, at: number): boolean {
  const how = ctx.facts.checks[at - ctx.start]
  const group = how === Check.GROUP ? ctx.facts.groups.get(at) : undefined
  if (group !== undefined) checkGroup(ctx, register, group)
  if (how !== Check.OWN || placeAt(ctx, register, off, size) !== null) return false
  setPlace(ctx, at, 'operation')
  pushOutOfBounds(ctx, register, off, size)
  trapIf(ctx)
  return true
}

/** As pushAddress(), for an access that was just checked, `inLocal` if checkInsn() says so. */
function pushCheckedAddress(
  ctx: FunctionContext,
  register: number,
  off: number,
  size: number,
  inLocal: boolean,
): number {
  if (!inLocal) return pushAddress(ctx, register, off, size)
  // Sums that the register is made of become part of the addition for the check.
  ctx.code.get(ctx.locals.address)
  ctx.code.op(Op.i32_wrap_i64)
  return GUARD_SIZE - size
}

function pushChecked(ctx: FunctionContext, register: number, off: number, size: number, at: number): number {
  return pushCheckedAddress(ctx, register, off, size, checkInsn(ctx, register, off, size, at))
}

function checkGroup(ctx: FunctionContext, register: number, group: Group): void {
  const { code, locals } = ctx
  pushRegister(ctx, register)
  code.i64(group.low - GUARD_SIZE)
  code.op(Op.i64_add)
  code.get(locals.span)
  code.i64(group.high - group.low)
  code.op(Op.i64_sub)
  code.op(Op.i64_gt_u)
  code.if()
  ctx.control.depth++
  // One of them is bad: the first one in the program's order traps.
  for (const { at: slot, access } of group.members) {
    setPlace(ctx, slot, 'operation')
    pushOutOfBounds(ctx, access.register, access.off, access.size)
    trapIf(ctx)
  }
  ctx.control.depth--
  code.end()
}

/** Pushes whether `size` bytes at a register are not all memory; false, and nothing is pushed, when they are known. */
export function pushOutside(ctx: FunctionContext, register: number, size: number): boolean {
  if (placeAt(ctx, register, 0, size) !== null) return false
  pushOutOfBounds(ctx, register, 0, size)
  return true
}

/** Pushes the i32 address of the access checked last; returns the constant offset that belongs to it. */
export function pushAddress(ctx: FunctionContext, register: number, off: number, size: number): number {
  const { code } = ctx
  const place = placeAt(ctx, register, off, size)
  if (place?.kind === 'frame') {
    code.get(BASE_LOCAL)
    return place.offset
  }
  if (place?.kind === 'constant') {
    code.i32(0)
    return place.address
  }
  pushRegister32(ctx, register)
  if (off >= 0) return off
  code.i32(off)
  code.op(Op.i32_add)
  return 0
}

type Load = Extract<Operation, { kind: 'load' | 'loadAcquire' }>

export function emitLoad(ctx: FunctionContext, op: Load, at: number): void {
  const { code, facts } = ctx
  const { size, src, off } = op
  const signed = op.kind === 'load' && op.signed
  const unused = facts.unused[at - ctx.start] === 1
  const slot = slotAt(ctx, src, off, size)
  if (slot !== null) {
    if (unused) return
    loadSlot(code, slot.slot, slot.offset, size, signed)
    return setLoaded(ctx, op, signed)
  }
  const opcode = (signed ? SIGNED_LOADS : LOADS)[size]
  const zeroes =
    ctx.faultReadsZero &&
    op.kind === 'load' &&
    facts.checks[at - ctx.start] !== Check.NONE &&
    placeAt(ctx, src, off, size) === null
  const where = unused ? null : arenaAccess(ctx, src, off, size, at)
  if (where !== null) return loadInArena(ctx, op, where, zeroes, at)
  if (zeroes) {
    if (unused) return
    pushOutOfBounds(ctx, src, off, size)
    code.if(ValueType.I64)
    code.i64(0)
    code.else()
    code.memory(opcode, pushAddress(ctx, src, off, size))
    code.end()
    return setLoaded(ctx, op, signed)
  }
  const inLocal = checkInsn(ctx, src, off, size, at)
  for (const wide of facts.wideLoads.get(at) ?? []) {
    code.memory(LOADS[wide.size], pushAddress(ctx, src, wide.off, wide.size))
    code.set(ctx.locals.temporaries + wide.temporary)
  }
  if (unused) return
  const offset = pushCheckedAddress(ctx, src, off, size, inLocal)
  if (op.kind === 'loadAcquire' && ctx.module.isShared) {
    code.atomic(SHARED_LOADS[size], offset, size)
    return setLoaded(ctx, op, signed)
  }
  if (isWideLoad(op)) {
    code.memory(opcode, offset)
    return setRegister(ctx, op.dst)
  }
  code.memory(LOADS32[size as 1 | 2 | 4], offset)
  setRegister32(ctx, op.dst)
}

/** Whether its result goes to the i64 local. */
function isWideLoad(op: Load): boolean {
  // A load-acquire may leave its register alone.
  return op.size === 8 || op.kind === 'loadAcquire' || op.signed
}

function loadInArena(ctx: FunctionContext, op: Load, where: ArenaAccess, zeroes: boolean, at: number): void {
  const { code } = ctx
  const { size, src, off } = op
  const isWide = isWideLoad(op)
  const signed = op.kind === 'load' && op.signed
  const zero = (): void => (isWide ? code.i64(0) : code.i32(0))
  emitInArena(ctx, where, {
    type: isWide ? ValueType.I64 : ValueType.I32,
    check(leave) {
      if (!zeroes) {
        checkInsn(ctx, src, off, size, at)
        return
      }
      pushOutOfBounds(ctx, src, off, size)
      code.if()
      zero()
      code.br(leave + 1)
      code.end()
    },
    access() {
      const opcode = isWide ? (signed ? SIGNED_LOADS : LOADS)[size] : LOADS32[size as 1 | 2 | 4]
      code.memory(opcode, pushAddress(ctx, src, off, size))
    },
    absent() {
      if (op.kind === 'loadAcquire') pushRegister(ctx, op.dst)
      else zero()
    },
  })
  if (isWide) setRegister(ctx, op.dst)
  else setRegister32(ctx, op.dst)
}

/** Pops what was loaded as i64. */
function setLoaded(ctx: FunctionContext, { kind, size, dst }: Load, signed: boolean): void {
  if (signed || size === 8 || kind === 'loadAcquire') return setRegister(ctx, dst)
  ctx.code.op(Op.i32_wrap_i64)
  setRegister32(ctx, dst)
}

/** Sets the result of an operation that combines bytes from what was loaded at once. */
export function emitWideResult(ctx: FunctionContext, { temporary, shift }: Wide, dst: number): void {
  const { code } = ctx
  code.get(ctx.locals.temporaries + temporary)
  if (shift > 0) {
    code.i64(shift * 8)
    code.op(Op.i64_shl)
  }
  setRegister(ctx, dst)
}

type Store = Extract<Operation, { kind: 'store' | 'storeRelease' }>

export function emitStore(ctx: FunctionContext, op: Store, at: number): void {
  const { code } = ctx
  const push = (): void => {
    if (op.kind === 'store' && op.src === null) code.i64(op.imm)
    else pushRegister(ctx, op.src as number)
  }
  const push32 = (): void => {
    if (op.kind === 'store' && op.src === null) code.i32(op.imm)
    else pushRegister32(ctx, op.src as number)
  }
  const slot = slotAt(ctx, op.dst, op.off, op.size)
  if (slot !== null) return storeSlot(code, slot.slot, slot.offset, op.size, push, push32)
  const where = arenaAccess(ctx, op.dst, op.off, op.size, at)
  if (where !== null) {
    return emitInArena(ctx, where, {
      check: () => void checkInsn(ctx, op.dst, op.off, op.size, at),
      access() {
        const offset = pushAddress(ctx, op.dst, op.off, op.size)
        push()
        code.memory(STORES[op.size], offset)
      },
      absent() {},
    })
  }
  const offset = pushChecked(ctx, op.dst, op.off, op.size, at)
  if (op.kind === 'storeRelease' && ctx.module.isShared) {
    push()
    return code.atomic(SHARED_STORES[op.size], offset, op.size)
  }
  if (op.size === 8) {
    push()
    return code.memory(Op.i64_store, offset)
  }
  push32()
  code.memory(STORES32[op.size], offset)
}

const ATOMICS: Record<Exclude<AtomicOp, 'xchg' | 'cmpxchg'>, Op> = {
  add: Op.i64_add,
  or: Op.i64_or,
  and: Op.i64_and,
  xor: Op.i64_xor,
}

type Atomic = Extract<Operation, { kind: 'atomic' }>

/** Where the memory is unshared, plain loads and stores are atomic. */
export function emitAtomic(ctx: FunctionContext, op: Atomic, at: number): void {
  const { dst, off, size } = op
  if (ctx.module.isShared) return emitSharedAtomic(ctx, op, at)
  const where = arenaAccess(ctx, dst, off, size, at)
  if (where === null) return emitPlainAtomic(ctx, op, pushChecked(ctx, dst, off, size, at))
  // What it fetches to is left alone where there is nothing: in both cases its value is in the i64 local.
  const fetched = op.op === 'cmpxchg' ? 0 : op.src
  widen(ctx, 1 << fetched)
  if (op.fetch && ctx.narrow !== null) ctx.narrow &= ~(1 << fetched)
  emitInArena(ctx, where, {
    check: () => void checkInsn(ctx, dst, off, size, at),
    access: () => emitPlainAtomic(ctx, op, pushAddress(ctx, dst, off, size)),
    absent() {},
  })
}

/** The address is on the stack, less `first`. */
function emitPlainAtomic(ctx: FunctionContext, op: Atomic, first: number): void {
  const { code, locals } = ctx
  const { dst, src, off, size } = op
  let offset = first
  if (op.fetch) {
    code.memory(LOADS[size], first)
    code.set(locals.scratch)
    offset = pushAddress(ctx, dst, off, size)
  }
  if (op.op === 'cmpxchg') {
    pushRegister(ctx, src)
    code.get(locals.scratch)
    pushRegister(ctx, 0)
    if (size === 4) {
      code.op(Op.i32_wrap_i64)
      code.op(Op.i64_extend_i32_u)
    }
    code.get(locals.scratch)
    code.op(Op.i64_eq)
    code.op(Op.select)
  } else if (op.op === 'xchg') {
    pushRegister(ctx, src)
  } else {
    if (op.fetch) code.get(locals.scratch)
    else code.memory(LOADS[size], pushAddress(ctx, dst, off, size))
    pushRegister(ctx, src)
    code.op(ATOMICS[op.op])
  }
  code.memory(STORES[size], offset)
  if (!op.fetch) return
  code.get(locals.scratch)
  setRegister(ctx, op.op === 'cmpxchg' ? 0 : src)
}

/** By operation: what comes after the prefix of the threads proposal, for 64 and for the low 32 bits. */
const SHARED_ATOMICS: Record<AtomicOp, readonly [wide: number, narrow: number]> = {
  add: [0x1f, 0x24],
  and: [0x2d, 0x32],
  or: [0x34, 0x39],
  xor: [0x3b, 0x40],
  xchg: [0x42, 0x47],
  cmpxchg: [0x49, 0x4e],
}
const SHARED_LOADS: Record<AccessSize, number> = { 1: 0x14, 2: 0x15, 4: 0x16, 8: 0x11 }
const SHARED_STORES: Record<AccessSize, number> = { 1: 0x1b, 2: 0x1c, 4: 0x1d, 8: 0x18 }

/** Other threads use the memory: the instructions of the threads proposal, which insist on aligned addresses. */
function emitSharedAtomic(ctx: FunctionContext, op: Atomic, at: number): void {
  const { code } = ctx
  const { dst, src, off, size } = op
  const offset = pushChecked(ctx, dst, off, size, at)
  if (op.op === 'cmpxchg') {
    pushRegister(ctx, 0)
    if (size === 4) {
      code.op(Op.i32_wrap_i64)
      code.op(Op.i64_extend_i32_u)
    }
  }
  pushRegister(ctx, src)
  code.atomic(SHARED_ATOMICS[op.op][size === 8 ? 0 : 1], offset, size)
  if (op.fetch) setRegister(ctx, op.op === 'cmpxchg' ? 0 : src)
  else code.op(Op.drop)
}

/** Whether an operation may need a bounds check, before anything is known of registers. */
export function mayNeedCheck(op: Operation): boolean {
  const inFrame = (register: number, off: number, size: number): boolean =>
    register === 10 && off >= -FRAME_SIZE && off + size <= 0
  if (op.kind === 'load' || op.kind === 'loadAcquire') return !inFrame(op.src, op.off, op.size)
  if (op.kind === 'store' || op.kind === 'storeRelease' || op.kind === 'atomic') {
    return !inFrame(op.dst, op.off, op.size)
  }
  return op.kind === 'call' && op.call === 'helper' && INLINE_MEMORY_HELPERS.has(op.imm)
}

/** Sets the locals that say how far memory goes, and pages of an arena, which calls may have changed. */
export function refreshSpan(ctx: FunctionContext): void {
  const { code, locals } = ctx
  refreshPresent(ctx)
  if (locals.span === -1) return
  code.memorySize()
  code.i32(GUARD_SIZE / 65536)
  code.op(Op.i32_sub)
  code.op(Op.i64_extend_i32_u)
  code.i64(16)
  code.op(Op.i64_shl)
  code.set(locals.span)
}
