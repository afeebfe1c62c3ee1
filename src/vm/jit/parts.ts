import {
  BASE_LOCAL,
  functionType,
  pushRegister,
  registerLocal,
  PART_FUNCTION,
  type FunctionContext,
  type ModuleIndices,
} from './context.ts'
import { saveFuel } from './calls.ts'
import { nothingKnown } from './facts.ts'
import { emitBlocks, emitPrologue, factsOf, functionContext, MAY_GOTO_BUDGET } from './function.ts'
import { refreshSpan } from './memory.ts'
import { partFlow } from './part-flow.ts'
import type { FunctionCode, ProgramCode } from './program.ts'
import type { FrameSlot } from './slots.ts'
import type { Split } from './split.ts'
import { emitTrapExit } from './trap.ts'
import { Op, ValueType, type CodeSink } from './wasm/index.ts'

const { I32, I64 } = ValueType
const REGISTERS = 10

/** Place of the part that goes on, 0 (which no part has) when the function has ended. */
const nextGlobal = (module: ModuleIndices): number => module.global('next', I32)
/** Which of its entries it is entered at. */
const entryGlobal = (module: ModuleIndices): number => module.global('entry', I32)
const mayGotoGlobal = (module: ModuleIndices): number => module.global('may_goto', I32)
const registerGlobal = (module: ModuleIndices, r: number): number => module.global(`r${r}`, I64)
const slotGlobal = (module: ModuleIndices, slot: FrameSlot, i: number): number =>
  slot.size > 4 ? module.global(`wide${i}`, I64) : module.global(`slot${i}`, I32)

/**
 * Translates a function that is too large for one wasm function: its parts, and as the result one that calls part after
 * part. Nothing runs between the end of a part and the start of the next one, so that all functions hand over their
 * registers and slots in the same globals.
 */
export function translateParts(
  program: ProgramCode,
  func: FunctionCode,
  split: Split,
  module: ModuleIndices,
  optimize: boolean,
): CodeSink {
  const facts = factsOf(program, func, module, optimize)
  const places = split.parts.map((_, i) => module.declarePart(`${func.name}.${i}`))
  /** By block: what is set for the part that goes on there. */
  const labelOf = new Map<number, number>()
  for (const { entries } of split.parts) entries.forEach((block, label) => labelOf.set(block, label))
  split.parts.forEach(({ entries }, i) => {
    const flow = partFlow(func.cfg, split, i)
    const size = func.cfg.end - func.cfg.start
    const ctx = functionContext(program, func, module, {
      facts,
      params: PART_FUNCTION.params,
      flow,
      startsAgain: false,
      size: size / split.parts.length,
    })
    const { code } = ctx
    code.block()
    takeOver(ctx, entries)
    emitBlocks(ctx, func, flow, (block) => {
      handOver(ctx, block)
      code.i32(labelOf.get(block) as number)
      code.setGlobal(entryGlobal(module))
      code.i32(places[split.partOf[block] as number] as number)
      code.setGlobal(nextGlobal(module))
      code.i64(0)
      code.op(Op.return)
    })
    code.op(Op.unreachable)
    code.end()
    emitTrapExit(ctx)
    module.definePart(places[i] as number, code)
  })
  return driver(program, func, module, places[0] as number)
}

/** Puts what a block of another part needs into the globals. */
function handOver(ctx: FunctionContext, block: number): void {
  const { code, facts, locals, module } = ctx
  const live = facts.liveAtStart(block)
  ctx.narrow = facts.widths === null ? null : (facts.widths.entry[block] as number)
  for (let r = 0; r < REGISTERS; r++) {
    if (((live >> r) & 1) === 0) continue
    pushRegister(ctx, r)
    code.setGlobal(registerGlobal(module, r))
  }
  facts.slots.all.forEach((slot, i) => {
    code.get(slot.local)
    code.setGlobal(slotGlobal(module, slot, i))
  })
  saveFuel(ctx, true)
  if (locals.mayGoto !== -1) {
    code.get(locals.mayGoto)
    code.setGlobal(mayGotoGlobal(module))
  }
}

/** Sets a part's locals from the globals. */
function takeOver(ctx: FunctionContext, entries: readonly number[]): void {
  const { code, facts, locals, module } = ctx
  let live = 0
  let narrow = 0
  for (const block of entries) {
    live |= facts.liveAtStart(block)
    narrow |= facts.widths?.entry[block] ?? 0
  }
  for (let r = 0; r < REGISTERS; r++) {
    if (((live >> r) & 1) === 0) continue
    code.getGlobal(registerGlobal(module, r))
    code.set(registerLocal(r))
    if (((narrow >> r) & 1) === 0) continue
    code.get(registerLocal(r))
    code.op(Op.i32_wrap_i64)
    code.set(locals.narrow + r)
  }
  facts.slots.all.forEach((slot, i) => {
    code.getGlobal(slotGlobal(module, slot, i))
    code.set(slot.local)
  })
  if (locals.fuel !== -1) {
    code.getGlobal(module.fuelGlobal)
    code.set(locals.fuel)
  }
  if (locals.mayGoto !== -1) {
    code.getGlobal(mayGotoGlobal(module))
    code.set(locals.mayGoto)
  }
  if (locals.label !== -1) {
    code.getGlobal(entryGlobal(module))
    code.set(locals.label)
  }
  refreshSpan(ctx)
}

/** Calls the first part, and then those that parts name. */
function driver(program: ProgramCode, func: FunctionCode, module: ModuleIndices, first: number): CodeSink {
  const alone = { ...func, hasCheckedAccess: false, hasMayGoto: false }
  const ctx = functionContext(program, alone, module, {
    facts: nothingKnown(func),
    params: functionType(program, func.index).params,
    flow: { hasLoops: false, hasDispatch: false },
    startsAgain: false,
    size: 0,
  })
  const { code, locals } = ctx
  const next = nextGlobal(module)
  code.block()
  emitPrologue(ctx, alone)
  for (let r = 0; r < REGISTERS; r++) {
    code.get(registerLocal(r))
    code.setGlobal(registerGlobal(module, r))
  }
  if (func.hasMayGoto) {
    code.i32(MAY_GOTO_BUDGET)
    code.setGlobal(mayGotoGlobal(module))
  }
  code.i32(0)
  code.setGlobal(entryGlobal(module))
  code.i32(first)
  code.set(locals.next)
  code.loop()
  code.get(BASE_LOCAL)
  code.get(locals.next)
  module.callPart(code)
  code.set(registerLocal(0))
  code.getGlobal(next)
  code.set(locals.next)
  code.i32(0)
  code.setGlobal(next)
  code.get(locals.next)
  code.brIf(0)
  code.end()
  code.get(registerLocal(0))
  code.op(Op.return)
  code.end()
  emitTrapExit(ctx)
  return code
}
