import { BpfError } from '../../bytes/index.ts'
import { InsnBuffer } from '../../isa/index.ts'
import { CoreReport } from '../core/record.ts'
import type { ObjectSpec } from '../object.ts'
import { Line } from '../open/records.ts'
import type {
  CoreRecord,
  FunctionSpec,
  LateReference,
  LineRecord,
  PreparedProgram,
  ProgramSpec,
  Reference,
} from '../spec.ts'
import type { RelocatedFunctions } from './core-stage.ts'
import type { ResolvedSymbol } from './ksyms.ts'

/** Most slots that the kernel takes in one program (BPF_COMPLEXITY_LIMIT_INSNS). */
const MAX_SLOTS = 1_000_000
const PSEUDO_MAP_FD = 1
const PSEUDO_MAP_VALUE = 2
const PSEUDO_BTF_ID = 3
const PSEUDO_FUNC = 4
const PSEUDO_CALL = 1
const PSEUDO_KFUNC_CALL = 2
const CALL = 0x85
/** Helper numbers that mark what could not be linked (libbpf): a map that is not created, an absent weak kfunc. */
const POISON_MAP = 2_001_000_000
const POISON_KFUNC = 2_002_000_000

/** What flattening asks about things outside of functions. */
export interface FlattenContext {
  readonly spec: ObjectSpec
  readonly functions: RelocatedFunctions
  /** @throws BpfError when the extern cannot be used */
  readonly symbol: (name: string) => ResolvedSymbol
  /** @throws BpfError when the extern has no value */
  readonly kconfig: (name: string) => number
  /** Slots and records that may still be made for this object. */
  readonly budget: { slots: number }
}

/** Where functions come to lie, in the order of their first use. */
interface Layout {
  readonly order: readonly number[]
  readonly starts: ReadonlyMap<number, number>
  readonly length: number
}

/**
 * Joins a program and all functions that it reaches into one stretch of code: the program first, then each function
 * where it is first used, depth first, in libbpf's order (bpf_object__reloc_code). Every program has its own copies.
 * @throws BpfError of a function that cannot be loaded, `limit` above a million slots
 */
export function flatten(context: FlattenContext, program: ProgramSpec): PreparedProgram {
  const { spec, functions } = context
  const layout = layOut(context, program)
  const insns = new InsnBuffer(layout.length)
  const lateReferences: LateReference[] = []
  const lines: LineRecord[] = []
  const main = spec.functions[program.functionIndex] as FunctionSpec
  // Records of subprograms are worth nothing when the program itself has none: the kernel wants all or none.
  const hasFuncInfo = layout.order.every((index) => spec.functions[index]?.btfId !== 0)
  const hasLines = main.lines.length > 0
  for (const index of layout.order) {
    const fn = spec.functions[index] as FunctionSpec
    const start = layout.starts.get(index) as number
    insns.set(functions.insnsOf(index), start)
    for (const reference of fn.references) link(context, insns, start, reference, layout, lateReferences)
    if (hasLines) for (const line of fn.lines) lines.push(rebase(line, start))
  }
  return {
    spec: program,
    insns,
    functions: layout.order.map((index) => {
      const fn = spec.functions[index] as FunctionSpec
      return { name: fn.name, start: layout.starts.get(index) as number, btfId: hasFuncInfo ? fn.btfId : 0 }
    }),
    lateReferences,
    lines,
    core: coreRecords(context, layout.order, layout.starts),
  }
}

/** The CO-RE records of all functions that a program reaches, also when the program cannot be prepared. */
export function reachedCoreRecords(context: FlattenContext, program: ProgramSpec): readonly CoreRecord[] {
  const { order, starts } = reach(context.spec, program, () => {})
  for (const index of order) context.budget.slots -= context.functions.outcomesOf(index).length
  return context.budget.slots < 0 ? [] : coreRecords(context, order, starts)
}

function coreRecords(
  context: FlattenContext,
  order: readonly number[],
  starts: ReadonlyMap<number, number>,
): CoreRecord[] {
  const records: CoreRecord[] = []
  for (const index of order) {
    const fn = context.spec.functions[index] as FunctionSpec
    const start = starts.get(index) as number
    for (const outcome of context.functions.outcomesOf(index)) {
      records.push(new CoreReport(outcome, start + outcome.relocation.insn, fn.name, () => fn.lines))
    }
  }
  return records
}

function rebase(line: LineRecord, start: number): LineRecord {
  if (line instanceof Line) return start === 0 ? line : line.at(line.insn + start)
  return { ...line, insn: line.insn + start }
}

function layOut(context: FlattenContext, program: ProgramSpec): Layout {
  const { spec, functions } = context
  const layout = reach(spec, program, (index) => {
    const problem = spec.problems.get(index) ?? functions.errors.get(index)
    if (problem !== undefined) throw problem
  })
  if (layout.length > MAX_SLOTS) {
    throw new BpfError(
      'limit',
      `has ${layout.length} instruction slots with all that it calls, ${MAX_SLOTS} are allowed`,
    )
  }
  context.budget.slots -= layout.length + recordCount(context, layout.order)
  if (context.budget.slots < 0) throw new BpfError('limit', 'the programs of this object are too large together')
  return layout
}

/** Line and CO-RE records are copied as well, and a hostile object can have many more of them than instructions. */
function recordCount(context: FlattenContext, order: readonly number[]): number {
  let count = 0
  for (const index of order) {
    count += context.spec.functions[index]?.lines.length ?? 0
    count += context.functions.outcomesOf(index).length
  }
  return count
}

/** Indices of the functions that a program reaches, its own included. */
export function reachedFunctions(spec: ObjectSpec, program: ProgramSpec): ReadonlySet<number> {
  return new Set(reach(spec, program, () => {}).order)
}

function reach(spec: ObjectSpec, program: ProgramSpec, check: (index: number) => void): Layout {
  const starts = new Map<number, number>()
  const order: number[] = []
  let length = 0
  const visit = (root: number): void => {
    const stack: { readonly fn: FunctionSpec; next: number }[] = []
    const place = (index: number): void => {
      const fn = spec.functions[index]
      if (fn === undefined || starts.has(index)) return
      check(index)
      starts.set(index, length)
      order.push(index)
      length += fn.insns.length
      stack.push({ fn, next: 0 })
    }
    place(root)
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const reference = top.fn.references[top.next++]
      if (reference === undefined) stack.pop()
      else if (reference.kind === 'call' || reference.kind === 'functionAddress') place(reference.functionIndex)
    }
  }
  visit(program.functionIndex)
  const callback = spec.exceptionCallbacks.get(program.functionIndex)
  if (callback !== undefined) visit(callback)
  return { order, starts, length }
}

function link(
  context: FlattenContext,
  insns: InsnBuffer,
  start: number,
  reference: Reference,
  layout: Layout,
  late: LateReference[],
): void {
  const insn = start + reference.insn
  switch (reference.kind) {
    case 'map':
      if (poisonMap(context, insns, insn, reference.map)) return
      insns.src[insn] = PSEUDO_MAP_FD
      insns.imm[insn] = 0
      late.push({ kind: 'map', insn, map: reference.map })
      return
    case 'mapValue':
      if (poisonMap(context, insns, insn, reference.map)) return
      mapValue(insns, insn, reference.map, reference.offset, late)
      return
    case 'kconfig':
      mapValue(insns, insn, '.kconfig', context.kconfig(reference.extern), late)
      return
    case 'call':
      insns.src[insn] = PSEUDO_CALL
      insns.imm[insn] = (layout.starts.get(reference.functionIndex) as number) - insn - 1
      return
    case 'functionAddress':
      insns.src[insn] = PSEUDO_FUNC
      insns.imm[insn] = (layout.starts.get(reference.functionIndex) as number) - insn - 1
      return
    case 'ksym':
      linkSymbol(context, insns, insn, reference.extern, late)
      return
    case 'kfunc':
      linkKfunc(context, insns, insn, reference.extern, late)
      return
    case 'jumpTable':
      insns.src[insn] = PSEUDO_MAP_VALUE
      insns.imm[insn] = 0
      insns.imm[insn + 1] = 0
      late.push({ kind: 'jumpTable', insn, targets: reference.targets.map((slot) => start + slot) })
  }
}

function mapValue(insns: InsnBuffer, insn: number, map: string, offset: number, late: LateReference[]): void {
  insns.src[insn] = PSEUDO_MAP_VALUE
  insns.imm[insn] = 0
  insns.imm[insn + 1] = offset
  late.push({ kind: 'mapValue', insn, map, offset })
}

/** A map that will not be created makes the instruction invalid, which matters only where it is reached. */
function poisonMap(context: FlattenContext, insns: InsnBuffer, insn: number, map: string): boolean {
  const { maps } = context.spec
  if (maps[map]?.autocreate !== false) return false
  const index = Object.keys(maps).indexOf(map)
  poison(insns, insn, POISON_MAP + index)
  poison(insns, insn + 1, POISON_MAP + index)
  return true
}

function poison(insns: InsnBuffer, insn: number, helper: number): void {
  insns.code[insn] = CALL
  insns.dst[insn] = 0
  insns.src[insn] = 0
  insns.off[insn] = 0
  insns.imm[insn] = helper
}

function linkSymbol(
  context: FlattenContext,
  insns: InsnBuffer,
  insn: number,
  name: string,
  late: LateReference[],
): void {
  const resolved = context.symbol(name)
  const weak = context.spec.externs[name]?.weak ?? false
  insns.imm[insn] = 0
  insns.imm[insn + 1] = 0
  if (resolved.kind === 'btf') {
    const { btfId, module } = resolved
    insns.src[insn] = PSEUDO_BTF_ID
    insns.imm[insn] = btfId
    late.push({ kind: 'ksymBtf', insn, name, btfId, module })
  } else if (resolved.kind === 'byName' && !weak) {
    insns.src[insn] = PSEUDO_BTF_ID
    late.push({ kind: 'ksymBtf', insn, name, btfId: 0, module: null })
  } else if (resolved.kind === 'address') {
    late.push({ kind: 'ksymAddress', insn, name, weak })
  }
}

function linkKfunc(
  context: FlattenContext,
  insns: InsnBuffer,
  insn: number,
  name: string,
  late: LateReference[],
): void {
  const resolved = context.symbol(name)
  const weak = context.spec.externs[name]?.weak ?? false
  if (resolved.kind === 'btf') {
    insns.src[insn] = PSEUDO_KFUNC_CALL
    insns.imm[insn] = resolved.btfId
    late.push({ kind: 'kfunc', insn, name, btfId: resolved.btfId, module: resolved.module, weak })
    return
  }
  if (resolved.kind === 'byName') insns.src[insn] = PSEUDO_KFUNC_CALL
  else poison(insns, insn, POISON_KFUNC + Object.keys(context.spec.externs).indexOf(name))
  late.push({ kind: 'kfunc', insn, name, btfId: 0, module: null, weak })
}
