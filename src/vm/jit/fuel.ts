import { BUDGET_ADDRESS, FUEL_ADDRESS } from '../engine.ts'
import type { ModuleIndices } from './context.ts'
import { w, type Code } from './wasm/index.ts'

const MAX_FUEL = Number.MAX_SAFE_INTEGER

/** Where the fuel of a run comes from. */
export interface FuelCode {
  /** Before a run from the outside. */
  readonly begin: Code
  /** Sets the global as a program starts. */
  readonly enter: Code
  /** After a program has ended. */
  readonly leave: Code
}

/** Stores the global where programs share their budget. */
export function storeFuel(module: Pick<ModuleIndices, 'fuelGlobal'>): Code {
  return w.store64(w.i32(0), (code) => code.getGlobal(module.fuelGlobal), FUEL_ADDRESS)
}

/** Pushes what is left of the budget. */
export const loadBudget: Code = w.load64(w.i32(0), FUEL_ADDRESS)

/** @param fuel what every program of a chain gets; null when runs have a budget that their programs share */
export function fuelCode(module: Pick<ModuleIndices, 'fuelGlobal'>, fuel: number | null): FuelCode {
  const set =
    (value: Code): Code =>
    (code) => {
      value(code)
      code.setGlobal(module.fuelGlobal)
    }
  if (fuel !== null) {
    // One more: code is shorter that traps when nothing is left.
    const whole = Math.min(MAX_FUEL, Math.max(0, Math.floor(fuel)) + 1)
    const nothing: Code = () => {}
    return { begin: nothing, enter: set((code) => code.i64Number(whole)), leave: nothing }
  }
  return {
    begin: w.store64(w.i32(0), w.load64(w.i32(0), BUDGET_ADDRESS), FUEL_ADDRESS),
    enter: set(loadBudget),
    leave: storeFuel(module),
  }
}
