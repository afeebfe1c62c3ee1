import { isSyncCallbackCall } from './calls/kinds.ts'
import type { Backedge } from './loops.ts'
import { allPrecise, propagatePrecision } from './precision.ts'
import { frameInsn } from './state/equal.ts'
import { NOT_INIT } from './state/register.ts'
import { EMPTY_SLOT } from './state/slot.ts'
import type { Frame, State } from './state/state.ts'
import type { Walk } from './walk.ts'

/** Rounds after which marks that still spread over back-edges are set everywhere. */
const MAX_ROUNDS = 64

/** A path has ended: checkpoints all of whose paths have ended are complete. */
export function pathEnded(walk: Walk, from: State): void {
  for (let state: State | null = from; state !== null; state = state.parent) {
    if (--state.branches > 0) return
    const visit = walk.loops.exit(state)
    if (visit !== null) {
      walk.loops.count -= visit.backedges.length
      walk.countPeak()
      spreadOverBackedges(walk, visit.backedges)
      visit.backedges = []
    }
    forgetEvicted(walk, state)
  }
}

/** A checkpoint that is compared no more is gone when nothing can depend on it. */
export function forgetEvicted(walk: Walk, state: State): void {
  if (!state.evicted || state.branches !== 0 || walk.loops.isIncomplete(state)) return
  state.evicted = false
  walk.evictedCount--
}

function spreadOverBackedges(walk: Walk, backedges: readonly Backedge[]): void {
  if (backedges.length === 0) return
  for (let round = 1; ; round++) {
    if (round > MAX_ROUNDS) {
      if (walk.trace?.log.all === true) walk.say('propagate_backedges: too many iterations')
      for (const { state } of backedges) allPrecise(walk, state)
      return
    }
    let changed = false
    for (const { state, equalTo } of backedges) changed = propagatePrecision(walk, equalTo, state) || changed
    if (!changed) return
  }
}

/** Forgets in finished checkpoints what nobody reads after them. */
export function cleanCheckpoints(walk: Walk, checkpoints: readonly { readonly state: State }[]): void {
  for (const { state } of checkpoints) {
    if (state.branches > 0 || state.cleaned || state.insn !== walk.insn) continue
    if (!sameCallsites(state, walk.state) || walk.loops.isIncomplete(state)) continue
    clean(walk, state)
  }
}

export function sameCallsites(a: State, b: State): boolean {
  if (a.frames.length !== b.frames.length) return false
  for (let i = 0; i < a.frames.length; i++) {
    if (a.frames[i]?.callsite !== b.frames[i]?.callsite) return false
  }
  return true
}

function clean(walk: Walk, state: State): void {
  const { facts, liveness } = walk
  state.cleaned = true
  const callsBack = (at: number): boolean => isSyncCallbackCall(facts, at)
  for (let f = 0; f < state.frames.length; f++) {
    const frame = state.frames[f] as Frame
    const used = facts.live[frameInsn(state, f)] as number
    for (let i = 0; i < 10; i++) if ((used & (1 << i)) === 0) frame.regs[i] = NOT_INIT
    if (frame.stack.length === 0) continue
    const [low, high] = liveness.alive(state, f, state.insn, callsBack)
    for (let i = 0; i < frame.stack.length; i++) {
      if (((i < 32 ? low : high) & (1 << (i & 31))) === 0) frame.stack[i] = EMPTY_SLOT
    }
  }
}
