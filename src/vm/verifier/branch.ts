import type { BranchOp, Operation } from '../../isa/index.ts'
import { arithmetic } from './domain/arithmetic.ts'
import {
  Bounds,
  constant,
  constant64,
  isConst,
  isZero,
  type Scalar,
  sameScalar,
  umaxOf,
  UNKNOWN,
} from './domain/bounds.ts'
import { zeroExtend32 } from './domain/resize.ts'
import { decide, FLIPPED, knownBits, NEGATED, refine } from './domain/compare.ts'
import { markPrecise } from './precision.ts'
import { keepSecret } from './privilege.ts'
import { readReg } from './registers.ts'
import { runAheadOfBranch } from './speculation.ts'
import { Reject } from './reject.ts'
import { Flag, isPacketPointer, type Reg, scalarReg } from './state/register.ts'
import { Slot } from './state/slot.ts'
import { frameInsn } from './state/equal.ts'
import type { LinkedReg, State } from './state/state.ts'
import { becomeNotNull, markNull } from './nullness.ts'
import type { Walk } from './walk.ts'

type Branch = Extract<Operation, { kind: 'branch' }>

const AT_END = -1
const BEYOND_END = -2
const MAX_PACKET = 0xffff
const MAX_LINKED = 6

/** A conditional jump: goes the way that is certain, or both, each with what the condition says of its operands. */
export function stepBranch(walk: Walk, op: Branch): void {
  const dst = readReg(walk, op.dst)
  const src = op.src === null ? null : readReg(walk, op.src)
  const right = src ?? scalarReg(constant(op.imm))
  const arePackets = isPacketAny(dst) && isPacketAny(right)
  if (op.src !== null && !arePackets) keepSecret(walk, op.src, right, 'pointer comparison prohibited')
  const stackPointers = (src?.kind === 'fp' ? 1 : 0) | (dst.kind === 'fp' ? 2 : 0)
  if (stackPointers !== 0) walk.recordStackPointers(stackPointers)
  const taken = outcome(op, dst, right)
  if (taken !== null) {
    if (dst.kind === 'scalar') markPrecise(walk, op.dst)
    if (op.src !== null && right.kind === 'scalar') markPrecise(walk, op.src)
    runAheadOfBranch(walk, taken ? walk.insn + 1 : op.target, op.dst, op.src)
    walk.trace?.touched(walk.state, walk.insn)
    walk.insn = taken ? op.target : walk.insn + 1
    return
  }
  const linked = collectLinked(walk, src, dst)
  if (linked.length > 1) walk.record(-1, 0, linked)
  const other = walk.push(op.target, walk.insn)
  const here = walk.state
  if (dst.kind === 'scalar' && right.kind === 'scalar') {
    refineBoth(walk, op, here, other)
    for (const state of [here, other]) {
      if (op.src !== null) syncLinked(state, state.reg(op.src), linked)
      syncLinked(state, state.reg(op.dst), linked)
    }
  }
  if (op.wide && op.src !== null) matchNullness(op, here, other, dst, right)
  const isNullCheck = op.wide && op.src === null && op.imm === 0 && (op.op === 'eq' || op.op === 'ne')
  if (isNullCheck && dst.mayBeNull) {
    markNull(here, dst, op.op === 'ne', walk.facts.btf)
    markNull(other, dst, op.op === 'eq', walk.facts.btf)
  } else if (!(op.wide && op.src !== null && matchPacket(op, here, other))) {
    keepSecret(walk, op.dst, dst, 'pointer comparison prohibited')
  }
  walk.trace?.touched(here, walk.insn)
  walk.insn++
}

function isPacketAny(reg: Reg): boolean {
  return isPacketPointer(reg.kind) || reg.kind === 'pkt_end'
}

/** Whether the branch is taken, when that is certain. */
function outcome(op: Branch, dst: Reg, src: Reg): boolean | null {
  if (op.wide && isPacketAny(dst) && isPacketAny(src)) return packetOutcome(op.op, dst, src)
  if (dst.kind !== 'scalar' || src.kind !== 'scalar') {
    const known = (r: Reg): boolean => r.kind === 'scalar' && knownBits(r.value, op.wide)
    const [pointer, number] = known(src) ? [dst, src] : [src, dst]
    if (!known(number) || !isNotNull(pointer)) return null
    if (number.value.vl !== 0 || (op.wide && number.value.vh !== 0)) return null
    return op.op === 'eq' ? false : op.op === 'ne' ? true : null
  }
  return decide(op.op, dst.value, src.value, op.wide)
}

function isNotNull(reg: Reg): boolean {
  if (reg.mayBeNull) return false
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- all others are treated alike below
  switch (reg.kind) {
    case 'sock':
    case 'tcp_sock':
    case 'sock_common':
    case 'map_value':
    case 'map_key':
    case 'map_ptr':
      return true
    case 'ptr_':
      return (reg.flags & Flag.TRUSTED) !== 0 || reg.refId !== 0
    case 'mem':
      return (reg.flags & Flag.UNTRUSTED) === 0
    default:
      return false
  }
}

function packetOutcome(op: BranchOp, dst: Reg, src: Reg): boolean | null {
  const isRight = src.kind === 'pkt_end'
  if (!isRight && dst.kind !== 'pkt_end') return null
  const packet = isRight ? dst : src
  const how = isRight ? op : FLIPPED[op]
  if (packet.range >= 0) return null
  const beyond = packet.range === BEYOND_END
  if (how === 'le' || how === 'gt') return beyond ? how === 'gt' : null
  if (how === 'lt' || how === 'ge') return how === 'ge'
  return null
}

function refined(walk: Walk, bounds: Bounds): Scalar {
  bounds.sync()
  if (bounds.consistent()) return bounds
  if (walk.facts.testRegInvariants) throw new Reject('EFAULT', 'REG INVARIANTS VIOLATION')
  // The kernel warns and forgets the value; so states stay the same as its own.
  const forgotten = Bounds.copy(UNKNOWN)
  forgotten.vh = bounds.vh
  forgotten.vl = bounds.vl
  forgotten.mh = bounds.mh
  forgotten.ml = bounds.ml
  return forgotten
}

function refineBoth(walk: Walk, op: Branch, here: State, other: State): void {
  for (const state of [here, other]) {
    const dst = state.reg(op.dst)
    const src = op.src === null ? null : state.reg(op.src)
    const a = Bounds.copy(dst.value)
    // A register compared with itself is both sides at once, even where that cannot be.
    const b = op.src === op.dst ? a : Bounds.copy(src === null ? constant(op.imm) : src.value)
    refine(state === here ? NEGATED[op.op] : op.op, a, b, op.wide)
    set(state, op.dst, refined(walk, a))
    if (op.src !== null && op.src !== op.dst) set(state, op.src, refined(walk, b))
  }
}

function set(state: State, i: number, value: Scalar): void {
  const reg = state.reg(i)
  if (!sameScalar(reg.value, value)) state.set(i, reg.withValue(value))
}

/** Registers and slots that hold the same scalar as the operands, so that what is learnt holds for them as well. */
function collectLinked(walk: Walk, src: Reg | null, dst: Reg): LinkedReg[] {
  const { state } = walk
  const linked: LinkedReg[] = []
  for (const operand of [src, dst]) {
    if (operand === null || operand.kind !== 'scalar' || operand.id === 0) continue
    for (let f = state.frames.length - 1; f >= 0; f--) {
      const frame = state.frames[f]
      if (frame === undefined) continue
      const live = walk.facts.live[frameInsn(state, f)] as number
      for (let i = 0; i < 10; i++) {
        if ((live & (1 << i)) === 0) continue
        const reg = frame.regs[i] as Reg
        if (reg.kind !== 'scalar' || reg.id !== operand.id) continue
        if (linked.length < MAX_LINKED) linked.push({ frame: f, reg: i, slot: -1 })
        else frame.regs[i] = unlinked(reg)
      }
      for (let i = 0; i < frame.stack.length; i++) {
        const slot = frame.stack[i] as Slot
        if (!slot.spilled || slot.reg?.kind !== 'scalar' || slot.reg.id !== operand.id) continue
        if (linked.length < MAX_LINKED) linked.push({ frame: f, reg: -1, slot: i })
        else frame.stack[i] = new Slot(slot.bytes, unlinked(slot.reg))
      }
    }
  }
  return linked
}

/** Beyond the limit a register loses its link, as in the kernel. */
function unlinked(reg: Reg): Reg {
  const to = reg.clone()
  to.id = 0
  to.delta = null
  return to
}

function syncLinked(state: State, known: Reg, linked: readonly LinkedReg[]): void {
  if (known.kind !== 'scalar' || known.id === 0) return
  for (const l of linked) {
    const frame = state.frames[l.frame]
    if (frame === undefined) continue
    const reg = l.reg >= 0 ? (frame.regs[l.reg] as Reg) : frame.slot(l.slot).reg
    if (reg === null || reg === known || reg.kind !== 'scalar' || reg.id !== known.id) continue
    // A distance in 32 bits does not hold in 64, nor the other way round.
    if (reg.delta !== null && known.delta !== null && reg.delta32 !== known.delta32) continue
    const to = follow(reg, known)
    if (l.reg >= 0) frame.regs[l.reg] = to
    else frame.stack[l.slot] = new Slot(frame.slot(l.slot).bytes, to)
  }
}

function follow(reg: Reg, known: Reg): Reg {
  const distance = (reg.delta ?? 0) - (known.delta ?? 0)
  if (distance === 0) return known
  const is32 = (r: Reg): boolean => r.delta !== null && r.delta32
  // A distance of one width says nothing of one of the other.
  if (reg.delta !== null && known.delta !== null && reg.delta32 !== known.delta32) return reg
  const to = known.clone()
  to.delta = reg.delta
  to.delta32 = reg.delta32
  const sum = arithmetic('add', true, known.value, constant64(BigInt(distance))) as Scalar
  to.value = is32(reg) || is32(known) ? zeroExtend32(sum) : sum
  return to
}

/** A pointer that may be null equal to one that is not: it is not null either. */
function matchNullness(op: Branch, here: State, other: State, dst: Reg, src: Reg): void {
  if (dst.kind === 'scalar' || src.kind === 'scalar' || dst.kind === 'ptr_' || src.kind === 'ptr_') return
  if (dst.mayBeNull === src.mayBeNull) return
  const equal = op.op === 'eq' ? other : op.op === 'ne' ? here : null
  if (equal === null) return
  const i = src.mayBeNull ? (op.src as number) : op.dst
  equal.set(i, becomeNotNull(equal.reg(i)))
}

/** A comparison of a packet pointer with the packet's end tells how many bytes are there; false when it is none. */
function matchPacket(op: Branch, here: State, other: State): boolean {
  const dst = here.reg(op.dst)
  const src = here.reg(op.src as number)
  const right = isLimit(dst, src)
  const left = isLimit(src, dst)
  if (!right && !left) return false
  const how = right ? op.op : FLIPPED[op.op]
  const packet = right ? op.dst : (op.src as number)
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- all others are treated alike below
  switch (how) {
    case 'gt':
      found(here, packet, false)
      atEnd(other, packet, true)
      break
    case 'lt':
      found(other, packet, true)
      atEnd(here, packet, false)
      break
    case 'ge':
      found(here, packet, true)
      atEnd(other, packet, false)
      break
    case 'le':
      found(other, packet, false)
      atEnd(here, packet, true)
      break
    default:
      return false
  }
  return true
}

/** Whether `limit` is where `pointer`'s region ends: the packet's end, or for metadata the start of the packet. */
function isLimit(pointer: Reg, limit: Reg): boolean {
  if (pointer.kind === 'pkt') return limit.kind === 'pkt_end'
  const isStart = limit.kind === 'pkt' && limit.off === 0 && isConst(limit.value) && isZero(limit.value)
  return pointer.kind === 'pkt_meta' && isStart
}

function found(state: State, i: number, rightOpen: boolean): void {
  const pointer = state.reg(i)
  if (pointer.off < 0 || (pointer.off === 0 && rightOpen)) return
  const max = umaxOf(pointer.value)
  if (max > MAX_PACKET || max + pointer.off > MAX_PACKET) return
  const range = rightOpen ? pointer.off + 1 : pointer.off
  state.mapRegs((reg) => {
    if (reg.kind !== pointer.kind || reg.id !== pointer.id || reg.range >= range) return reg
    const to = reg.clone()
    to.range = range
    return to
  })
}

function atEnd(state: State, i: number, beyond: boolean): void {
  const reg = state.reg(i)
  if (reg.kind !== 'pkt') return
  const to = reg.clone()
  to.range = beyond ? BEYOND_END : AT_END
  state.set(i, to)
}
