import { Errno, HelperId, Limit } from '../../uapi/index.ts'
import type { HelperCall, Operation } from '../../isa/index.ts'
import { FRAME_SIZE, MAX_ELEMENTS, NO_TAIL_ENTRY, TAIL_CALLS_ADDRESS, TAIL_PROGRAM_ADDRESS } from '../engine.ts'
import {
  BASE_LOCAL,
  pushFromArea,
  pushRegister,
  pushRegister32,
  registerLocal,
  setRegister,
  storeCallSite,
  storeStackTop,
  storeToArea,
  type FunctionContext,
} from './context.ts'
import { Element } from '../runtime/maps/descriptor.ts'
import { loadBudget, storeFuel } from './fuel.ts'
import { cpu, NEXT_FUNCTION, nextBody } from './hash-code.ts'
import { emitInlineHelper } from './inline.ts'
import { refreshSpan } from './memory.ts'
import { setPlace, trapIf } from './trap.ts'
import { Op, w, type Code, type CodeSink } from './wasm/index.ts'

/** Stack below a frame for the key that a callback gets. */
const KEY_SPACE = 8

type Call = Extract<Operation, { kind: 'call' }>

export function emitCall(ctx: FunctionContext, op: Call, at: number): void {
  switch (op.call) {
    case 'local':
      return callLocal(ctx, op.target, at)
    case 'helper':
      if (op.imm === HelperId.tail_call) return tailCall(ctx, at)
      if (ctx.module.replaces(op.imm)) return callOther(ctx, op, at)
      if (op.imm === HelperId.loop && emitLoop(ctx, at)) return
      if (op.imm === HelperId.for_each_map_elem && emitForEach(ctx, at)) return
      return callHelper(ctx, op, at)
    case 'kfunc':
      return callMachine(ctx, at, () => {
        ctx.code.i32(op.imm)
        ctx.code.call(ctx.module.callKfunc)
      })
    case 'register':
      return callMachine(ctx, at, () => {
        for (const shift of [0, 32]) {
          pushRegister(ctx, op.src)
          ctx.code.i64(shift)
          ctx.code.op(Op.i64_shr_u)
          ctx.code.op(Op.i32_wrap_i64)
        }
        ctx.code.call(ctx.module.callRegister)
      })
  }
}

/** A call that is left to the machine. */
function callOther(ctx: FunctionContext, op: HelperCall, at: number): void {
  callMachine(ctx, at, () => ctx.code.call(ctx.module.helper(op.imm)))
}

function callHelper(ctx: FunctionContext, op: HelperCall, at: number): void {
  const call = (): void => callOther(ctx, op, at)
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
  const { code, module, locals } = ctx
  const handle = ctx.values.constantAddress(2)
  const map = handle === null ? null : module.mapAt(handle)
  // Elsewhere the target must come back to this program, whose state it would have to restore.
  if (map?.kind !== 'progArray' || module.tails === null || !ctx.isOnlyEntry) return machineTailCall(ctx, at)
  const { tails } = module
  const calls = w.load(w.i32(0), TAIL_CALLS_ADDRESS)
  code.block()
  pushRegister32(ctx, 3)
  code.tee(locals.count)
  code.i32(map.maxEntries)
  code.op(Op.i32_ge_u)
  code.brIf(0)
  w.atLeast(calls, w.i32(Limit.TAIL_CALLS))(code)
  code.brIf(0)
  w.load(w.add(w.i32(map.base), w.shl(w.get(locals.count), w.i32(2))))(code)
  code.tee(locals.index)
  code.op(Op.i32_eqz)
  code.brIf(0)
  w.eq(w.get(locals.index), w.i32(NO_TAIL_ENTRY))(code)
  code.if()
  machineTailCall(ctx, at)
  code.br(1)
  code.end()
  w.store(w.i32(0), w.add(calls, w.i32(1)), TAIL_CALLS_ADDRESS)(code)
  if (ctx.startsAgain) tailCallItself(ctx)
  w.store(w.i32(0), w.get(locals.index), TAIL_PROGRAM_ADDRESS)(code)
  code.get(BASE_LOCAL)
  code.getGlobal(module.limitGlobal)
  code.get(registerLocal(1))
  code.get(locals.index)
  code.returnCallIndirect(tails.type, tails.table)
  code.end()
}

/** When the last tail call led to the same place as this one, it led to this program, which goes on at its start. */
function tailCallItself(ctx: FunctionContext): void {
  const { code, module, locals } = ctx
  w.eq(w.get(locals.index), w.load(w.i32(0), TAIL_PROGRAM_ADDRESS))(code)
  code.if()
  module.enterFuel(code)
  for (const r of [0, 2, 3, 4, 5, 6, 7, 8, 9]) {
    code.i64(0)
    code.set(registerLocal(r))
  }
  // Out of the if and the tail call's block, to the loop inside of the block that traps leave.
  code.br(ctx.control.depth + 1)
  code.end()
}

function machineTailCall(ctx: FunctionContext, at: number): void {
  const { code, module, locals } = ctx
  storeArguments(ctx, 3)
  saveFuel(ctx, true)
  if (module.sharesBudget) storeFuel(module)(code)
  storeStackTop(code, FRAME_SIZE)
  storeCallSite(code, at)
  // The target may tail-call this program, which then starts anew.
  code.getGlobal(module.limitGlobal)
  code.set(locals.count)
  code.getGlobal(module.fuelGlobal)
  code.set(locals.scratch)
  code.call(module.tailCall)
  code.if()
  code.get(locals.count)
  code.setGlobal(module.limitGlobal)
  if (module.sharesBudget) loadBudget(code)
  else code.get(locals.scratch)
  code.setGlobal(module.fuelGlobal)
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

/** Traps when there is no stack for another frame, `below` so many bytes. */
function checkStack(ctx: FunctionContext, at: number, below: number = 0): void {
  const { code } = ctx
  setPlace(ctx, at, 'operation')
  pushNextFrame(code, below)
  code.getGlobal(ctx.module.limitGlobal)
  code.op(Op.i32_lt_u)
  trapIf(ctx)
}

function pushNextFrame(code: CodeSink, below: number): void {
  code.get(BASE_LOCAL)
  code.i32(FRAME_SIZE + below)
  code.op(Op.i32_sub)
}

/** Calls a function of the program; r0 is its result. */
function callFunction(ctx: FunctionContext, target: number, pushArguments: () => void, below: number = 0): void {
  const { code, module, program } = ctx
  pushNextFrame(code, below)
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

/**
 * bpf_for_each_map_elem of a known array or hash with a known callback and no flags. False: nothing was written. r0 is
 * the number of elements that were visited, of which the last one may have returned something else than 0 to stop.
 */
function emitForEach(ctx: FunctionContext, at: number): boolean {
  const { code, locals, module } = ctx
  const handle = ctx.values.constantAddress(1)
  const callback = ctx.values.get(2)
  const map = handle === null ? null : module.mapAt(handle)
  if (map === null || map.inner !== null || callback?.kind !== 'function' || ctx.values.constantAddress(4) !== 0)
    return false
  if (map.kind !== 'array' && map.kind !== 'hash' && map.kind !== 'lru') return false
  saveFuel(ctx, true)
  let value = w.add(w.get(locals.index), w.i32(map.valueOffset))
  if (map.kind === 'array') value = w.add(w.mul(w.get(locals.count), w.i32(map.stride)), w.i32(map.base))
  if (map.cpuStride !== 0) value = w.add(value, w.mul(cpu, w.i32(map.cpuStride)))
  const visit = (key: Code, below: number): void => {
    const pushArguments = (): void => {
      code.i64Number(map.handle)
      w.extend(key)(code)
      w.extend(value)(code)
      code.get(registerLocal(3))
      code.i64(0)
    }
    callFunction(ctx, callback.slot, pushArguments, below)
    w.set(locals.count, w.add(w.get(locals.count), w.i32(1)))(code)
  }
  w.set(locals.count, w.i32(0))(code)
  if (map.kind === 'array') {
    checkStack(ctx, at, KEY_SPACE)
    const key = w.sub(w.get(BASE_LOCAL), w.i32(KEY_SPACE))
    code.loop()
    w.store(key, w.get(locals.count))(code)
    visit(key, KEY_SPACE)
    w.below(w.get(locals.count), w.i32(map.maxEntries))(code)
  } else {
    const next = module.function('next', NEXT_FUNCTION, nextBody)
    const nextOf = (element: Code): Code =>
      w.all(w.i32(map.handle), element, (c) => {
        c.call(next)
      })
    w.set(locals.next, nextOf(w.i32(0)))(code)
    w.get(locals.next)(code)
    code.if()
    ctx.control.depth++
    checkStack(ctx, at)
    ctx.control.depth--
    code.loop()
    w.set(locals.index, w.get(locals.next))(code)
    w.set(locals.next, nextOf(w.get(locals.index)))(code)
    visit(w.add(w.get(locals.index), w.i32(Element.KEY)), 0)
    w.and(w.ne(w.get(locals.next), w.i32(0)), w.below(w.get(locals.count), w.i32(MAX_ELEMENTS)))(code)
  }
  code.get(registerLocal(0))
  code.op(Op.i64_eqz)
  code.op(Op.i32_and)
  code.brIf(0)
  code.end()
  if (map.kind !== 'array') code.end()
  w.extend(w.get(locals.count))(code)
  code.set(registerLocal(0))
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
  setRegister(ctx, 0)
}
