import { BpfError } from '../../bytes/index.ts'
import { FRAME_SIZE, JIT_ADDRESS, REGS_ADDRESS, STACK_TOP_ADDRESS, type MapLayout } from '../engine.ts'
import type { FunctionFacts } from './facts.ts'
import type { ProgramCode } from './program.ts'
import type { BlockValues } from './values.ts'
import { Op, ValueType, type Code, type CodeSink, type FunctionType } from './wasm/index.ts'

/** Every BPF function: bottom of its frame, r1 to r5; result r0. */
export const BPF_FUNCTION: FunctionType = {
  params: [ValueType.I32, ...Array<ValueType>(5).fill(ValueType.I64)],
  results: [ValueType.I64],
}

/** The entry, when nothing in the program calls it: bottom of its frame, r1; result r0. */
export const ENTRY_FUNCTION: FunctionType = { params: [ValueType.I32, ValueType.I64], results: [ValueType.I64] }

/** A part of a function: bottom of the frame; result r0, unless another part goes on. */
export const PART_FUNCTION: FunctionType = { params: [ValueType.I32], results: [ValueType.I64] }

/** Type of a function of the program: what is passed in registers of the host is passed for nothing. */
export function functionType(program: ProgramCode, index: number): FunctionType {
  return index === 0 && !program.isEntryCalled ? ENTRY_FUNCTION : BPF_FUNCTION
}

/** Calls the entry with the base and r1 that are on the stack. */
export function callEntry(code: CodeSink, module: ModuleIndices, asTailCall: boolean = false): void {
  for (let i = ENTRY_FUNCTION.params.length; i < module.entryParameters; i++) code.i64(0)
  if (asTailCall) code.returnCall(module.functions)
  else code.call(module.functions)
}

/** Function, global and type indices of the module that is being built. */
export interface ModuleIndices {
  /** (place, low, high): throws; see trap.ts. */
  readonly trap: number
  /** Import of a helper. */
  helper(id: number): number
  readonly callKfunc: number
  /** Import for callx: halves of the register; -1 when the program has none. */
  readonly callRegister: number
  readonly tailCall: number
  readonly loadPacket: number
  /** First BPF function; the others follow in order. */
  readonly functions: number
  /** Parameters of the first of them. */
  readonly entryParameters: number
  readonly fuelGlobal: number
  /** Sets it for a program that starts. */
  readonly enterFuel: Code
  /** Bytes of memory when the program is compiled. */
  readonly memorySize: number
  readonly limitGlobal: number
  /** What is known of the map with a handle. */
  mapAt(handle: number): MapLayout | null
  /** Whether a helper must be called, whatever the JIT knows of it. */
  replaces(id: number): boolean
  /** Function that finds keys of this size in hashes, see hash-code.ts. */
  findFunction(keySize: number): number
  /** The function with this name, made at the first call. */
  function(name: string, type: FunctionType, body: () => CodeSink): number
  /** The global with this name, made at the first call. */
  global(name: string, type: typeof ValueType.I32 | typeof ValueType.I64): number
  /** Declares a PART_FUNCTION; returns its place in the module's table. */
  declarePart(name: string): number
  definePart(place: number, body: CodeSink): void
  /** Calls the part whose place is on the stack. */
  readonly callPart: Code
  /** Import that gives the time in ns as f64, -1 when there is none. */
  readonly clock: number
  /** Type and table of tail calls, null when they go through the machine. */
  readonly tails: { readonly type: number; readonly table: number } | null
  /** Whether the program uses a map of maps. */
  readonly hasInnerMaps: boolean
  /** The ring buffers that the program uses. */
  readonly rings: readonly MapLayout[]
  /** Whether the state of bpf_get_prandom_u32 is in the memory. */
  readonly hasRandom: boolean
  /** Whether other threads use the memory at the same time. */
  readonly isShared: boolean
  /** Whether programs that call each other by tail calls count instructions against one budget. */
  readonly sharesBudget: boolean
}

/** What other programs call by a tail call: bottom of the frame, lowest frame, r1; result r0. */
export const TAIL_FUNCTION: FunctionType = {
  params: [ValueType.I32, ValueType.I32, ValueType.I64],
  results: [ValueType.I64],
}

/** What the translation of one BPF function needs. */
export interface FunctionContext {
  readonly program: ProgramCode
  readonly module: ModuleIndices
  readonly code: CodeSink
  readonly locals: Locals
  /** What is known of the registers at this point. */
  readonly values: BlockValues
  readonly facts: FunctionFacts
  /** Bits of the registers whose values are in their i32 locals now; null when that is not done. */
  narrow: number | null
  /** First slot of the function. */
  readonly start: number
  /** Open levels around what is being written, inside of the block that traps leave. */
  readonly control: { depth: number }
  /** Whether calls of helpers must carry the fuel over: only when they can call back. */
  readonly sharesFuel: boolean
  readonly hasMachineCalls: boolean
  readonly faultReadsZero: boolean
  /** Whether this is the entry, and nothing in the program calls it. */
  readonly isOnlyEntry: boolean
  /** Whether all of the function is in a wasm loop, right inside of the block that traps leave. */
  readonly startsAgain: boolean
}

/** Wasm locals of a BPF function beside the registers; -1 for what a function does not need. */
export interface Locals {
  /** i64: bytes of memory above the guard, for bounds checks. */
  readonly span: number
  /** i64, in programs with an arena: what ArenaLayout.present says. */
  readonly present: number
  /** i64: end of a checked access, less GUARD_SIZE; what an indirect jump is given. */
  readonly address: number
  readonly scratch: number
  /** i32: key or element of a lookup, iteration of a bpf_loop. */
  readonly index: number
  /** i32: iterations of a bpf_loop, elements that a bpf_for_each_map_elem has visited. */
  readonly count: number
  /** i32: next element to visit. */
  readonly next: number
  /** First of the i32 locals of r0 to r9. */
  readonly narrow: number
  /** First of the i64 locals for wide loads. */
  readonly temporaries: number
  /** i32: where a trap happened, see trap.ts. */
  readonly place: number
  /** i64, in functions with loops. */
  readonly fuel: number
  /** i32: what is left of the may_goto budget. */
  readonly mayGoto: number
  /** i32: where a dispatch goes next. */
  readonly label: number
}

/** Parameter with the bottom of the frame: r10 is this plus FRAME_SIZE. */
export const BASE_LOCAL = 0
const REGISTER_LOCALS = [6, 1, 2, 3, 4, 5, 7, 8, 9, 10]
/** r0 and r6 to r9, which are locals behind the parameters. */
export const CALLEE_LOCALS = 5

export function malformed(at: number, message: string): never {
  throw new BpfError('malformed', message, { where: { insn: at } })
}

export function unsupported(at: number, message: string): never {
  throw new BpfError('unsupported', message, { where: { insn: at } })
}

/** Local of r0 to r9. */
export function registerLocal(register: number): number {
  return REGISTER_LOCALS[register] as number
}

export function isNarrow(ctx: FunctionContext, register: number): boolean {
  return ctx.narrow !== null && ((ctx.narrow >> register) & 1) === 1
}

/** Pushes a register as i64. */
export function pushRegister(ctx: FunctionContext, register: number): void {
  const { code } = ctx
  if (isNarrow(ctx, register)) {
    code.get(ctx.locals.narrow + register)
    return code.op(Op.i64_extend_i32_u)
  }
  if (register !== 10) return code.get(registerLocal(register))
  code.get(BASE_LOCAL)
  code.i32(FRAME_SIZE)
  code.op(Op.i32_add)
  code.op(Op.i64_extend_i32_u)
}

/** Pushes the low half of a register as i32. */
export function pushRegister32(ctx: FunctionContext, register: number): void {
  const { code } = ctx
  if (register === 10) {
    code.get(BASE_LOCAL)
    code.i32(FRAME_SIZE)
    code.op(Op.i32_add)
    return
  }
  if (isNarrow(ctx, register)) return code.get(ctx.locals.narrow + register)
  code.get(registerLocal(register))
  code.op(Op.i32_wrap_i64)
}

/** Pops an i32, whose value the register gets, upper half 0. */
export function setRegister32(ctx: FunctionContext, register: number): void {
  const { code } = ctx
  if (ctx.narrow === null) {
    code.op(Op.i64_extend_i32_u)
    return code.set(registerLocal(register))
  }
  ctx.narrow |= 1 << register
  code.set(ctx.locals.narrow + register)
}

/** Puts the values of registers, by their bits, in their i64 locals as well. */
export function widen(ctx: FunctionContext, registers: number): void {
  for (let r = 0; r < 10; r++) {
    if (((registers >> r) & 1) === 0 || !isNarrow(ctx, r)) continue
    pushRegister(ctx, r)
    ctx.code.set(registerLocal(r))
  }
}

/** Pops an i64 into a register, r0 to r9. */
export function setRegister(ctx: FunctionContext, register: number): void {
  if (ctx.narrow !== null) ctx.narrow &= ~(1 << register)
  ctx.code.set(registerLocal(register))
}

/** Pushes register `r` (0 to 5) of the register area. */
export function pushFromArea(code: CodeSink, r: number): void {
  code.i32(0)
  code.memory(Op.i64_load, REGS_ADDRESS + 8 * r)
}

/** Stores local `local` (i64) as register `r` of the register area. */
export function storeToArea(code: CodeSink, r: number, local: number): void {
  code.i32(0)
  code.get(local)
  code.memory(Op.i64_store, REGS_ADDRESS + 8 * r)
}

/** Sets the top of the free stack to the frame's bottom plus `above`. */
export function storeStackTop(code: CodeSink, above: number): void {
  code.i32(0)
  code.get(BASE_LOCAL)
  if (above !== 0) {
    code.i32(above)
    code.op(Op.i32_add)
  }
  code.memory(Op.i32_store, STACK_TOP_ADDRESS)
}

/** Notes the instruction of a call to the machine, for errors of the machine. */
export function storeCallSite(code: CodeSink, at: number): void {
  code.i32(0)
  code.i32(at)
  code.memory(Op.i32_store, JIT_ADDRESS)
}
