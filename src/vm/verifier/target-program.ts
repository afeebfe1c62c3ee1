import { type Parameter, parametersOf } from './program/signature.ts'
import type { Subprogram } from './program/layout.ts'
import type { TargetFunction } from './program/target.ts'
import { Reject } from './reject.ts'
import type { VerifyTarget } from './verify.ts'
import type { ProgramFacts, Walk } from './walk.ts'

/** What a program that attaches to a function of another one must know of it; `walk` is the other's verification. */
export function describeTarget(target: VerifyTarget, walk: Walk): TargetFunction {
  const { facts } = walk
  const { program, options } = target
  const sub = facts.subprograms.find((s) => s.name === target.function)
  return {
    name: target.function,
    btf: options.btf,
    btfId: sub?.btfId ?? 0,
    isExceptionCallback: sub?.isExceptionCallback === true,
    exists: sub !== undefined && (!sub.global || walk.called.has(sub.index)),
    reliable: sub !== undefined && isReliable(facts, sub),
    changesPacket: sub !== undefined && facts.effects.packetChangers.has(sub.index),
    mightSleep: sub !== undefined && facts.effects.sleepers.has(sub.index),
    program: {
      type: program.spec.type,
      attachType: program.spec.attachType ?? 0,
      attachesToProgram: options.target !== undefined,
    },
  }
}

/** Whether the BTF of a function says what it gets: main the context, static functions numbers and contexts. */
function isReliable(facts: ProgramFacts, sub: Subprogram): boolean {
  if (sub.global || !sub.reliable) return sub.reliable
  const isPlain = ({ kind }: Parameter): boolean => kind === 'ctx' || (kind === 'anything' && sub.index > 0)
  try {
    const params = parametersOf(facts, sub)
    return (sub.index > 0 || params.length === 1) && params.every(isPlain)
  } catch (error) {
    if (error instanceof Reject) return false
    throw error
  }
}
