import { LdImm64Pseudo, slotsAt, type Operation } from '../../isa/index.ts'
import { writesFramePointer } from '../frame-pointer.ts'
import { emitAlu, emitEndian } from './alu.ts'
import { emitCall, emitPacketLoad, saveFuel } from './calls.ts'
import {
  BPF_FUNCTION,
  functionType,
  CALLEE_LOCALS,
  pushRegister,
  pushRegister32,
  setRegister,
  setRegister32,
  widen,
  storeStackTop,
  type FunctionContext,
  type ModuleIndices,
} from './context.ts'
import { analyseFunction, nothingKnown, type FunctionFacts } from './facts.ts'
import { buildFlow, type Flow } from './flow.ts'
import { reads } from './liveness.ts'
import { emitAtomic, emitLoad, emitStore, emitWideResult, refreshSpan } from './memory.ts'
import { emitEntryCharge, emitLoopCharge, emitProbe } from './probes.ts'
import type { FunctionCode, ProgramCode } from './program.ts'
import { StructuredWalk } from './structure.ts'
import { emitTrapExit, setPlace, trapIf } from './trap.ts'
import { BlockValues } from './values.ts'
import { CALL_REGISTERS } from './width.ts'
import { CodeSink, Op, ValueType } from './wasm/index.ts'

/** Budget of may_goto in one call of a function (BPF_MAX_LOOPS, include/linux/bpf.h). */
export const MAY_GOTO_BUDGET: number = 8 * 1024 * 1024

/** Translates one function to a wasm function of its functionType(). */
export function translateFunction(
  program: ProgramCode,
  func: FunctionCode,
  module: ModuleIndices,
  optimize: boolean,
): CodeSink {
  const flow = buildFlow(func.cfg)
  const facts = factsOf(program, func, module, optimize)
  const isOnlyEntry = func.index === 0 && !program.isEntryCalled
  // A program that tail-calls itself goes back to its start.
  const startsAgain = isOnlyEntry && program.hasTailCalls && module.tails !== null
  const { params } = functionType(program, func.index)
  const size = func.cfg.end - func.cfg.start
  const ctx = functionContext(program, func, module, { facts, params, flow, startsAgain, size })
  const { code } = ctx
  code.block()
  if (startsAgain) code.loop()
  emitPrologue(ctx, func)
  emitBlocks(ctx, func, flow)
  code.op(Op.unreachable)
  if (startsAgain) code.end()
  code.end()
  emitTrapExit(ctx)
  return code
}

/** What is known of a function. */
export function factsOf(
  program: ProgramCode,
  func: FunctionCode,
  module: ModuleIndices,
  optimize: boolean,
): FunctionFacts {
  return optimize ? analyseFunction(program, func, module.memorySize) : nothingKnown(func)
}

/** A wasm function that a BPF function becomes, or a part of one. */
interface Shape {
  readonly facts: FunctionFacts
  readonly params: readonly ValueType[]
  readonly flow: Pick<Flow, 'hasLoops' | 'hasDispatch'>
  readonly startsAgain: boolean
  /** Instructions, about. */
  readonly size: number
}

export function functionContext(
  program: ProgramCode,
  func: FunctionCode,
  module: ModuleIndices,
  { facts, params, flow, startsAgain, size }: Shape,
): FunctionContext {
  const code = new CodeSink(params.length, 64 + size * 12)
  // Registers are the same locals, passed or not.
  for (const type of BPF_FUNCTION.params.slice(params.length)) code.addLocal(type)
  for (let i = 0; i < CALLEE_LOCALS; i++) code.addLocal(ValueType.I64)
  facts.slots.declare(code)
  const temporaries = code.addLocals(ValueType.I64, facts.temporaries)
  return {
    program,
    module,
    code,
    locals: {
      span: func.hasCheckedAccess ? code.addLocal(ValueType.I64) : -1,
      present: func.hasCheckedAccess && program.code.arena ? code.addLocal(ValueType.I64) : -1,
      address: func.hasCheckedAccess || func.hasIndirectJumps ? code.addLocal(ValueType.I64) : -1,
      scratch: code.addLocal(ValueType.I64),
      temporaries,
      narrow: facts.widths === null ? -1 : code.addLocals(ValueType.I32, 10),
      index: code.addLocal(ValueType.I32),
      count: code.addLocal(ValueType.I32),
      next: code.addLocal(ValueType.I32),
      place: code.addLocal(ValueType.I32),
      fuel: flow.hasLoops ? code.addLocal(ValueType.I64) : -1,
      mayGoto: func.hasMayGoto ? code.addLocal(ValueType.I32) : -1,
      label: flow.hasDispatch ? code.addLocal(ValueType.I32) : -1,
    },
    control: { depth: startsAgain ? 1 : 0 },
    startsAgain,
    values: new BlockValues(),
    facts,
    narrow: null,
    start: func.cfg.start,
    sharesFuel: program.hasCallbacks,
    hasMachineCalls: func.hasMachineCalls,
    faultReadsZero: program.code.faultReadsZero,
    isOnlyEntry: func.index === 0 && !program.isEntryCalled,
  }
}

function hasCharges(program: ProgramCode): boolean {
  return (program.code.instrumentation?.charges ?? null) !== null
}

/** What a call does before the function's first block. */
export function emitPrologue(ctx: FunctionContext, func: FunctionCode): void {
  const { code, locals, module } = ctx
  const counts = hasCharges(ctx.program)
  if (counts) emitEntryCharge(ctx, func.cfg.start)
  // Calls use fuel up, also by callbacks; the entry's first call is free.
  else if (func.index !== 0 || ctx.program.isEntryCalled) {
    code.getGlobal(module.fuelGlobal)
    code.i64(1)
    code.op(Op.i64_sub)
    code.setGlobal(module.fuelGlobal)
    setPlace(ctx, func.cfg.start, 'fuel')
    code.getGlobal(module.fuelGlobal)
    code.op(Op.i64_eqz)
    trapIf(ctx)
  }
  if (locals.fuel !== -1) {
    code.getGlobal(module.fuelGlobal)
    code.set(locals.fuel)
  }
  if (locals.mayGoto !== -1) {
    code.i32(MAY_GOTO_BUDGET)
    code.set(locals.mayGoto)
  }
  if (ctx.hasMachineCalls) storeStackTop(code, 0)
  refreshSpan(ctx)
}

/** The blocks of a function, or of a part of it that leaves for blocks of other parts by `emitHandOver`. */
export function emitBlocks(
  ctx: FunctionContext,
  func: FunctionCode,
  flow: Flow,
  emitHandOver: (block: number) => void = () => {},
): void {
  const { code, facts, locals, values } = ctx
  const { insns } = ctx.program.code
  new StructuredWalk(ctx, func.cfg, flow, {
    emitBody(start, end) {
      const block = func.cfg.blockOf[start - func.cfg.start] as number
      facts.enter(block, values)
      if (facts.widths !== null) ctx.narrow = facts.widths.entry[block] as number
      emitLoopCharge(ctx, start)
      emitProbe(ctx, start)
      for (let at = start; at < end; at += slotsAt(insns, at)) {
        const op = ctx.program.operations[at] as Operation
        if (at !== start) emitProbe(ctx, at)
        if (writesFramePointer(op)) {
          setPlace(ctx, at, 'operation')
          code.i32(1)
          trapIf(ctx)
          continue
        }
        const wide = facts.wideResults.get(at)
        if (wide !== undefined && op.kind === 'alu') emitWideResult(ctx, wide, op.dst)
        else if (facts.unused[at - func.cfg.start] === 0 || op.kind === 'load') emitOperation(ctx, op, at)
        values.step(op, at)
      }
      if (facts.widths !== null) widen(ctx, facts.widths.widen[block] as number)
    },
    emitLoopHeader(at) {
      if (hasCharges(ctx.program)) return
      setPlace(ctx, at, 'fuel')
      code.get(locals.fuel)
      code.i64(1)
      code.op(Op.i64_sub)
      code.tee(locals.fuel)
      code.op(Op.i64_eqz)
      trapIf(ctx)
    },
    emitHandOver,
  }).run()
}

function emitOperation(ctx: FunctionContext, op: Operation, at: number): void {
  const { code } = ctx
  switch (op.kind) {
    case 'alu':
      return emitAlu(ctx, op)
    case 'endian':
      return emitEndian(ctx, op)
    case 'addrSpaceCast':
      // Arena pointers are offsets in the one memory in either address space.
      pushRegister32(ctx, op.src)
      return setRegister32(ctx, op.dst)
    case 'loadImm64':
      if (op.pseudo === LdImm64Pseudo.FUNC) code.i64(ctx.program.functionAt.get(at + 1 + op.low) as number)
      else code.i64Halves(op.low, op.high)
      return setRegister(ctx, op.dst)
    case 'load':
    case 'loadAcquire':
      return emitLoad(ctx, op, at)
    case 'store':
    case 'storeRelease':
      return emitStore(ctx, op, at)
    case 'atomic':
      return emitAtomic(ctx, op, at)
    case 'loadAbs':
    case 'loadInd':
      return emitPacketLoad(ctx, op, at)
    case 'call':
      // Calls know of the i64 locals alone.
      widen(ctx, reads(op))
      if (ctx.narrow !== null) ctx.narrow &= ~CALL_REGISTERS
      return emitCall(ctx, op, at)
    case 'exit':
      saveFuel(ctx, true)
      pushRegister(ctx, 0)
      return code.op(Op.return)
    case 'jump':
    case 'branch':
    case 'mayGoto':
    case 'gotox':
      // Ends of blocks, which the walk writes.
      return
  }
}
