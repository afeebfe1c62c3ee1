import { pointerReg } from './state/register.ts'
import { Frame, State } from './state/state.ts'
import { entryRegisters } from './calls/local.ts'
import { parametersOf } from './program/signature.ts'
import { invalid } from './reject.ts'
import { acquire } from './calls/resources.ts'
import type { Subprogram } from './program/layout.ts'
import { pathEnded } from './checkpoints.ts'
import { stepGuarded } from './guarded-step.ts'
import { logMainFunction } from './log/main-function.ts'
import { viewState } from './log/view.ts'
import { step } from './step.ts'
import { alreadyVisited } from './visited.ts'
import type { Walk } from './walk.ts'

/** Walks main, then each global function that was called, once. */
export function walkProgram(walk: Walk): void {
  const { subprograms } = walk.facts
  walkFunction(walk, subprograms[0] as Subprogram)
  for (const sub of subprograms) if (sub.isExceptionCallback) walk.called.add(sub.index)
  const done = new Set<number>()
  for (let grown = true; grown;) {
    grown = false
    for (const sub of subprograms) {
      if (!walk.called.has(sub.index) || done.has(sub.index)) continue
      walkFunction(walk, sub)
      if (walk.trace !== null && walk.trace.log.paths) {
        walk.say(`Func#${sub.index} ('${sub.name}') is safe for any args that match its prototype`)
      }
      done.add(sub.index)
      grown = true
    }
  }
}

function walkFunction(walk: Walk, sub: Subprogram): void {
  const { trace } = walk
  const state = new State()
  state.sleepable = walk.facts.sleepable
  const frame = new Frame(-1, 0, sub.index)
  state.frames.push(frame)
  walk.restart(state, sub.start)
  frame.regs[10] = pointerReg('fp')
  trace?.begin()
  trace?.touchAll()
  if (sub.index === 0 && !walk.facts.isExtension) {
    if (trace !== null) logMainFunction(trace, walk.facts)
    frame.regs[1] = pointerReg('ctx')
    acquireArguments(walk)
  } else {
    if (trace !== null && trace.log.paths) walk.say(`Validating ${sub.name}() func#${sub.index}...`)
    entryRegisters(walk, sub)
    if (sub.isExceptionCallback) checkHandler(walk, frame, sub)
  }
  state.firstInsn = sub.start
  run(walk)
  if (trace !== null && !trace.log.all) trace.log.reset(0)
}

/** References that a struct_ops program is given with its arguments. */
function acquireArguments(walk: Walk): void {
  for (const index of walk.facts.target?.refs ?? []) walk.argumentRefs.set(index, acquire(walk))
}

/** An exception callback gets what was thrown and returns a number, for the whole program. */
function checkHandler(walk: Walk, frame: Frame, sub: Subprogram): void {
  frame.inException = true
  const [first, ...others] = parametersOf(walk.facts, sub)
  if (first?.kind !== 'anything' || others.length > 0) invalid('exception cb only supports single integer argument')
}

/** The main loop: one instruction after the other, path after path. */
function run(walk: Walk): void {
  const { flow, perfmon } = walk.facts
  const { liveness, onInstruction, trace } = walk
  let previous = -1
  for (;;) {
    walk.prevInsn = previous
    walk.begin()
    const { state, insn } = walk
    state.lastInsn = previous
    state.insn = insn
    let ended = false
    if (flow.prune[insn] === 1 && alreadyVisited(walk)) {
      trace?.safe(state, insn, previous)
      ended = true
    } else {
      if (flow.jump[insn] === 1) walk.record()
      trace?.instruction(state, insn, previous)
      if (onInstruction !== null) onInstruction(viewState(state, insn, previous, walk.facts))
      previous = insn
      if (perfmon) {
        liveness.begin(state, insn)
        ended = step(walk) === 'exit'
        liveness.commit()
      } else ended = stepGuarded(walk) === 'exit'
    }
    if (!ended) continue
    trace?.touchAll()
    pathEnded(walk, walk.state)
    liveness.update(walk.state)
    if (!walk.pop()) return
    previous = walk.prevInsn
    if (trace !== null) trace.broken = true
  }
}
