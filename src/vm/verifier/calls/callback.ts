import { HelperId as H } from '../../../uapi/index.ts'
import { isConst, isZero, UNKNOWN } from '../domain/bounds.ts'
import { markPrecise } from '../precision.ts'
import { unsupported } from '../reject.ts'
import { pointerReg, type Reg, scalarReg, unknownReg } from '../state/register.ts'
import type { Frame } from '../state/state.ts'
import { umaxOf } from '../domain/bounds.ts'
import type { Subprogram } from '../program/layout.ts'
import type { Walk } from '../walk.ts'
import type { CallFacts } from './arguments.ts'
import { enter } from './local.ts'
import { clobberCallerSaved } from './resources.ts'

/** A helper that calls a function of the program any number of times before it returns. */
export function callCallback(walk: Walk, id: number, call: CallFacts): boolean {
  const callee = walk.facts.subprograms[call.callback] as Subprogram
  const { state } = walk
  const site = walk.insn
  // Once more around, in the state as it is now; then the way on after the last time.
  if (id === H.loop) {
    const flags = walk.reg(4)
    if (flags.kind === 'scalar' && isConst(flags.value) && isZero(flags.value)) markPrecise(walk, 4)
    markPrecise(walk, 1)
  }
  const depth = state.frame.callbackDepth
  if (id === H.loop && umaxOf(walk.reg(1).value) <= depth) {
    clobberCallerSaved(walk)
    walk.set(0, unknownReg())
    state.frame.callbackDepth = 0
    return false
  }
  const inner = state.copy()
  const args = [1, 2, 3, 4, 5].map((i) => walk.reg(i))
  const pushed = walk.push(callee.start, site, inner)
  pushed.unrollDepth++
  const caller = pushed.frame
  caller.callbackDepth++
  enterCallback(walk, pushed, callee, site, id, args, call)
  clobberCallerSaved(walk)
  walk.set(0, id === H.loop || id === H.for_each_map_elem ? scalarReg(UNKNOWN) : unknownReg())
  walk.state.frame.callbackDepth = 0
  return false
}

function enterCallback(
  walk: Walk,
  state: Walk['state'],
  callee: Subprogram,
  site: number,
  id: number,
  args: readonly Reg[],
  call: CallFacts,
): void {
  const kept = walk.state
  walk.state = state
  const frame: Frame = enter(walk, callee, site)
  walk.state = kept
  frame.inCallback = true
  switch (id) {
    case H.loop:
      frame.regs[1] = unknownReg()
      frame.regs[2] = args[2] as Reg
      frame.callbackRange = [0, 1]
      break
    case H.for_each_map_elem: {
      const { map } = call
      frame.regs[1] = args[0] as Reg
      const key = pointerReg('map_key')
      const value = pointerReg('map_value')
      key.map = value.map = map
      frame.regs[2] = key
      frame.regs[3] = value
      frame.regs[4] = args[2] as Reg
      frame.callbackRange = [0, 1]
      break
    }
    default:
      unsupported('this callback')
  }
}
