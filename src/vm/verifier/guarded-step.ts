import { Reject, type RejectErrno } from './reject.ts'
import { step } from './step.ts'
import type { Walk } from './walk.ts'

/**
 * Paths that only a processor takes which runs ahead of a condition or of a limited offset. They are walked like others
 * for those who have no CAP_PERFMON, but nothing is refused for what they do: a barrier keeps the processor from an
 * instruction that would be refused, and the path ends there.
 */

/** Refusals that a barrier prevents. Limits and endless loops are none of an instruction's. */
const PREVENTED: ReadonlySet<RejectErrno> = new Set<RejectErrno>(['EPERM', 'EACCES', 'EINVAL'])

/** Executes the current instruction as step() does, on any path of a program without CAP_PERFMON. */
export function stepGuarded(walk: Walk): 'next' | 'exit' {
  const { state, insn, liveness, barriers } = walk
  if (!state.speculative) {
    liveness.begin(state, insn)
    const outcome = step(walk)
    liveness.commit()
    return outcome
  }
  if (barriers.before.has(insn)) return 'exit'
  liveness.begin(state, insn)
  try {
    const outcome = step(walk)
    return barriers.after.has(insn) ? 'exit' : outcome
  } catch (error) {
    if (!(error instanceof Reject) || !PREVENTED.has(error.errno)) throw error
    if (!error.logged) walk.say(error.text)
    walk.state = state
    barriers.before.add(insn)
    // What was said of its offset is not needed any more.
    walk.aluLimits.delete(insn)
    return 'exit'
  } finally {
    liveness.commit()
  }
}
