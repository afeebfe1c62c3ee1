/**
 * What programs do in the vm beside running, chosen when they are loaded; programs loaded without pay nothing for it.
 *
 * - `coverage`: note which instructions ran
 * - `count`: count how often they ran
 * - `fuel`: count instructions against a budget (option `budget` of runs): functions and rounds of loops cost all of
 *   their instructions, whichever path they take
 * - `trace`: record each instruction with the registers before it; the interpreter runs the program
 */
export type Instrument = 'coverage' | 'count' | 'fuel' | 'trace'

/** An instruction that ran, as `trace` recorded it. */
export interface InstructionStep {
  /** Slot in the program. */
  readonly insn: number
  /** r0 to r10 before it ran. */
  readonly registers: BigUint64Array
}
