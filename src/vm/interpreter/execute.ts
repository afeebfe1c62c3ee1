import { FRAME_SIZE, REGS_ADDRESS, STACK_TOP_ADDRESS } from '../engine.ts'
import type { Machine } from '../engine.ts'
import { callHelperAt } from '../callx.ts'
import { outOfFuel, Trap } from '../trap.ts'
import { framePointerTrap } from '../frame-pointer.ts'
import { jumpTarget, wildJump, type IndirectJump } from '../indirect.ts'
import { atomic32, atomic64, load, store, touchesAbsent } from './access.ts'
import { alu32, alu64 } from './alu.ts'
import { taken } from './branch.ts'
import type { Hooks } from './hooks.ts'
import type { Decoded } from './predecode.ts'

/** What of a run outlives a call of execute(). */
export interface State {
  /** Start; afterwards, and when it throws, the instruction that was last run. */
  pc: number
  /** Calls and backward jumps that are left. */
  fuel: number
  /** No frame may go below. */
  stackLimit: number
  /** Of the machine's memory, renewed when that has grown. */
  view: DataView
}

/** Iterations that a function may do through may_goto (BPF_MAX_LOOPS). */
const MAY_GOTO_BUDGET = 8_388_608
/** Values that a call keeps: return slot, may_goto budget, r6 to r9. */
const SAVED = 10

/**
 * Runs from `state.pc` to the exit of that function, on the register file of `program`. Numbers of operations are
 * those of predecode.ts.
 * @throws Trap
 */
export function execute(
  program: Decoded,
  machine: Machine,
  state: State,
  forgiving: boolean,
  absent: number,
  hooks: Hooks | null,
): void {
  const { op, dst, src, arg, extra, jumps, low, high } = program
  const calls: number[] = []
  let { view } = state
  let mayGoto = MAY_GOTO_BUDGET
  /** Set by what returns from the current function. */
  let leaving = false
  let pc = state.pc
  /** What a backward jump or call costs; budgets in instructions are charged elsewhere. */
  const step = hooks === null || !hooks.charges ? 1 : 0
  try {
    for (;;) {
      if (hooks !== null) hooks.before(pc, state, low, high)
      const o = op[pc] as number
      const d = dst[pc] as number
      const s = src[pc] as number
      const a = arg[pc] as number
      if (o < 20) {
        alu64(o, d, s, low, high)
      } else if (o < 46) {
        alu32(o, d, s, low, high)
      } else if (o >= 70 && o < 101) {
        if (taken(o, d, s, low, high)) {
          if (a <= pc && (state.fuel -= step) < 0) throw outOfFuel(machine.fuel)
          pc = a
          continue
        }
      } else if (o >= 50 && o < 60) {
        load(o, d, s, a, low, high, view, forgiving, absent)
      } else if (o >= 60 && o < 70) {
        store(o, d, s, a, low, high, view, absent)
      } else {
        switch (o) {
          case 46: // ld_imm64
            low[d] = low[s] as number
            high[d] = high[s] as number
            pc++
            break
          case 101: // ja, gotol
            if (a <= pc && (state.fuel -= step) < 0) throw outOfFuel(machine.fuel)
            pc = a
            continue
          case 102: // may_goto
            if (mayGoto === 0) {
              pc = a
              continue
            }
            mayGoto--
            break
          case 103: // call of a helper
          case 122: // call of a kernel function
          case 124: // callx
            if ((state.fuel -= step) < 0) throw outOfFuel(machine.fuel)
            passArguments(view, low, high)
            view.setUint32(STACK_TOP_ADDRESS, (low[10] as number) - FRAME_SIZE, true)
            state.pc = pc
            if (o === 103) machine.callHelper(extra[pc] as number)
            else if (o === 122) machine.callKfunc(extra[pc] as number)
            else callHelperAt(machine, low[s] as number, high[s] as number)
            view = currentView(state, machine)
            takeResult(view, low, high)
            break
          case 104: {
            // call of a subprogram
            if ((state.fuel -= step) < 0) throw outOfFuel(machine.fuel)
            const frame = (low[10] as number) - FRAME_SIZE
            if (frame - FRAME_SIZE < state.stackLimit) throw outOfStack()
            calls.push(pc + 1, mayGoto)
            for (let r = 6; r < 10; r++) calls.push(low[r] as number, high[r] as number)
            low[10] = frame
            mayGoto = MAY_GOTO_BUDGET
            pc = a
            if (hooks !== null) hooks.enter(pc, state)
            continue
          }
          case 105: // exit
            leaving = true
            break
          case 106: // tail call
            if ((state.fuel -= step) < 0) throw outOfFuel(machine.fuel)
            passArguments(view, low, high)
            view.setUint32(STACK_TOP_ADDRESS, low[10] as number, true)
            state.pc = pc
            if (hooks !== null) hooks.leave(state)
            if (machine.tailCall()) {
              if (hooks !== null) hooks.comeBack(state)
              takeResult(currentView(state, machine), low, high)
              leaving = true
            }
            view = currentView(state, machine)
            break
          case 107: // ld_abs
          case 108: {
            // ld_ind
            const base = o === 108 ? (low[s] as number) : 0
            view.setUint32(STACK_TOP_ADDRESS, (low[10] as number) - FRAME_SIZE, true)
            if (machine.loadPacket((base + a) | 0, extra[pc] as number)) {
              takeResult(view, low, high)
            } else {
              low[0] = high[0] = 0
              leaving = true
            }
            break
          }
          case 110: // add, or, and, xor, xchg, cmpxchg
          case 111:
          case 112:
          case 113:
          case 114:
          case 115:
            atomic32(o, d, s, a, extra[pc] !== 0, low, high, view, absent)
            break
          case 116:
          case 117:
          case 118:
          case 119:
          case 120:
          case 121:
            atomic64(o, d, s, a, extra[pc] !== 0, low, high, view, absent)
            break
          case 125:
            throw framePointerTrap()
          case 126: {
            // gotox
            const target = jumpTarget(jumps[a] as IndirectJump, low[d] as number, high[d] as number)
            if (target === -1) throw wildJump(d, low[d] as number, high[d] as number)
            if (target <= pc && (state.fuel -= step) < 0) throw outOfFuel(machine.fuel)
            pc = target
            continue
          }
          case 127: {
            // load-acquire in a program with an arena
            const size = extra[pc] as number
            if (!touchesAbsent(absent, s, a, size, low, high, view)) {
              load(50 + Math.log2(size), d, s, a, low, high, view, false, absent)
            }
            break
          }
          default:
            throw new Trap('instruction', `control reached slot ${pc}, which is no instruction`)
        }
        if (leaving) {
          leaving = false
          if (calls.length === 0) return
          const at = calls.length - SAVED
          pc = calls[at] as number
          mayGoto = calls[at + 1] as number
          for (let r = 6; r < 10; r++) {
            low[r] = calls[at + 2 + (r - 6) * 2] as number
            high[r] = calls[at + 3 + (r - 6) * 2] as number
          }
          calls.length = at
          low[10] = (low[10] as number) + FRAME_SIZE
          continue
        }
      }
      pc++
    }
  } finally {
    state.pc = pc
  }
}

/** The view of the machine's memory, which may have grown. */
export function currentView(state: State, machine: Machine): DataView {
  const { buffer } = machine.memory
  if (state.view.buffer !== buffer) state.view = new DataView(buffer)
  return state.view
}

function passArguments(view: DataView, low: Int32Array, high: Int32Array): void {
  for (let r = 1; r < 6; r++) {
    view.setInt32(REGS_ADDRESS + r * 8, low[r] as number, true)
    view.setInt32(REGS_ADDRESS + r * 8 + 4, high[r] as number, true)
  }
}

function takeResult(view: DataView, low: Int32Array, high: Int32Array): void {
  low[0] = view.getInt32(REGS_ADDRESS, true)
  high[0] = view.getInt32(REGS_ADDRESS + 4, true)
}

/** No room for another frame. */
export function outOfStack(): Trap {
  return new Trap('stack', 'calls are nested too deep: no stack is left for another frame')
}
