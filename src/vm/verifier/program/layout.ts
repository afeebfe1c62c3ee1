import { decode, type InsnBuffer, LdImm64Pseudo, type Operation } from '../../../isa/index.ts'
import { isBpfError } from '../../../bytes/index.ts'
import { invalid, Reject } from '../reject.ts'
import { checkImmediate, malformedWords, repaired } from './encoding.ts'

/** A function of the program as the walk sees it. */
export interface Subprogram {
  readonly index: number
  readonly start: number
  readonly end: number
  readonly name: string
  /** FUNC in the program's BTF, 0 for none. */
  readonly btfId: number
  /** Whether it is verified on its own (global linkage), not with each call. */
  readonly global: boolean
  /** Static, in a program that others attach to: every call passed what its BTF says. */
  reliable: boolean
  /** Used as callback of a helper. */
  isCallback: boolean
  isAsyncCallback: boolean
  isExceptionCallback: boolean
  hasTailCall: boolean
  hasLegacyLoad: boolean
  tailCallReachable: boolean
  /** Deepest stack access in bytes. */
  stackDepth: number
}

/** Slots decoded; null at the second slot of a 64-bit immediate. */
export type Operations = readonly (Operation | null)[]

/**
 * Decodes all slots. An instruction with fields that must not be set is an error only where the walk comes to it.
 * @param malformed gets the kernel's words for such an instruction, by slot
 * @param gotox whether the kernel knows indirect jumps
 * @throws Reject for an unknown opcode
 */
export function decodeAll(insns: InsnBuffer, malformed: Map<number, string>, gotox: boolean): Operations {
  const ops = Array.from<Operation | null>({ length: insns.length }).fill(null)
  for (let i = 0; i < insns.length; i++) {
    const op = decodeOne(insns, i, malformed, gotox)
    ops[i] = op
    if (op.kind !== 'loadImm64') continue
    checkImmediate(insns, i)
    i++
  }
  return ops
}

/** What kernels before 6.19 say to indirect jumps. */
export const NO_INDIRECT_JUMPS = 'unknown opcode 0d'

const CALL_REGISTER = 0x8d
const GOTOX = 0x0d

function decodeOne(insns: InsnBuffer, at: number, malformed: Map<number, string>, gotox: boolean): Operation {
  // Calls through registers have an opcode, but no kernel takes them.
  if (insns.code[at] === CALL_REGISTER) throw new Reject('EINVAL', `unknown opcode ${CALL_REGISTER.toString(16)}`)
  if (insns.code[at] === GOTOX && !gotox) throw new Reject('EINVAL', NO_INDIRECT_JUMPS)
  try {
    return decode(insns, at)
  } catch (error) {
    if (!isBpfError(error)) throw error
    const words = malformedWords(insns, at, error.message)
    const copy = repaired(insns, at, (candidate) => decodes(candidate, at))
    if (copy === null) return invalid(words)
    malformed.set(at, words)
    return decode(copy, at)
  }
}

function decodes(insns: InsnBuffer, at: number): boolean {
  try {
    decode(insns, at)
    return true
  } catch (error) {
    if (!isBpfError(error)) throw error
    return false
  }
}

/** First slots of all functions, in order; `handler` is that of the exception callback, 0 without one. */
export function functionStarts(insns: InsnBuffer, ops: Operations, handler: number): number[] {
  const starts = new Set<number>([0, handler])
  for (let i = 0; i < insns.length; i++) {
    const op = ops[i]
    if (op === null || op === undefined) continue
    const local = op.kind === 'call' && op.call === 'local'
    const pointer = op.kind === 'loadImm64' && op.pseudo === LdImm64Pseudo.FUNC
    if (!local && !pointer) continue
    const target = i + 1 + (insns.imm[i] as number)
    if (target < 0 || target >= insns.length) invalid('call to invalid destination')
    starts.add(target)
  }
  if (starts.size > 256) throw new Reject('E2BIG', 'too many subprograms')
  return [...starts].sort((a, b) => a - b)
}

/** Jumps stay inside of their function, and every function ends in an exit or a jump. */
export function checkJumps(ops: Operations, subprograms: readonly Subprogram[]): void {
  for (const { start, end } of subprograms) {
    for (let i = start; i < end; i++) {
      const op = ops[i]
      if (op === null || op === undefined) continue
      if (op.kind === 'jump' || op.kind === 'branch' || op.kind === 'mayGoto') {
        if (op.target < start || op.target >= end) invalid(`jump out of range from insn ${i} to ${op.target}`)
      }
    }
    const last = ops[end - 1]
    const ends = last !== null && last !== undefined && (last.kind === 'exit' || last.kind === 'jump')
    if (!ends && !isThrow(last)) invalid('last insn is not an exit or jmp')
  }
}

/** bpf_throw never returns; the kernel tells it by its BTF id, which is known only to the caller, so any kfunc passes. */
function isThrow(op: Operation | null | undefined): boolean {
  return op?.kind === 'call' && op.call === 'kfunc'
}
