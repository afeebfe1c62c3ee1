import { FRAME_SIZE, REGS_ADDRESS, STACK_TOP_ADDRESS, TAIL_CALLS_ADDRESS } from '../engine.ts'
import type { CompiledCode, Engine, Machine, VmCode } from '../engine.ts'
import { Trap, trapError } from '../trap.ts'
import { currentView, execute, outOfStack, type State } from './execute.ts'
import { Hooks } from './hooks.ts'
import { REGISTERS, predecode, type Decoded } from './predecode.ts'

/**
 * Runs predecoded instructions one by one, with registers as two 32-bit halves. It is what the JIT is compared with,
 * and what runs where WebAssembly may not be compiled.
 */
export const interpreterEngine: Engine = {
  name: 'interpreter',
  compile(code: VmCode, machine: Machine): CompiledCode {
    return new Interpreted(code, machine, predecode(code, machine))
  },
}

class Interpreted implements CompiledCode {
  readonly #code: VmCode
  readonly #machine: Machine
  readonly #program: Decoded
  /** Shared by a run and its callbacks, so that the fuel is. */
  readonly #state: State
  readonly #hooks: Hooks | null
  /** Runs and callbacks of this program that are under way: tail calls to itself and callbacks nest. */
  #depth = 0

  constructor(code: VmCode, machine: Machine, program: Decoded) {
    this.#code = code
    this.#machine = machine
    this.#program = program
    this.#hooks = code.instrumentation ? new Hooks(machine, code.instrumentation) : null
    this.#state = { pc: 0, fuel: 0, stackLimit: 0, view: new DataView(machine.memory.buffer) }
  }

  run(ctx: number): void {
    const state = this.#state
    const { pc, fuel, stackLimit } = state
    state.fuel = this.#machine.fuel
    state.stackLimit = this.#machine.stackLimit()
    this.#hooks?.comeBack(state)
    try {
      this.#enter(this.#code.functions[0]?.start ?? 0, ctx)
      this.#hooks?.leave(state)
    } finally {
      state.pc = pc
      state.fuel = fuel
      state.stackLimit = stackLimit
    }
  }

  start(ctx: number, top: number, _limit: number): number {
    const view = currentView(this.#state, this.#machine)
    view.setUint32(STACK_TOP_ADDRESS, top, true)
    view.setUint32(TAIL_CALLS_ADDRESS, 0, true)
    this.#hooks?.begin()
    this.run(ctx)
    return currentView(this.#state, this.#machine).getUint32(REGS_ADDRESS, true)
  }

  call(index: number): void {
    const start = this.#code.functions[index]?.start
    if (start === undefined) throw new Trap('call', `callback ${index} is no function of the program`)
    const state = this.#state
    const { pc } = state
    // Timers call when no program runs.
    if (this.#depth === 0) {
      state.fuel = this.#machine.fuel
      state.stackLimit = this.#machine.stackLimit()
    }
    this.#enter(start, null)
    state.pc = pc
  }

  /** Runs a function in a frame of its own; r1 to r5 from the register area, or r1 = `ctx`. */
  #enter(start: number, ctx: number | null): void {
    const machine = this.#machine
    const state = this.#state
    const { low, high } = this.#program
    const view = currentView(state, machine)
    const top = view.getUint32(STACK_TOP_ADDRESS, true)
    // The registers of the run that this one interrupts.
    const saved = this.#depth > 0 ? low.slice(0, REGISTERS) : null
    const savedHigh = saved === null ? null : high.slice(0, REGISTERS)
    state.pc = start
    this.#depth++
    try {
      if (top - FRAME_SIZE < state.stackLimit) throw outOfStack()
      low.fill(0, 0, REGISTERS)
      high.fill(0, 0, REGISTERS)
      if (ctx === null) {
        for (let r = 1; r < 6; r++) {
          low[r] = view.getInt32(REGS_ADDRESS + r * 8, true)
          high[r] = view.getInt32(REGS_ADDRESS + r * 8 + 4, true)
        }
      } else {
        low[1] = ctx
      }
      low[10] = top
      this.#hooks?.enter(start, state)
      execute(this.#program, machine, state, this.#code.faultReadsZero, this.#code.arena?.absentPages ?? 0, this.#hooks)
      const after = currentView(state, machine)
      after.setInt32(REGS_ADDRESS, low[0] as number, true)
      after.setInt32(REGS_ADDRESS + 4, high[0] as number, true)
    } catch (error) {
      throw trapError(this.#code, state.pc, error)
    } finally {
      this.#depth--
      currentView(state, machine).setUint32(STACK_TOP_ADDRESS, top, true)
      if (saved !== null && savedHigh !== null) {
        low.set(saved)
        high.set(savedHigh)
      }
    }
  }
}
