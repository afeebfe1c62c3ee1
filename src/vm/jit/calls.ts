import { HelperId } from '../../uapi/index.ts'
import type { Operation } from '../../isa/index.ts'
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
import { Op } from './wasm/index.ts'

type Call = Extract<Operation, { kind: 'call' }>

export function emitCall(ctx: FunctionContext, op: Call, at: number): void {
  switch (op.call) {
    case 'local':
      return callLocal(ctx, op.target, at)
    case 'helper':
      if (op.imm === HelperId.tail_call) return tailCall(ctx, at)
      if (emitInlineHelper(ctx, op, at)) return
      return callMachine(ctx, at, () => ctx.code.call(ctx.module.helper(op.imm)))
    case 'kfunc':
      return callMachine(ctx, at, () => {
        ctx.code.i32(op.imm)
        ctx.code.call(ctx.module.callKfunc)
      })
    case 'register':
      return unsupported(at, 'call through a register (callx), which Linux refuses as well')
  }
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
  const { code, module, program } = ctx
  setPlace(ctx, at, 'operation')
  code.get(BASE_LOCAL)
  code.i32(FRAME_SIZE)
  code.op(Op.i32_sub)
  code.getGlobal(module.limitGlobal)
  code.op(Op.i32_lt_u)
  trapIf(ctx)
  saveFuel(ctx, true)
  code.get(BASE_LOCAL)
  code.i32(FRAME_SIZE)
  code.op(Op.i32_sub)
  for (let r = 1; r <= 5; r++) code.get(registerLocal(r))
  code.call(module.functions + (program.functionAt.get(target) as number))
  code.set(registerLocal(0))
  loadFuel(ctx, true)
  if (ctx.hasMachineCalls) storeStackTop(code, 0)
  refreshSpan(ctx)
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
