import { IdMap } from './state/ids.ts'
import { regSafe } from './state/equal.ts'
import { type Reg, unknownReg } from './state/register.ts'
import { Slot } from './state/slot.ts'
import type { Frame, State } from './state/state.ts'
import type { Walk } from './walk.ts'
import { sameCallsites } from './checkpoints.ts'

/** Latest checkpoint at an instruction that is still being explored and lies above a state, in the same chain of calls. */
export function previousEntry(walk: Walk, from: State, insn: number): State | null {
  for (const { state } of walk.exploredAt(insn)) {
    if (state.insn === insn && state.branches > 0 && sameCallsites(state, from) && state.depth < from.depth)
      return state
  }
  return null
}

/**
 * Loops that end for other reasons than their counters (iterators, may_goto, callbacks) converge when scalars that
 * differ from the round before, and on which nothing has depended so far, are forgotten.
 */
export function widenFrom(walk: Walk, state: State): void {
  // The checkpoint at this very instruction was made just now; the round before is further up.
  const old = state.parent === null ? null : previousEntry(walk, state.parent, walk.insn)
  if (old !== null) widen(old, state, walk.lastId)
}

export function widen(old: State, now: State, fresh: number): void {
  const ids = new IdMap(fresh)
  for (let f = now.frames.length - 1; f >= 0; f--) {
    const a = old.frames[f]
    const b = now.frames[f] as Frame
    if (a === undefined) continue
    for (let i = 0; i < 10; i++) {
      const to = widened(a.regs[i] as Reg, b.regs[i] as Reg, ids)
      if (to !== null) b.regs[i] = to
    }
    for (let i = 0; i < a.stack.length; i++) {
      const x = a.stack[i]
      const y = b.stack[i]
      if (x === undefined || y === undefined || !x.spilled || !y.spilled) continue
      const to = x.reg === null || y.reg === null ? null : widened(x.reg, y.reg, ids)
      if (to !== null) b.stack[i] = new Slot(y.bytes, to)
    }
  }
}

function widened(old: Reg, now: Reg, ids: IdMap): Reg | null {
  if (old.kind !== 'scalar' || now.kind !== 'scalar' || old.precise || now.precise) return null
  return regSafe(old, now, ids, 'exact') ? null : unknownReg()
}
