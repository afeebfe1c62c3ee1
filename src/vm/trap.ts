import { BpfError, type BpfErrorWhere } from '../bytes/index.ts'
import type { TrapReason, VmCode } from './engine.ts'

/**
 * Thrown by helpers and by engines to stop a run. The engine that runs the program turns it into a BpfError with
 * the instruction and the C line, see {@link trapError}.
 */
export class Trap extends Error {
  override readonly name: string = 'Trap'
  readonly reason: TrapReason

  constructor(reason: TrapReason, message: string) {
    super(message)
    this.reason = reason
  }
}

/** What a program that was not verified can do to a map, whose own data lie in the same memory. */
export const DAMAGED = 'links between elements of a map lead nowhere: a program has overwritten them'

/** Loop iterations and calls went on for too long. */
export function outOfFuel(fuel: number): Trap {
  return new Trap('fuel', `no end after ${fuel} loop iterations and calls`)
}

/** The budget of a run, in instructions, was used up. */
export function outOfBudget(budget: bigint): Trap {
  return new Trap('fuel', `the budget of ${budget} instructions is used up`)
}

/** C line of an instruction, "file:line: text", when the object has line records. */
export function sourceLineOf(code: VmCode, insn: number): string | undefined {
  let low = 0
  let high = code.lines.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((code.lines[middle]?.insn ?? 0) <= insn) low = middle + 1
    else high = middle
  }
  const line = code.lines[low - 1]
  return line === undefined ? undefined : `${line.file}:${line.line}: ${line.text.trim()}`
}

/** The error that a run ends with: `trap`, with program, instruction (when known) and C line. */
export function trapError(code: VmCode, insn: number | null, cause: unknown): unknown {
  if (!(cause instanceof Trap)) {
    if (cause instanceof RangeError && /call stack/i.test(cause.message)) {
      return new BpfError('trap', 'calls are nested too deep', { where: { program: code.name } })
    }
    // A view of the memory was asked for an address that is none.
    if (cause instanceof RangeError) return new BpfError('trap', DAMAGED, { where: { program: code.name }, cause })
    return cause
  }
  const where: { -readonly [K in keyof BpfErrorWhere]: BpfErrorWhere[K] } = { program: code.name }
  if (insn !== null) {
    where.insn = insn
    const sourceLine = sourceLineOf(code, insn)
    if (sourceLine !== undefined) where.sourceLine = sourceLine
  }
  return new BpfError('trap', cause.message, { where, cause })
}
