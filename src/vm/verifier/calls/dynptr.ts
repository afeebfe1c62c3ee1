import { isConst, valueOf } from '../domain/bounds.ts'
import { access } from '../memory/access.ts'
import { destroyDynptr, frameOf } from '../memory/stack.ts'
import { invalid, Reject } from '../reject.ts'
import { type DynptrState, Reg } from '../state/register.ts'
import { Byte, fill, Slot } from '../state/slot.ts'
import type { Walk } from '../walk.ts'
import { acquire, release } from './resources.ts'

type DynptrType = DynptrState['type']

/** First slot (at the lower address) of the dynptr that a pointer into the stack points to. */
function slotOf(reg: Reg): number {
  if (!isConst(reg.value)) invalid('dynptr has to be at a constant offset')
  const off = reg.off + valueOf(reg.value)
  const slot = (-off - 1) >> 3
  if (off % 8 !== 0 || slot < 1) invalid(`cannot pass in dynptr at an offset=${off}`)
  return slot
}

/** Makes a dynptr on the stack; one of a ring buffer (or a clone of one) must be released. */
export function newDynptr(walk: Walk, regno: number, type: DynptrType, cloneOf: number = 0): void {
  const reg = walk.reg(regno)
  checkIsDynptr(reg, regno)
  if (reg.kind !== 'fp') uninitializedExpected()
  let slot: number
  try {
    slot = slotOf(reg)
  } catch (error) {
    if (error instanceof Reject) uninitializedExpected(`${error.text}\n`)
    throw error
  }
  for (const off of [0, 8]) access(walk, { regno, off, size: 8, write: true, signed: false, source: -2, imm: 0 })
  const frame = frameOf(walk, reg)
  destroyDynptr(walk, frame, slot)
  destroyDynptr(walk, frame, slot - 1)
  const id = walk.newId()
  const refId = type !== 'ringbuf' ? 0 : cloneOf !== 0 ? cloneOf : acquire(walk)
  for (const first of [true, false]) {
    const state = new Reg()
    state.kind = 'dynptr_ptr'
    state.refId = refId
    state.dynptr = { type, id, first }
    const index = first ? slot : slot - 1
    walk.writesSlot(frame.index, index, true)
    frame.stack[index] = new Slot(fill(Byte.DYNPTR), state)
  }
}

function checkIsDynptr({ kind }: Reg, regno: number): void {
  if (kind === 'fp' || kind === 'dynptr_ptr') return
  invalid(`arg#${regno - 1} expected pointer to stack or const struct bpf_dynptr`)
}

function uninitializedExpected(before: string = ''): never {
  return invalid(`${before}Dynptr has to be an uninitialized dynptr`)
}

/** The dynptr that an argument points to: its type, identity and reference. */
export function initializedDynptr(walk: Walk, regno: number, wanted: DynptrType | null, readOnly: boolean = true): Reg {
  const reg = walk.reg(regno)
  checkIsDynptr(reg, regno)
  if (reg.kind === 'dynptr_ptr') {
    if (!readOnly) invalid('cannot pass pointer to const bpf_dynptr, the helper mutates it')
    return ofType(reg, regno, wanted)
  }
  const frame = frameOf(walk, reg)
  let slot: number
  try {
    slot = slotOf(reg)
  } catch (error) {
    if (error instanceof Reject) return invalid(`${error.text}\nExpected an initialized dynptr as arg #${regno - 1}`)
    throw error
  }
  const state = frame.slot(slot).reg
  const whole = frame.slot(slot).bytes === fill(Byte.DYNPTR) && frame.slot(slot - 1).bytes === fill(Byte.DYNPTR)
  if (!whole || state === null || state.dynptr?.first !== true) {
    return invalid(`Expected an initialized dynptr as arg #${regno - 1}`)
  }
  for (const index of [slot, slot - 1]) {
    walk.trace?.touchSlot(index)
    walk.readsSlot(frame.index, index)
  }
  return ofType(state, regno, wanted)
}

function ofType(state: Reg, regno: number, wanted: DynptrType | null): Reg {
  if (wanted !== null && state.dynptr?.type !== wanted) {
    invalid(`Expected a dynptr of type ${wanted} as arg #${regno - 1}`)
  }
  return state
}

/** Before anything else of a dynptr that is released: it must hold a reference. */
export function checkReleasable(walk: Walk, regno: number): void {
  const reg = walk.reg(regno)
  if (reg.kind === 'dynptr_ptr') invalid('cannot release unowned const bpf_dynptr')
  if (reg.kind !== 'fp') return
  let state: Reg | null = null
  try {
    state = frameOf(walk, reg).slot(slotOf(reg)).reg
  } catch (error) {
    if (!(error instanceof Reject)) throw error
  }
  if (state === null || state.dynptr === null || state.refId === 0) invalid(`arg ${regno} is an unacquired reference`)
}

export function releaseDynptr(walk: Walk, regno: number): void {
  const state = initializedDynptr(walk, regno, null)
  if (state.refId !== 0) release(walk, state.refId)
}

/** Memory inside of a dynptr: gone with it. */
export function sliceOf(source: Reg, size: number, flags: number): Reg {
  const to = new Reg()
  to.kind = 'mem'
  to.flags = flags
  to.memSize = size
  to.refId = source.refId
  to.dynptr = source.dynptr === null ? null : { ...source.dynptr, first: false }
  return to
}
