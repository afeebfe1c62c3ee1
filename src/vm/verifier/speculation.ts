import { Reject } from './reject.ts'
import { type Reg, unknownReg } from './state/register.ts'
import { Byte, type Slot } from './state/slot.ts'
import type { State } from './state/state.ts'
import type { Walk } from './walk.ts'

/**
 * A condition whose outcome is certain: a processor may go the other way all the same, with operands of which nothing
 * is known.
 */
export function runAheadOfBranch(walk: Walk, insn: number, dst: number, src: number | null): void {
  if (walk.facts.perfmon) return
  const ahead = walk.push(insn, walk.insn, 'EFAULT', speculative(walk.state))
  ahead.set(dst, unknownReg())
  if (src !== null) ahead.set(src, unknownReg())
}

/** An offset that is cut to 0 where it is not what it was proven to be: the pointer stays where it was. */
export function runAheadOfOffset(walk: Walk, dst: number, unmoved: Reg, why: string): void {
  try {
    walk.push(walk.insn + 1, walk.insn, 'ENOMEM', speculative(walk.state)).set(dst, unmoved)
  } catch (error) {
    if (!(error instanceof Reject)) throw error
    throw new Reject(error.errno, `${error.text}\nR${dst} could not be pushed for speculative verification, ${why}`)
  }
}

function speculative(from: State): State {
  const state = from.copy()
  state.speculative = true
  return state
}

/**
 * A store to the stack: a processor may read what was there before, which matters when a pointer is stored, or when
 * other than plain bytes are overwritten.
 * @param at distance of the first byte from the frame's top, less one
 */
export function noteStackStore(walk: Walk, slot: Slot, at: number, size: number, isPointer: boolean): void {
  if (walk.facts.perfmon) return
  for (let i = 0; i < size && !isPointer; i++) {
    const byte = slot.byte((at - i) & 7)
    if (byte !== Byte.MISC && byte !== Byte.ZERO) isPointer = true
  }
  if (isPointer) walk.barriers.after.add(walk.insn)
}
