import { sameScalar, within } from '../domain/bounds.ts'
import type { IdMap } from './ids.ts'
import { type Reg, unknownReg } from './register.ts'
import { Byte, EMPTY_SLOT, fill, type Slot } from './slot.ts'
import type { Frame, State } from './state.ts'

/**
 * How alike states must be: `pruning`: the old one was proven safe, so only what it depended on counts; `range`: values
 * must lie within, whether or not anything depends on them (loops that converge); `exact`: the same.
 */
export type Likeness = 'pruning' | 'range' | 'exact'

/** What more must be the same for those without CAP_PERFMON, as bits. */
export const Strict = {
  /** Bytes of the stack that were never written are not plain bytes. */
  STACK: 1,
  /** Numbers may decide how far pointers move: they must not even lie within. */
  NUMBERS: 2,
} as const

const MISC_REG: Reg = unknownReg()

/** Whether being safe with `old` means being safe with `now`. */
export function regSafe(old: Reg, now: Reg, ids: IdMap, how: Likeness, strict: number = 0): boolean {
  if (how === 'exact') return exactly(old, now, ids)
  if (old.kind === '?') return how === 'pruning' || now.kind === '?' || true
  if (old.kind !== now.kind || old.flags !== now.flags) return false
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- all others are treated alike below
  switch (old.kind) {
    case 'scalar':
      if ((strict & Strict.NUMBERS) !== 0) {
        return sameScalar(old.value, now.value) && sameLink(old, now) && ids.sameScalar(old.id, now.id)
      }
      if (!old.precise && how === 'pruning') return true
      if (old.id !== 0 && !sameLink(old, now)) return false
      return ids.sameScalar(old.id, now.id) && within(old.value, now.value)
    case 'map_key':
    case 'map_value':
    case 'mem':
    case 'buf':
    case 'tp_buffer':
      return (
        sameFixed(old, now) &&
        within(old.value, now.value) &&
        ids.same(old.id, now.id) &&
        ids.same(old.refId, now.refId)
      )
    case 'pkt':
    case 'pkt_meta':
      if (old.range < 0 || now.range < 0) {
        if (old.range !== now.range) return false
      } else if (old.range > now.range) return false
      return old.off === now.off && ids.same(old.id, now.id) && within(old.value, now.value)
    case 'arena':
      return true
    default:
      return exactly(old, now, ids)
  }
}

/** Whether both are at the same distance from what they are linked to, by arithmetic of the same width. */
function sameLink(old: Reg, now: Reg): boolean {
  if (old.delta !== now.delta) return false
  return old.delta === null || old.delta32 === now.delta32
}

function sameFixed(old: Reg, now: Reg): boolean {
  return (
    old.off === now.off &&
    old.map === now.map &&
    old.mapUid === now.mapUid &&
    old.memSize === now.memSize &&
    old.btfId === now.btfId &&
    old.btf === now.btf &&
    old.range === now.range &&
    old.subprog === now.subprog &&
    old.dynptr?.id === now.dynptr?.id
  )
}

function exactly(old: Reg, now: Reg, ids: IdMap): boolean {
  if (old === now) return ids.same(old.id, now.id) && ids.same(old.refId, now.refId)
  return (
    old.kind === now.kind &&
    old.flags === now.flags &&
    sameFixed(old, now) &&
    old.frame === now.frame &&
    sameLink(old, now) &&
    old.dynptr?.type === now.dynptr?.type &&
    sameScalar(old.value, now.value) &&
    ids.same(old.id, now.id) &&
    ids.same(old.refId, now.refId)
  )
}

/** The scalar that a load of the whole slot gives, null when it is something else. */
function scalarOf(slot: Slot, strict: number): Reg | null {
  if (slot.scalar64) return slot.reg
  if ((strict & Strict.STACK) !== 0) return slot.bytes === fill(Byte.MISC) ? MISC_REG : null
  // Bytes that were never written read as any number, like those that were written with one.
  return (slot.bytes & ~fill(Byte.MISC)) === 0 ? MISC_REG : null
}

function stackSafe(old: Frame, now: Frame, ids: IdMap, how: Likeness, strict: number): boolean {
  const unneeded = (strict & Strict.STACK) === 0 ? fill(Byte.MISC) : 0
  for (let i = 0; i < old.stack.length; i++) {
    const a = old.stack[i] as Slot
    const b = now.stack[i] ?? EMPTY_SLOT
    if (how !== 'pruning' && (i >= now.stack.length || a.bytes !== b.bytes)) return false
    if (a === b && a.reg === null) continue
    if (i >= now.stack.length && (a.bytes & ~unneeded) !== 0) return false
    if (!slotSafe(a, b, ids, how, strict)) return false
  }
  return true
}

function slotSafe(a: Slot, b: Slot, ids: IdMap, how: Likeness, strict: number): boolean {
  // A whole slot may be compared as a scalar only when every byte of the old one matters.
  const old = scalarOf(a, strict)
  const now = scalarOf(b, strict)
  if (old === MISC_REG && strict === 0) return true
  if (old !== null && now !== null) return regSafe(old, now, ids, how, strict)
  for (let i = 0; i < 8; i++) {
    const x = a.byte(i)
    const y = b.byte(i)
    if (x === Byte.INVALID || (x === Byte.MISC && (strict === 0 || y === Byte.ZERO))) continue
    if (x !== y) return false
    if (i !== 7) continue
    switch (x) {
      case Byte.SPILL:
        if (!regSafe(a.reg as Reg, b.reg as Reg, ids, how, strict)) return false
        break
      case Byte.DYNPTR: {
        const [p, q] = [a.reg as Reg, b.reg as Reg]
        if (p.dynptr?.type !== q.dynptr?.type || p.dynptr?.first !== q.dynptr?.first) return false
        if (!ids.same(p.refId, q.refId)) return false
        break
      }
      case Byte.ITER: {
        const [p, q] = [a.reg as Reg, b.reg as Reg]
        if (p.iter?.type !== q.iter?.type || p.iter?.state !== q.iter?.state || p.flags !== q.flags) return false
        if (!ids.same(p.refId, q.refId)) return false
        break
      }
      case Byte.IRQ: {
        const [p, q] = [a.reg as Reg, b.reg as Reg]
        if (p.irqByLock !== q.irqByLock || !ids.same(p.refId, q.refId)) return false
        break
      }
    }
  }
  return true
}

function resourcesSafe(old: State, now: State, ids: IdMap): boolean {
  if (old.refs.length !== now.refs.length) return false
  if (old.preempt !== now.preempt || old.rcu !== now.rcu || old.locks !== now.locks) return false
  if (!ids.same(old.irqId, now.irqId)) return false
  if (!ids.same(old.lockId, now.lockId) || old.lockOwner !== now.lockOwner) return false
  for (let i = 0; i < old.refs.length; i++) {
    const a = old.refs[i] as State['refs'][number]
    const b = now.refs[i] as State['refs'][number]
    if (a.kind !== b.kind || a.owner !== b.owner || !ids.same(a.id, b.id)) return false
  }
  return true
}

/** Slot at which a frame goes on: the state's own for the innermost, the call's for the others. */
export function frameInsn(state: State, frame: number): number {
  const inner = state.frames[frame + 1]
  return inner === undefined ? state.insn : inner.callsite
}

/**
 * Whether the walk may stop at `now` because `old`, a checkpoint at the same slot, was (or will be) proven safe.
 * @param live registers that may be read after each slot
 * @param strict bits of {@link Strict}
 */
export function statesEqual(
  old: State,
  now: State,
  ids: IdMap,
  live: Uint16Array,
  how: Likeness,
  strict: number,
): boolean {
  if (old.speculative && !now.speculative) return false
  if (old.frames.length !== now.frames.length || old.sleepable !== now.sleepable) return false
  if (!resourcesSafe(old, now, ids)) return false
  for (let f = 0; f < old.frames.length; f++) {
    const a = old.frames[f] as Frame
    const b = now.frames[f] as Frame
    if (a.callsite !== b.callsite) return false
    if (a.callbackDepth > b.callbackDepth) return false
    const used = live[frameInsn(old, f)] as number
    for (let i = 0; i < 11; i++) {
      if ((used & (1 << i)) === 0) continue
      if (!regSafe(a.regs[i] as Reg, b.regs[i] as Reg, ids, how, strict)) return false
    }
    if (!stackSafe(a, b, ids, how, strict)) return false
  }
  return true
}
