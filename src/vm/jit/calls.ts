import { Errno, HelperId, Limit } from '../../uapi/index.ts'
import type { HelperCall, Operation } from '../../isa/index.ts'
import { FRAME_SIZE } from '../engine.ts'
import {
  BASE_LOCAL,
  unsupported,
  pushFromArea,
  pushRegister32,
  registerLocal,
  storeCallSite,
  storeStackTop,
  storeToArea,
  type FunctionContext,
} from './context.ts'
import { emitInlineHelper } from './maps.ts'
import { refreshSpan } from './memory.ts'
import { setPlace, trapIf } from './trap.ts'
import { Op, type CodeSink } from './wasm/index.ts'

type Call = Extract<Operation, { kind: 'call' }>

export function emitCall(ctx: FunctionContext, op: Call, at: number): void {
  switch (op.call) {
    case 'local':
      return callLocal(ctx, op.target, at)
    case 'helper':
      if (op.imm === HelperId.tail_call) return tailCall(ctx, at)
      if (op.imm === HelperId.loop && emitLoop(ctx, at)) return
      return callHelper(ctx, op, at)
    case 'kfunc':
      return callMachine(ctx, at, () => {
        ctx.code.i32(op.imm)
        ctx.code.call(ctx.module.callKfunc)
      })
    case 'register':
      return unsupported(at, 'call through a register (callx), which Linux refuses as well')
  }
}

function callHelper(ctx: FunctionContext, op: HelperCall, at: number): void {
  const call = (): void => callMachine(ctx, at, () => ctx.code.call(ctx.module.helper(op.imm)))
  if (!emitInlineHelper(ctx, op, at, call)) call()
}

/** Arguments go through the register area: 64-bit values would cost a BigInt each at the border to JavaScript. */
function callMachine(ctx: FunctionContext, at: number, call: () => void): void {
  const { code } = ctx
  storeArguments(ctx, 5)
  saveFuel(ctx)
  storeCallSite(code, at)
  call()
  loadFuel(ctx)
  pushFromArea(code, 0)
  code.set(registerLocal(0))
  refreshSpan(ctx)
}

function storeArguments(ctx: FunctionContext, count: number): void {
  for (let r = 1; r <= count; r++) storeToArea(ctx.code, r, registerLocal(r))
}

/** The target takes the frame's place; when it ran, its result is the caller's. */
function tailCall(ctx: FunctionContext, at: number): void {
  const { code, module } = ctx
  storeArguments(ctx, 3)
  saveFuel(ctx, true)
  storeStackTop(code, FRAME_SIZE)
  storeCallSite(code, at)
  code.call(module.tailCall)
  code.if()
  pushFromArea(code, 0)
  code.op(Op.return)
  code.end()
  if (ctx.hasMachineCalls) storeStackTop(code, 0)
}

function callLocal(ctx: FunctionContext, target: number, at: number): void {
  const { code } = ctx
  checkStack(ctx, at)
  saveFuel(ctx, true)
  callFunction(ctx, target, () => {
    for (let r = 1; r <= 5; r++) code.get(registerLocal(r))
  })
  afterFunctions(ctx)
}

/** Traps when there is no stack for another frame. */
function checkStack(ctx: FunctionContext, at: number): void {
  const { code } = ctx
  setPlace(ctx, at, 'operation')
  pushNextFrame(code)
  code.getGlobal(ctx.module.limitGlobal)
  code.op(Op.i32_lt_u)
  trapIf(ctx)
}

function pushNextFrame(code: CodeSink): void {
  code.get(BASE_LOCAL)
  code.i32(FRAME_SIZE)
  code.op(Op.i32_sub)
}

/** Calls a function of the program; r0 is its result. */
function callFunction(ctx: FunctionContext, target: number, pushArguments: () => void): void {
  const { code, module, program } = ctx
  pushNextFrame(code)
  pushArguments()
  code.call(module.functions + (program.functionAt.get(target) as number))
  code.set(registerLocal(0))
}

/** Takes over what functions of the program changed. */
function afterFunctions(ctx: FunctionContext): void {
  loadFuel(ctx, true)
  if (ctx.hasMachineCalls) storeStackTop(ctx.code, 0)
  refreshSpan(ctx)
}

/**
 * bpf_loop with a callback that is known and no flags: calls the callback from here. False: nothing was written.
 * r0 is the number of calls, of which the last one may have returned 1 to stop.
 */
function emitLoop(ctx: FunctionContext, at: number): boolean {
  const { code, locals } = ctx
  const callback = ctx.values.get(2)
  const flags = ctx.values.get(4)
  if (callback?.kind !== 'function' || flags?.kind !== 'constant' || flags.low !== 0 || flags.high !== 0) return false
  saveFuel(ctx, true)
  pushRegister32(ctx, 1)
  code.tee(locals.count)
  code.i32(Limit.LOOPS)
  code.op(Op.i32_gt_u)
  code.if()
  code.i64(-Errno.E2BIG)
  code.set(registerLocal(0))
  code.else()
  code.i32(0)
  code.set(locals.index)
  code.get(locals.count)
  code.if()
  ctx.control.depth += 2
  checkStack(ctx, at)
  ctx.control.depth -= 2
  code.loop()
  callFunction(ctx, callback.slot, () => {
    code.get(locals.index)
    code.op(Op.i64_extend_i32_u)
    code.get(registerLocal(3))
    for (let r = 3; r <= 5; r++) code.i64(0)
  })
  code.get(locals.index)
  code.i32(1)
  code.op(Op.i32_add)
  code.tee(locals.index)
  code.get(locals.count)
  code.op(Op.i32_lt_u)
  code.get(registerLocal(0))
  code.op(Op.i64_eqz)
  code.op(Op.i32_and)
  code.brIf(0)
  code.end()
  code.end()
  code.get(locals.index)
  code.op(Op.i64_extend_i32_u)
  code.set(registerLocal(0))
  code.end()
  afterFunctions(ctx)
  return true
}

/** Carries the fuel over to functions that a call leads to; helpers lead to some only when there are callbacks. */
export function saveFuel(ctx: FunctionContext, always: boolean = ctx.sharesFuel): void {
  if (!always || ctx.locals.fuel === -1) return
  ctx.code.get(ctx.locals.fuel)
  ctx.code.setGlobal(ctx.module.fuelGlobal)
}

function loadFuel(ctx: FunctionContext, always: boolean = ctx.sharesFuel): void {
  if (!always || ctx.locals.fuel === -1) return
  ctx.code.getGlobal(ctx.module.fuelGlobal)
  ctx.code.set(ctx.locals.fuel)
}

/** Legacy packet load: r0 from the machine, or the function returns 0. */
export function emitPacketLoad(
  ctx: FunctionContext,
  op: Extract<Operation, { kind: 'loadAbs' | 'loadInd' }>,
  at: number,
): void {
  const { code, module } = ctx
  if (op.kind === 'loadInd') {
    pushRegister32(ctx, op.src)
    code.i32(op.imm)
    code.op(Op.i32_add)
  } else {
    code.i32(op.imm)
  }
  code.i32(op.size)
  storeCallSite(code, at)
  code.call(module.loadPacket)
  code.op(Op.i32_eqz)
  code.if()
  code.i64(0)
  code.op(Op.return)
  code.end()
  pushFromArea(code, 0)
  code.set(registerLocal(0))
}
