import type { Operation } from '../../isa/index.ts'
import { GUARD_SIZE } from '../engine.ts'
import { outOfBudget, outOfFuel, Trap } from '../trap.ts'
import { wildJump } from '../indirect.ts'
import { framePointerTrap, writesFramePointer } from '../frame-pointer.ts'
import type { FunctionContext } from './context.ts'
import { accessOf } from './places.ts'
import { Op } from './wasm/index.ts'

/**
 * A place is twice the slot of an instruction; one more when the fuel ran out there. The instruction tells what else
 * can be wrong.
 */
export const NO_PLACE = -2

/** Notes where the next condition of trapIf() belongs. In optimised code this costs nothing but on the way out. */
export function setPlace(ctx: FunctionContext, at: number, what: 'operation' | 'fuel'): void {
  ctx.code.i32(at * 2 + (what === 'fuel' ? 1 : 0))
  ctx.code.set(ctx.locals.place)
}

/** Traps when the i32 on the stack is not 0. Leaves loops first: V8 does not unroll a loop with a call in it. */
export function trapIf(ctx: FunctionContext): void {
  ctx.code.brIf(ctx.control.depth)
}

/** The end of a function, where all of its traps meet. */
export function emitTrapExit(ctx: FunctionContext): void {
  const { code, locals, module } = ctx
  code.get(locals.place)
  for (const shift of [0, 32]) {
    if (locals.address === -1) {
      code.i32(0)
      continue
    }
    code.get(locals.address)
    code.i64(shift)
    code.op(Op.i64_shr_u)
    code.op(Op.i32_wrap_i64)
  }
  code.call(module.trap)
  code.op(Op.unreachable)
}

/** Slot of a place, or null. */
export function placeSlot(place: number): number | null {
  return place === NO_PLACE ? null : place >> 1
}

/** The Trap at a place; `op` is the instruction there, `low` and `high` the address local. */
export function makeTrap(
  place: number,
  op: Operation | null,
  low: number,
  high: number,
  fuel: number,
  budget: bigint | null,
): Trap {
  if ((place & 1) === 1) return budget === null ? outOfFuel(fuel) : outOfBudget(budget)
  if (op !== null && writesFramePointer(op)) return framePointerTrap()
  if (op?.kind === 'call' && op.call === 'helper') {
    return new Trap('memory', 'r2 does not point to a key in memory, or r1 is no map')
  }
  if (op === null || op.kind === 'call') {
    return new Trap('stack', 'calls are nested too deep: no stack is left for another frame')
  }
  if (op.kind === 'gotox') return wildJump(op.dst, low, high)
  return new Trap('memory', describeAccess(op, low, high))
}

function describeAccess(op: Operation, low: number, high: number): string {
  const access = accessOf(op)
  if (access === null) return 'bad memory access'
  const end = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)
  const address = BigInt.asUintN(64, end - BigInt(access.size) + BigInt(GUARD_SIZE))
  const via = `r${access.register} ${access.off < 0 ? '-' : '+'} ${Math.abs(access.off)}`
  const what = `${access.verb} of ${access.size} bytes at address 0x${address.toString(16)} (${via})`
  return `${what} is outside of the program's memory`
}
