import { FRAME_SIZE, REGS_ADDRESS, STACK_TOP_ADDRESS } from '../engine.ts'
import type { CompiledCode, Engine, Machine, VmCode } from '../engine.ts'
import { Trap, trapError } from '../trap.ts'
import { execute, type State } from './execute.ts'
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
  readonly #state: State = { pc: 0, fuel: 0, stackLimit: 0 }
  /** Runs and callbacks of this program that are under way: tail calls to itself and callbacks nest. */
  #depth = 0

  constructor(code: VmCode, machine: Machine, program: Decoded) {
    this.#code = code
    this.#machine = machine
    this.#program = program
  }

  run(ctx: number): void {
    const state = this.#state
    const before = { ...state }
    state.fuel = this.#machine.fuel
    state.stackLimit = this.#machine.stackLimit()
    try {
      this.#enter(this.#code.functions[0]?.start ?? 0, ctx)
    } finally {
      Object.assign(state, before)
    }
  }

  call(index: number): void {
    const start = this.#code.functions[index]?.start
    if (start === undefined) throw new Trap('call', `callback ${index} is no function of the program`)
    const pc = this.#state.pc
    this.#enter(start, null)
    this.#state.pc = pc
  }

  /** Runs a function in a frame of its own; r1 to r5 from the register area, or r1 = `ctx`. */
  #enter(start: number, ctx: number | null): void {
    const machine = this.#machine
    const state = this.#state
    const { low, high } = this.#program
    const view = new DataView(machine.memory.buffer)
    const top = view.getUint32(STACK_TOP_ADDRESS, true)
    const saved = this.#depth > 0 ? [...low.subarray(0, REGISTERS), ...high.subarray(0, REGISTERS)] : null
    state.pc = start
    this.#depth++
    try {
      if (top - FRAME_SIZE < state.stackLimit) throw new Trap('stack', 'calls are nested too deep')
      for (let r = 0; r < 6; r++) {
        low[r] = ctx === null ? view.getInt32(REGS_ADDRESS + r * 8, true) : 0
        high[r] = ctx === null ? view.getInt32(REGS_ADDRESS + r * 8 + 4, true) : 0
      }
      if (ctx !== null) low[1] = ctx
      for (let r = 6; r < 10; r++) low[r] = high[r] = 0
      low[10] = top
      high[10] = 0
      execute(this.#program, machine, state, this.#code.faultReadsZero)
      const after = new DataView(machine.memory.buffer)
      after.setInt32(REGS_ADDRESS, low[0] as number, true)
      after.setInt32(REGS_ADDRESS + 4, high[0] as number, true)
    } catch (error) {
      throw trapError(this.#code, state.pc, error)
    } finally {
      this.#depth--
      new DataView(machine.memory.buffer).setUint32(STACK_TOP_ADDRESS, top, true)
      if (saved !== null) {
        low.set(saved.slice(0, REGISTERS))
        high.set(saved.slice(REGISTERS))
      }
    }
  }
}
