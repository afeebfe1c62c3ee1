import { printKernel, printLlvm, type InsnBuffer } from '../../isa/index.ts'
import {
  coreKindName,
  type CoreRelocation,
  type FunctionSpec,
  type LateReference,
  type LineRecord,
  type ObjectSpec,
  type PreparedProgram,
  type Reference,
} from '../../loader/index.ts'
import { typeWords } from './words.ts'

export type Syntax = 'kernel' | 'llvm'

/** One instruction in print. */
export interface ListedInsn {
  /** Slot in its function; a 64-bit immediate load takes two. */
  readonly slot: number
  readonly text: string
  /** What it refers to: a map, a function, a kernel symbol, a CO-RE relocation. */
  readonly reference?: string
  /** C line, where another one begins. */
  readonly source?: string
}

/** One function in print. */
export interface Listing {
  readonly name: string
  readonly section: string
  readonly kind: 'program' | 'subprogram'
  readonly slots: number
  readonly insns: readonly ListedInsn[]
}

const LD_IMM64 = 0x18
/** A function of the object as it is in the file. */
export function listing(spec: ObjectSpec, fn: FunctionSpec, syntax: Syntax): Listing {
  const isProgram = Object.values(spec.programs).some((program) => program.functionIndex === fn.index)
  const references = new Map<number, string[]>()
  const add = (insn: number, text: string): void => {
    const list = references.get(insn)
    if (list === undefined) references.set(insn, [text])
    else list.push(text)
  }
  for (const reference of fn.references) add(reference.insn, referenceText(spec, reference))
  for (const relocation of fn.coreRelocations) add(relocation.insn, coreText(spec, relocation))
  return {
    name: fn.name,
    section: fn.section,
    kind: isProgram ? 'program' : 'subprogram',
    slots: fn.insns.length,
    insns: listInsns(fn.insns, fn.lines, syntax, (slot) => references.get(slot)?.join(', ')),
  }
}

/** A program as it would be loaded: one piece of code, in which each function has its own heading. */
export function preparedListings(spec: ObjectSpec, program: PreparedProgram, syntax: Syntax): Listing[] {
  const notes = new Map<number, string>()
  for (const reference of program.lateReferences) notes.set(reference.insn, lateText(spec, reference))
  for (const record of program.core) {
    const change =
      record.outcome === 'applied' ? `${record.localValue ?? '?'} -> ${record.targetValue ?? '?'}` : record.outcome
    notes.set(record.insn, `CO-RE ${record.kindName} ${record.asked}: ${change}`)
  }
  const all = listInsns(program.insns, program.lines, syntax, (slot) => notes.get(slot))
  return program.functions.map((fn, i) => {
    const end = program.functions[i + 1]?.start ?? program.insns.length
    return {
      name: fn.name,
      section: program.spec.section,
      kind: i === 0 ? 'program' : 'subprogram',
      slots: end - fn.start,
      insns: all.filter((insn) => insn.slot >= fn.start && insn.slot < end),
    }
  })
}

function lateText(spec: ObjectSpec, reference: LateReference): string {
  if (reference.kind === 'map') return `map ${reference.map}`
  if (reference.kind === 'mapValue' || reference.kind === 'jumpTable') return referenceText(spec, reference)
  return `${reference.kind} ${reference.name}`
}

/** Instructions as text, with their notes and the C lines that begin at them. */
export function listInsns(
  insns: InsnBuffer,
  lines: readonly LineRecord[],
  syntax: Syntax,
  noteAt: (slot: number) => string | undefined,
): ListedInsn[] {
  const sources = new Map(lines.map((line) => [line.insn, lineText(line)]))
  const list: ListedInsn[] = []
  let last = ''
  for (let slot = 0; slot < insns.length; slot += insns.code[slot] === LD_IMM64 ? 2 : 1) {
    const text = syntax === 'kernel' ? printKernel(insns, slot) : printLlvm(insns, slot)
    const reference = noteAt(slot)
    const line = sources.get(slot)
    const isNew = line !== undefined && line !== last
    if (line !== undefined) last = line
    list.push({
      slot,
      text,
      ...(reference === undefined ? {} : { reference }),
      ...(isNew ? { source: line } : {}),
    })
  }
  return list
}

/** `if (!flow) @ packet_counter.bpf.c:31`, much as the verifier's log has it; columns would only repeat lines. */
function lineText(line: LineRecord): string {
  const file = line.file.slice(line.file.lastIndexOf('/') + 1)
  return `${line.text.trim()} @ ${file}:${line.line}`
}

function referenceText(spec: ObjectSpec, reference: Reference): string {
  switch (reference.kind) {
    case 'map':
      return `map ${reference.map}`
    case 'mapValue': {
      const variable = Object.values(spec.variables).find(
        (v) => v.map === reference.map && reference.offset >= v.offset && reference.offset < v.offset + v.size,
      )
      if (variable === undefined) return `${reference.map}+${reference.offset}`
      const inside = reference.offset - variable.offset
      return inside === 0 ? variable.name : `${variable.name}+${inside}`
    }
    case 'call':
      return `function ${spec.functions[reference.functionIndex]?.name ?? ''}`
    case 'functionAddress':
      return `address of function ${spec.functions[reference.functionIndex]?.name ?? ''}`
    case 'jumpTable':
      return `jump table to ${reference.targets.join(', ')}`
    case 'kconfig':
    case 'ksym':
    case 'kfunc':
    default:
      return `${reference.kind} ${reference.extern}`
  }
}

function coreText(spec: ObjectSpec, relocation: CoreRelocation): string {
  const type = typeWords(spec.btf, relocation.typeId) ?? `[${relocation.typeId}]`
  return `CO-RE ${coreKindName(relocation.kind)} ${type} ${relocation.access}`
}
