import { BUDGET_ADDRESS, budgetOf, FUEL_ADDRESS, type Machine } from '../engine.ts'
import type { Charges, Instrumentation, Probes, Recorder } from '../instrument.ts'
import { outOfBudget } from '../trap.ts'
import type { State } from './execute.ts'

/** What the interpreter does beside running a program that was loaded with instruments; the JIT does the same. */
export class Hooks {
  readonly charges: Charges | null
  readonly #machine: Machine
  readonly #probes: Probes | null
  readonly #recorder: Recorder | null

  constructor(machine: Machine, instrumentation: Instrumentation) {
    this.#machine = machine
    this.charges = instrumentation.charges
    this.#probes = instrumentation.probes
    this.#recorder = instrumentation.recorder
  }

  /** A run starts from the outside. */
  begin(): void {
    if (this.charges === null) return
    const view = this.#view()
    view.setBigInt64(FUEL_ADDRESS, view.getBigInt64(BUDGET_ADDRESS, true), true)
  }

  /** Takes over what is left of the budget. */
  comeBack(state: State): void {
    if (this.charges !== null) state.fuel = Number(this.#view().getBigInt64(FUEL_ADDRESS, true))
  }

  /** Hands over what is left of the budget. */
  leave(state: State): void {
    if (this.charges !== null) this.#view().setBigInt64(FUEL_ADDRESS, BigInt(state.fuel), true)
  }

  /** A function starts. */
  enter(pc: number, state: State): void {
    this.#charge(this.charges?.entry[pc] ?? 0, pc, state)
  }

  /** An instruction is about to run. */
  before(pc: number, state: State, low: Int32Array, high: Int32Array): void {
    this.#charge(this.charges?.loop[pc] ?? 0, pc, state)
    this.#recorder?.(pc, low, high)
    const probe = this.#probes?.at[pc] ?? -1
    if (this.#probes === null || probe === -1) return
    const { kind, address } = this.#probes
    const view = this.#view()
    if (kind === 'flag') view.setUint8(address + probe, 1)
    else view.setBigUint64(address + probe * 8, view.getBigUint64(address + probe * 8, true) + 1n, true)
  }

  #charge(cost: number, pc: number, state: State): void {
    state.fuel -= cost
    if (cost === 0 || state.fuel >= 0) return
    state.pc = pc
    throw outOfBudget(budgetOf(this.#machine))
  }

  #view(): DataView {
    return new DataView(this.#machine.memory.buffer)
  }
}
