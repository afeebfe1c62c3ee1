import { cleanCheckpoints, forgetEvicted } from './checkpoints.ts'
import { isIterNextCall, isSyncCallbackCall } from './calls/kinds.ts'
import { allImprecise, propagatePrecision } from './precision.ts'
import { invalid } from './reject.ts'
import { regSafe, statesEqual, type Likeness } from './state/equal.ts'
import type { Reg } from './state/register.ts'
import type { Frame, State } from './state/state.ts'
import type { Explored, Walk } from './walk.ts'

/**
 * Compares the current state with the checkpoints of its slot; true when one of them covers it, so that this path ends.
 * Otherwise may keep the state as a new checkpoint, by the kernel's heuristics (they decide how many instructions a
 * program costs).
 */
export function alreadyVisited(walk: Walk): boolean {
  const { facts, insn, state } = walk
  const isCheckpoint = facts.flow.checkpoint[insn] === 1
  const force = facts.testStateFreq || isCheckpoint || state.history.length > 40
  const jumps = walk.jumpsProcessed - walk.jumpsAtState
  const insns = walk.insnsProcessed - walk.insnsAtState
  let add = force || (jumps >= 2 && insns >= 8)
  const list = walk.exploredAt(insn)
  const count = list.length
  cleanCheckpoints(walk, list)
  // Whether the last finished checkpoint that was looked at is in an unfinished loop: it counts for callbacks as well.
  let looping = false
  for (let i = 0; i < list.length; i++) {
    const candidate = list[i] as Explored
    const old = candidate.state
    if (old.insn !== insn) continue
    if (old.branches > 0) {
      const outcome = compareWithAncestor(walk, old)
      if (outcome === 'loop end') return covered(walk, candidate, true)
      if (outcome === 'callback end') return covered(walk, candidate, looping)
      if (outcome === 'loop') refuseLoop(walk, old)
      if (!force && jumps < 20 && insns < 100) add = false
    } else {
      looping = walk.loops.isIncomplete(old)
      if (equal(walk, old, looping ? 'range' : 'pruning')) return covered(walk, candidate, looping)
    }
    if (add) candidate.misses++
    const patience = isCheckpoint && old.branches > 0 ? 64 : 3
    if (candidate.misses > candidate.hits * patience + patience) {
      list.splice(i, 1)
      i--
      old.evicted = true
      walk.exploredCount--
      walk.evictedCount++
      forgetEvicted(walk, old)
    }
  }
  if (walk.maxStatesPerInsn < count) walk.maxStatesPerInsn = count
  if (add) keep(walk, list)
  return false
}

function equal(walk: Walk, old: State, how: Likeness): boolean {
  walk.ids.clear(walk.lastId)
  return statesEqual(old, walk.state, walk.ids, walk.facts.live, how, walk.strict)
}

function covered(walk: Walk, candidate: Explored, looping: boolean): true {
  const { state } = walk
  candidate.hits++
  if (walk.facts.flow.jump[walk.insn] === 1) walk.record()
  propagatePrecision(walk, candidate.state, state)
  if (looping) {
    const copy = state.copy()
    copy.insn = walk.insn
    walk.loops.add(copy, candidate.state)
    walk.countPeak()
  }
  return true
}

function refuseLoop(walk: Walk, old: State): never {
  const { trace, state, insn } = walk
  const text = `infinite loop detected at insn ${insn}`
  if (trace !== null) {
    trace.source(insn)
    walk.say(text)
    trace.frame('cur state:', state, state.frames.length - 1)
    trace.frame('old state:', old, state.frames.length - 1)
  }
  return invalid(text, trace !== null)
}

/** `old` is still being explored, so it may be an ancestor of the current state: a loop. */
function compareWithAncestor(walk: Walk, old: State): 'loop end' | 'callback end' | 'loop' | 'miss' {
  const { facts, insn, state } = walk
  const top = old.frame
  if (top.inAsync && top.asyncEntry !== state.frame.asyncEntry) return 'miss'
  if (isIterNextCall(facts, insn)) {
    return equal(walk, old, 'range') && iterIsActive(state) ? 'loop end' : 'miss'
  }
  const op = walk.op(insn)
  if (op.kind === 'mayGoto' && old.mayGotoDepth !== state.mayGotoDepth && equal(walk, old, 'range')) {
    return 'loop end'
  }
  if (isSyncCallbackCall(facts, insn)) return equal(walk, old, 'range') ? 'callback end' : 'miss'
  if (
    mightLoop(walk, old, state) &&
    equal(walk, old, 'exact') &&
    !iterDepthsDiffer(old, state) &&
    old.mayGotoDepth === state.mayGotoDepth &&
    old.unrollDepth === state.unrollDepth
  ) {
    return 'loop'
  }
  return 'miss'
}

/**
 * Quick test before the exact comparison: the registers of the innermost frame are the same, identities included. A
 * loop that makes new ones each time around is none to the kernel.
 */
function mightLoop(walk: Walk, old: State, now: State): boolean {
  if (old.frames.length !== now.frames.length) return false
  const a = old.frame
  const b = now.frame
  walk.ids.clear(walk.lastId)
  for (let i = 0; i < 11; i++) {
    const x = a.regs[i] as Reg
    const y = b.regs[i] as Reg
    if (x === y) continue
    if (x.id !== y.id || x.refId !== y.refId || !regSafe(x, y, walk.ids, 'exact')) return false
  }
  return true
}

function iterIsActive(state: State): boolean {
  const pointer = state.reg(1)
  const frame = state.frames[pointer.frame] as Frame
  const slot = frame.slot((-pointer.off - 1) >> 3)
  return slot.reg?.iter?.state === 'active'
}

function iterDepthsDiffer(old: State, now: State): boolean {
  return old.frames.some((frame, f) =>
    frame.stack.some((slot, i) => {
      const a = slot.reg?.iter
      if (a === null || a === undefined) return false
      return a.depth !== now.frames[f]?.stack[i]?.reg?.iter?.depth
    }),
  )
}

function keep(walk: Walk, list: Explored[]): void {
  const { state } = walk
  walk.totalStates++
  walk.exploredCount++
  walk.countPeak()
  walk.jumpsAtState = walk.jumpsProcessed
  walk.insnsAtState = walk.insnsProcessed
  allImprecise(state)
  const checkpoint = state.copy()
  checkpoint.insn = walk.insn
  walk.loops.enter(checkpoint)
  list.unshift({ state: checkpoint, hits: 0, misses: 0 })
  state.parent = checkpoint
  state.firstInsn = walk.insn
  state.history = []
  state.depth = checkpoint.depth + 1
}
