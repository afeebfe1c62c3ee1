import type { FunctionContext } from './context.ts'
import { setPlace, trapIf } from './trap.ts'
import { Op, w } from './wasm/index.ts'

/** Notes that the instruction runs, where there is a probe. */
export function emitProbe(ctx: FunctionContext, at: number): void {
  const probes = ctx.program.code.instrumentation?.probes
  const probe = probes?.at[at] ?? -1
  if (!probes || probe === -1) return
  const { code } = ctx
  if (probes.kind === 'flag') {
    code.i32(0)
    code.i32(1)
    code.memory(Op.i32_store8, probes.address + probe)
    return
  }
  const address = probes.address + probe * 8
  w.store64(w.i32(0), w.add64(w.load64(w.i32(0), address), w.i64(1)), address)(code)
}

/** Takes what a function costs off the budget, before the fuel local is set. */
export function emitEntryCharge(ctx: FunctionContext, at: number): void {
  const cost = ctx.program.code.instrumentation?.charges?.entry[at] ?? 0
  if (cost === 0) return
  const { code, module } = ctx
  code.getGlobal(module.fuelGlobal)
  code.i64(cost)
  code.op(Op.i64_sub)
  code.setGlobal(module.fuelGlobal)
  setPlace(ctx, at, 'fuel')
  code.getGlobal(module.fuelGlobal)
  code.i64(0)
  code.op(Op.i64_lt_s)
  trapIf(ctx)
}

/** Takes what a round of a loop costs off the budget. */
export function emitLoopCharge(ctx: FunctionContext, at: number): void {
  const cost = ctx.program.code.instrumentation?.charges?.loop[at] ?? 0
  if (cost === 0) return
  const { code, locals } = ctx
  setPlace(ctx, at, 'fuel')
  code.get(locals.fuel)
  code.i64(cost)
  code.op(Op.i64_sub)
  code.tee(locals.fuel)
  code.i64(0)
  code.op(Op.i64_lt_s)
  trapIf(ctx)
}
