import { constant, isConst, isZero, type Scalar, smaxOf, sminOf, UNKNOWN, valueOf } from '../domain/bounds.ts'
import { bitLength } from '../domain/int64.ts'
import { markPrecise } from '../precision.ts'
import { isSecret } from '../privilege.ts'
import { deny, Reject } from '../reject.ts'
import { noteStackStore } from '../speculation.ts'
import { constReg, type Reg, scalarReg, unknownReg } from '../state/register.ts'
import { Byte, EMPTY_SLOT, fill, Slot } from '../state/slot.ts'
import type { Frame } from '../state/state.ts'
import { tnumText } from '../text.ts'
import type { Walk } from '../walk.ts'
import { MAX_OFFSET } from './region.ts'

const MAX_STACK = 512

/** Frame that a stack pointer points into. */
export function frameOf(walk: Walk, reg: Reg): Frame {
  return walk.state.frames[reg.frame] as Frame
}

/** Checks that an access stays inside of the stack and makes the frame deep enough; `off` includes the fixed part. */
export function checkStackBounds(
  walk: Walk,
  reg: Reg,
  regno: number,
  off: number,
  size: number,
  what: 'read from' | 'write to',
): void {
  const { value } = reg
  const frame = frameOf(walk, reg)
  const fixed = isConst(value)
  if (!fixed && (smaxOf(value) >= MAX_OFFSET || sminOf(value) <= -MAX_OFFSET)) {
    deny(`invalid unbounded variable-offset ${what} stack R${regno}`)
  }
  const min = (fixed ? valueOf(value) : sminOf(value)) + off
  const max = (fixed ? valueOf(value) : smaxOf(value)) + off + size
  const readable = what === 'write to' || walk.facts.perfmon ? MAX_STACK : 8 * frame.stack.length
  const below = min < -readable || min > -1
  if (below || max > 0 || size < 0) {
    const place = fixed ? `off=${off}` : `var_off=${tnumText(value)} off=${off}`
    const kind = fixed ? 'invalid' : 'invalid variable-offset'
    throw new Reject(
      below ? 'EACCES' : max > 0 ? 'EINVAL' : 'EFAULT',
      `${kind} ${what} stack R${regno} ${place} size=${size}`,
    )
  }
  frame.grow(-min)
  const sub = walk.facts.subprograms[frame.subprog]
  if (sub !== undefined) sub.stackDepth = Math.max(sub.stackDepth, -min)
}

/** Bits that the value of a register can have. */
function width(value: Scalar): number {
  return bitLength(value.umaxH, value.umaxL)
}

/** The scalar gets an identity, so that copies of it are refined together. */
export function withScalarId(walk: Walk, reg: Reg): Reg {
  if (reg.kind !== 'scalar' || (reg.id !== 0 && reg.delta === null)) return reg
  if (isConst(reg.value)) return reg.id === 0 ? reg : withoutScalarId(reg)
  const to = reg.clone()
  to.id = walk.newId()
  to.delta = null
  return to
}

function withoutScalarId(reg: Reg): Reg {
  const to = reg.clone()
  to.id = 0
  to.delta = null
  return to
}

function isSpillable(reg: Reg): boolean {
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- all others are treated alike below
  switch (reg.kind) {
    case '?':
    case 'scalar':
    case 'dynptr_ptr':
      return false
    default:
      return true
  }
}

/** The bytes of a slot with a spilled register after the register is lost: all that was written is misc. */
function scrub(bytes: number): number {
  let to = 0
  for (let i = 0; i < 8; i++) {
    const byte = (bytes >>> (4 * i)) & 15
    to |= (byte === Byte.INVALID ? byte : Byte.MISC) << (4 * i)
  }
  return to >>> 0
}

/** Dynptrs, iterators and saved flags lie in whole slots; an ordinary store turns them into plain bytes. */
function withoutSpecial(bytes: number): number {
  const top = bytes >>> 28
  return top === Byte.DYNPTR || top === Byte.ITER || top === Byte.IRQ ? fill(Byte.MISC) : bytes
}

/** A store into a dynptr destroys both halves and the slices of it; one that holds a reference may not be lost. */
export function destroyDynptr(walk: Walk, frame: Frame, index: number): void {
  const slot = frame.slot(index)
  if (slot.byte(7) !== Byte.DYNPTR || slot.reg === null) return
  const { dynptr, refId } = slot.reg
  if (refId !== 0) throw new Reject('EINVAL', 'cannot overwrite referenced dynptr')
  const other = dynptr?.first === true ? index - 1 : index + 1
  walk.writesSlot(frame.index, index, true)
  walk.writesSlot(frame.index, other, true)
  frame.stack[index] = EMPTY_SLOT
  if (frame.slot(other).byte(7) === Byte.DYNPTR) frame.stack[other] = EMPTY_SLOT
  walk.state.mapRegs((reg) =>
    reg.kind === 'mem' && reg.dynptr !== null && reg.dynptr.id === dynptr?.id ? unknownReg() : reg,
  )
}

/** `*(size *)(stack + off) = value`; `source` is the register's number, -1 for an immediate. */
export function writeStack(walk: Walk, reg: Reg, off: number, size: number, source: number, imm: number): void {
  if (isConst(reg.value)) writeFixed(walk, reg, off + valueOf(reg.value), size, source, imm)
  else writeVariable(walk, reg, off, size, source, imm)
}

function writeFixed(walk: Walk, pointer: Reg, off: number, size: number, source: number, imm: number): void {
  const frame = frameOf(walk, pointer)
  const at = -off - 1
  const index = at >> 3
  const old = frame.slot(index)
  if (size !== 8 && old.spilled && old.reg !== null && isSecret(walk, old.reg)) {
    deny('attempt to corrupt spilled pointer on stack')
  }
  const value = source >= 0 ? walk.reg(source) : null
  noteStackStore(walk, old, at, size, value !== null && isSpillable(value))
  destroyDynptr(walk, frame, index)
  walk.writesSlot(frame.index, index, size === 8)
  const whole = (off & 7) === 0
  const { bpf } = walk.facts
  if (value !== null && whole && bpf && value.kind === 'scalar') {
    const fits = width(value.value) <= 8 * size
    let kept = value
    if (fits) {
      kept = withScalarId(walk, value)
      if (kept !== value) walk.set(source, kept)
    }
    spill(frame, index, kept, size, fits)
    walk.record(index, frame.index)
  } else if (value === null && source === -1 && whole && bpf) {
    spill(frame, index, constReg(imm), size, true)
    walk.record(index, frame.index)
  } else if (value !== null && isSpillable(value)) {
    if (size !== 8) deny('invalid size of register spill')
    if (frame !== walk.state.frame && value.kind === 'fp') {
      throw new Reject('EINVAL', 'cannot spill pointers to stack into stack frame of the caller')
    }
    spill(frame, index, value, size, true)
    walk.record(index, frame.index)
  } else {
    const zero = value !== null ? value.kind === 'scalar' && isZero(value.value) : source === -1 && imm === 0
    if (zero && source >= 0) markPrecise(walk, source)
    let slot = frame.slot(index)
    slot = new Slot(withoutSpecial(slot.spilled ? scrub(slot.bytes) : slot.bytes), null)
    for (let i = 0; i < size; i++) slot = slot.with((at - i) & 7, zero ? Byte.ZERO : Byte.MISC)
    frame.stack[index] = slot
  }
}

function spill(frame: Frame, index: number, value: Reg, size: number, keepId: boolean): void {
  let reg = value
  if (!keepId && value.id !== 0) {
    reg = value.clone()
    reg.id = 0
    reg.delta = null
  }
  if (size === 8) {
    frame.stack[index] = new Slot(fill(Byte.SPILL), reg)
    return
  }
  const old = frame.slot(index)
  let bytes = withoutSpecial(old.bytes)
  for (let i = 0; i < 8; i++) {
    const byte = (bytes >>> (4 * i)) & 15
    // The spilled part is at the low addresses, which are the high nibbles.
    const to = i >= 8 - size ? Byte.SPILL : byte === Byte.SPILL ? Byte.MISC : byte
    bytes = ((bytes & ~(15 << (4 * i))) | (to << (4 * i))) >>> 0
  }
  frame.stack[index] = new Slot(bytes, reg)
}

function writeVariable(walk: Walk, pointer: Reg, off: number, size: number, source: number, imm: number): void {
  const frame = frameOf(walk, pointer)
  const min = sminOf(pointer.value) + off
  const max = smaxOf(pointer.value) + off + size
  const value = source >= 0 ? walk.reg(source) : null
  const zero = value !== null ? value.kind === 'scalar' && isZero(value.value) : source === -1 && imm === 0
  let zeroUsed = false
  for (let i = min; i < max; i++) {
    const index = (-i - 1) >> 3
    destroyDynptr(walk, frame, index)
  }
  for (let i = min; i < max; i++) {
    const at = -i - 1
    const index = at >> 3
    walk.writesSlot(frame.index, index, false)
    const slot = frame.slot(index)
    const byte = slot.byte(at & 7)
    if (zero && byte === Byte.SPILL && slot.reg !== null && slot.reg.kind === 'scalar' && isZero(slot.reg.value)) {
      zeroUsed = true
      continue
    }
    const keepsZero = zero && byte === Byte.ZERO
    if (keepsZero) zeroUsed = true
    const bytes = withoutSpecial(slot.spilled ? scrub(slot.bytes) : slot.bytes)
    frame.stack[index] = new Slot(bytes, null).with(at & 7, keepsZero ? Byte.ZERO : Byte.MISC)
  }
  if (zeroUsed && source >= 0) markPrecise(walk, source)
}

/** What `*(size *)(stack + off)` gives; `unused` when no register gets it. */
export function readStack(walk: Walk, reg: Reg, regno: number, off: number, size: number, unused: boolean): Reg {
  if (isConst(reg.value)) return readFixed(walk, reg, off + valueOf(reg.value), size, unused)
  checkStackRange(walk, reg, regno, off, size, false, false, false)
  const min = sminOf(reg.value) + off
  const max = smaxOf(reg.value) + off + size
  return bytesRead(walk, frameOf(walk, reg), min, max)
}

function bytesRead(walk: Walk, frame: Frame, min: number, max: number): Reg {
  for (let i = min; i < max; i++) {
    const at = -i - 1
    walk.trace?.touchSlot(at >> 3)
    if (frame.slot(at >> 3).byte(at & 7) !== Byte.ZERO) return unknownReg()
  }
  return scalarReg(constant(0))
}

function readFixed(walk: Walk, pointer: Reg, off: number, size: number, unused: boolean): Reg {
  const frame = frameOf(walk, pointer)
  const at = -off - 1
  const index = at >> 3
  const slot = frame.slot(index)
  walk.trace?.touchSlot(index)
  walk.readsSlot(frame.index, index)
  if (!slot.spilled || slot.reg === null) {
    checkBytes(walk, slot, at, off, size)
    return bytesRead(walk, frame, off, off + size)
  }
  const spilled = slot.reg
  let spillSize = 0
  for (let i = 7; i >= 0 && slot.byte(i) === Byte.SPILL; i--) spillSize++
  if (size === 8 && spillSize === 8) {
    walk.record(index, frame.index)
    return spilled
  }
  if (spilled.kind !== 'scalar') deny('invalid size of register fill')
  // Beside a part of a number the kernel does not look at bytes that nobody gets.
  if (unused) return unknownReg()
  if (size <= spillSize && (off & 7) === 0) {
    walk.record(index, frame.index)
    if (width(spilled.value) <= size * 8) return spilled
    const to = spilled.clone()
    to.id = 0
    to.delta = null
    return to
  }
  let spills = 0
  let zeros = 0
  for (let i = 0; i < size; i++) {
    const byte = slot.byte((at - i) & 7)
    if (byte === Byte.SPILL) spills++
    else if (byte === Byte.ZERO) zeros++
    else if (byte !== Byte.MISC && !(byte === Byte.INVALID && walk.facts.perfmon)) {
      deny(`invalid read from stack off ${off}+${i} size ${size}`)
    }
  }
  if (spills === size && isZero(spilled.value)) {
    walk.record(index, frame.index)
    return scalarReg(constant(0))
  }
  return zeros === size ? scalarReg(constant(0)) : unknownReg()
}

function checkBytes(walk: Walk, slot: Slot, at: number, off: number, size: number): void {
  for (let i = 0; i < size; i++) {
    const byte = slot.byte((at - i) & 7)
    const isUnset = byte === Byte.INVALID && walk.facts.perfmon
    if (byte !== Byte.MISC && byte !== Byte.ZERO && !isUnset) {
      deny(`invalid read from stack off ${off}+${i} size ${size}`)
    }
  }
}

/**
 * A range of stack that a helper gets, or a load with a variable offset reads. A helper may also write it, so that what
 * was spilled there is forgotten. With `raw` the helper fills it without reading; true says that the caller then has
 * to simulate the writes.
 */
export function checkStackRange(
  walk: Walk,
  reg: Reg,
  regno: number,
  off: number,
  size: number,
  zeroAllowed: boolean,
  writes: boolean,
  raw: boolean,
): boolean {
  if (size === 0 && !zeroAllowed) deny('invalid zero-sized read')
  checkStackBounds(walk, reg, regno, off, size, writes ? 'write to' : 'read from')
  const fixed = isConst(reg.value)
  const min = (fixed ? valueOf(reg.value) : sminOf(reg.value)) + off
  const max = (fixed ? valueOf(reg.value) : smaxOf(reg.value)) + off + size
  const frame = frameOf(walk, reg)
  if (raw && fixed) {
    for (let i = min; i < max; i++) {
      const at = -i - 1
      if (frame.slot(at >> 3).byte(at & 7) === Byte.DYNPTR) {
        deny(`potential write to dynptr at off=${i} disallowed`)
      }
    }
    return true
  }
  for (let i = min; i < max; i++) {
    const at = -i - 1
    const index = at >> 3
    const slot = frame.slot(index)
    const byte = slot.byte(at & 7)
    if (byte === Byte.MISC) {
      walk.readsSlot(frame.index, index)
      continue
    }
    if (byte === Byte.ZERO || (byte === Byte.INVALID && walk.facts.perfmon)) {
      if (writes) frame.stack[index] = slot.with(at & 7, Byte.MISC)
      walk.readsSlot(frame.index, index)
      continue
    }
    if (slot.spilled && slot.reg !== null && !isSecret(walk, slot.reg)) {
      if (writes) {
        const forgotten = scalarReg(UNKNOWN)
        frame.stack[index] = new Slot(scrub(slot.bytes), forgotten)
      }
      walk.readsSlot(frame.index, index)
      continue
    }
    const where = fixed
      ? `off ${min}+${i - min} size ${size}`
      : `var_off ${tnumText(reg.value)}+${i - min} size ${size}`
    deny(`invalid read from stack R${regno} ${where}`)
  }
  return false
}
