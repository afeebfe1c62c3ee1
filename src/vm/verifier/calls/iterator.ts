import { constant, isConst, valueOf } from '../domain/bounds.ts'
import { access } from '../memory/access.ts'
import { inRcuSection } from '../memory/btf.ts'
import { frameOf } from '../memory/stack.ts'
import { invalid } from '../reject.ts'
import { Flag, type Reg, Reg as Register, scalarReg } from '../state/register.ts'
import { Byte, fill, Slot } from '../state/slot.ts'
import type { State } from '../state/state.ts'
import type { Walk } from '../walk.ts'
import { previousEntry, widen } from '../widen.ts'
import { becomeNotNull } from '../nullness.ts'
import { acquire, release } from './resources.ts'

/** Where an iterator object of `slots` slots lies; it starts at the lowest address, the highest slot. */
export interface IterPlace {
  readonly frame: number
  readonly slot: number
  readonly slots: number
}

/**
 * @param expected what the kernel says last of a place where none can be
 * @param isNew whether it is written, which is refused at the frame's end: Linux 6.18 takes that for the highest slot
 */
function iterPlace(reg: Reg, slots: number, expected: string, isNew: boolean): IterPlace {
  if (!isConst(reg.value)) invalid(`iter has to be at a constant offset\n${expected}`)
  const off = reg.off + valueOf(reg.value)
  const slot = isNew && off === 0 ? 0 : (-off - 1) >> 3
  if (off % 8 !== 0 || slot + 1 < slots || slot < 0) {
    invalid(`cannot pass in iter at an offset=${off}\n${expected}`)
  }
  return { frame: reg.frame, slot, slots }
}

/** bpf_iter_X_new: makes the object on the stack. */
export function newIterator(walk: Walk, regno: number, type: string, slots: number, rcuProtected: boolean): void {
  const reg = walk.reg(regno)
  const expected = `expected uninitialized iter_${type} as arg #${regno - 1}`
  const place = iterPlace(reg, slots, expected, true)
  const frame = frameOf(walk, reg)
  for (let i = 0; i < slots; i++) {
    if (frame.slot(place.slot - i).byte(7) === Byte.ITER) invalid(expected)
  }
  for (let i = 0; i < slots; i++) {
    access(walk, { regno, off: i * 8, size: 8, write: true, signed: false, source: -2, imm: 0 })
  }
  const id = acquire(walk)
  for (let i = 0; i < slots; i++) {
    const state = new Register()
    state.kind = 'fp'
    state.refId = i === 0 ? id : 0
    state.iter = { type, state: 'active', depth: 0 }
    if (rcuProtected) state.flags = inRcuSection(walk) ? Flag.RCU : Flag.UNTRUSTED
    walk.writesSlot(place.frame, place.slot - i, true)
    frame.stack[place.slot - i] = new Slot(fill(Byte.ITER), state)
  }
}

/** The object that `next` and `destroy` get. */
export function initializedIterator(walk: Walk, regno: number, type: string, slots: number, name: string): IterPlace {
  const reg = walk.reg(regno)
  const expected = `expected an initialized iter_${type} as arg #${regno - 1}`
  const place = iterPlace(reg, slots, expected, false)
  const frame = frameOf(walk, reg)
  for (let i = 0; i < slots; i++) {
    const slot = frame.slot(place.slot - i)
    const state = slot.reg
    const isIter = slot.bytes === fill(Byte.ITER) && state?.iter?.type === type
    if (!isIter || state === null || (i === 0) !== (state.refId !== 0)) {
      return invalid(expected)
    }
    if (state.flags & Flag.UNTRUSTED) invalid(`expected an RCU CS when using ${name}`)
    walk.trace?.touchSlot(place.slot - i)
    walk.readsSlot(place.frame, place.slot - i)
  }
  return place
}

export function destroyIterator(walk: Walk, place: IterPlace): void {
  const frame = walk.state.frames[place.frame]
  if (frame === undefined) return
  const id = frame.slot(place.slot).reg?.refId ?? 0
  for (let i = 0; i < place.slots; i++) {
    walk.writesSlot(place.frame, place.slot - i, true)
    frame.stack[place.slot - i] = new Slot(0, null)
  }
  release(walk, id)
}

function setState(state: State, place: IterPlace, to: 'active' | 'drained', deeper: number): void {
  const frame = state.frames[place.frame]
  const slot = frame?.stack[place.slot]
  if (frame === undefined || slot === undefined || slot.reg === null || slot.reg.iter === null) return
  const reg = slot.reg.clone()
  reg.iter = { ...slot.reg.iter, state: to, depth: slot.reg.iter.depth + deeper }
  frame.stack[place.slot] = new Slot(slot.bytes, reg)
}

/** After `next` has returned: one more element (followed later), or the end (followed now). */
export function forkNext(walk: Walk, place: IterPlace): void {
  const { state } = walk
  const iter = state.frames[place.frame]?.slot(place.slot).reg?.iter
  if (iter?.state === 'active') {
    const { parent } = state
    const old = parent === null ? null : previousEntry(walk, parent, walk.insn)
    const more = walk.push(walk.insn + 1, walk.insn, 'ENOMEM')
    setState(more, place, 'active', 1)
    if (old !== null) widen(old, more, walk.lastId)
    more.set(0, becomeNotNull(more.reg(0)))
  }
  setState(state, place, 'drained', 0)
  walk.set(0, scalarReg(constant(0)))
}
