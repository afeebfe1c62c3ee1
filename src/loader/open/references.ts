import { BpfError } from '../../bytes/index.ts'
import {
  relocationsIn,
  SectionIndex,
  SymbolType,
  type ElfFile,
  type ElfRelocation,
  type ElfSymbol,
} from '../../elf/index.ts'
import type { InsnBuffer } from '../../isa/index.ts'
import type { Reference } from '../spec.ts'
import type { Externs } from './externs.ts'
import type { FunctionTable, LocatedFunction } from './functions.ts'
import type { PlacedMap } from './maps-btf.ts'
import { isExtern, symbolName, type ObjectFile } from './symbols.ts'

/** Opcodes of the two instructions that relocations change (RFC 9669). */
const CALL = 0x85
const LD_IMM64 = 0x18
const PSEUDO_CALL = 1
const PSEUDO_FUNC = 4

/** What each function refers to, and what is wrong with those that cannot be loaded. */
export interface References {
  readonly byFunction: ReadonlyMap<number, readonly Reference[]>
  readonly problems: Map<number, BpfError>
}

/** What symbols can name. */
interface Targets {
  readonly file: ObjectFile
  readonly functions: FunctionTable
  /** Maps by section, and by their place in it. */
  readonly maps: ReadonlyMap<number, ReadonlyMap<number, PlacedMap>>
  readonly arena: string | null
  readonly externs: Externs
}

/**
 * Resolves the relocations of all code sections to what they name. The kinds are libbpf's (libbpf.c,
 * bpf_program__record_reloc), but calls may go to any section. Relocations of code that belongs to no function (weak
 * functions that a linker dropped) are skipped. What is wrong in a function is kept for those programs that use it.
 * @throws BpfError `malformed` for relocation sections that cannot be read
 */
export function collectReferences(targets: Targets): References {
  const byFunction = new Map<number, Reference[]>()
  const problems = new Map<number, BpfError>()
  const relocated = new Map<number, Set<number>>()
  const { file, functions } = targets
  for (const section of file.elf.sections) {
    const role = file.roles[section.index]
    if (role !== 'text' && role !== 'program') continue
    for (const relocationSection of file.relocationSections.get(section.index) ?? []) {
      for (const relocation of relocationsIn(file.elf, relocationSection)) {
        const fn = functions.holding(section.index, relocation.offset >> 3)
        if (fn === undefined) continue
        const insn = (relocation.offset >> 3) - fn.start
        const reference = resolve(targets, fn, insn, relocation)
        if (reference instanceof BpfError) {
          if (!problems.has(fn.index)) problems.set(fn.index, reference)
        } else if (reference !== null) {
          append(byFunction, fn.index, reference)
          const slots = relocated.get(fn.index)
          if (slots === undefined) relocated.set(fn.index, new Set([insn]))
          else slots.add(insn)
        }
      }
    }
  }
  for (const fn of functions.list) {
    const error = localReferences(functions, fn, relocated.get(fn.index), (r) => append(byFunction, fn.index, r))
    if (error !== null && !problems.has(fn.index)) problems.set(fn.index, error)
    byFunction.get(fn.index)?.sort((a, b) => a.insn - b.insn)
  }
  return { byFunction, problems }
}

function append(lists: Map<number, Reference[]>, key: number, reference: Reference): void {
  const list = lists.get(key)
  if (list === undefined) lists.set(key, [reference])
  else list.push(reference)
}

/** Calls and callbacks within one section need no relocation: their immediate is relative to the instruction. */
function localReferences(
  functions: FunctionTable,
  fn: LocatedFunction,
  relocated: ReadonlySet<number> | undefined,
  add: (reference: Reference) => void,
): BpfError | null {
  const { code, src, imm } = fn.insns
  for (let i = 0; i < fn.length; i++) {
    const opcode = code[i]
    const isWide = opcode === LD_IMM64
    const isCall = opcode === CALL && src[i] === PSEUDO_CALL
    const isAddress = isWide && src[i] === PSEUDO_FUNC
    if ((isCall || isAddress) && relocated?.has(i) !== true) {
      const slot = fn.start + i + (imm[i] as number) + 1
      const target = functions.holding(fn.section.index, slot)
      if (target === undefined || target.start !== slot) {
        return problem(fn, i, `calls slot ${slot} of its section, where no function starts`)
      }
      add({ kind: isCall ? 'call' : 'functionAddress', insn: i, functionIndex: target.index })
    }
    if (isWide) i++
  }
  return null
}

function problem(fn: LocatedFunction, insn: number, message: string, symbol?: string): BpfError {
  return new BpfError('relocation', `'${fn.name}' ${message}`, {
    where: { section: fn.section.name, insn: fn.start + insn, ...(symbol === undefined ? {} : { symbol }) },
  })
}

function resolve(
  targets: Targets,
  fn: LocatedFunction,
  insn: number,
  relocation: ElfRelocation,
): Reference | BpfError | null {
  const { file, functions, externs } = targets
  const { elf } = file
  const symbol = elf.symbols[relocation.symbol]
  if (symbol === undefined) return null
  const name = symbolName(elf, symbol)
  const fail = (message: string): BpfError => problem(fn, insn, message, name)
  if (relocation.offset % 8 !== 0) return fail(`has a relocation at byte ${relocation.offset}, in an instruction`)

  const { code, src, imm } = fn.insns
  const isCall = code[insn] === CALL
  const isLoad = code[insn] === LD_IMM64
  if (!isCall && !isLoad) {
    return fail(
      `refers to '${name}' in an instruction with code 0x${(code[insn] ?? 0).toString(16)}: not a call or ld_imm64`,
    )
  }
  if (isLoad && insn + 1 >= fn.length) return fail(`ends within an ld_imm64`)

  if (isExtern(symbol)) {
    const extern = externs.byName.get(symbol.name)
    if (extern === undefined) {
      return (
        externs.problems.get(symbol.name)?.within({ section: fn.section.name, insn: fn.start + insn }) ??
        fail(`refers to '${name}', which is not defined`)
      )
    }
    if (isCall) {
      return extern.kind === 'kfunc'
        ? { kind: 'kfunc', insn, extern: extern.name }
        : fail(`calls the variable '${name}'`)
    }
    return { kind: extern.kind === 'kconfig' ? 'kconfig' : 'ksym', insn, extern: extern.name }
  }
  if (symbol.section === SectionIndex.UNDEF || symbol.section >= SectionIndex.LORESERVE) {
    return fail(`refers to '${name}' in special section 0x${symbol.section.toString(16)}; is it initialised?`)
  }

  const role = file.roles[symbol.section]
  const implicit = imm[insn] as number
  if (role === 'text' || role === 'program') {
    // A call counts slots from the next instruction (imm -1 means the symbol itself), an address counts bytes.
    const offset = symbol.value + (relocation.addend ?? (isCall ? (implicit + 1) * 8 : implicit))
    if (isCall && src[insn] !== PSEUDO_CALL)
      return fail(`calls '${name}' by a call instruction with src ${src[insn]}, not 1`)
    const target = functions.holding(symbol.section, Math.floor(offset / 8))
    if (target === undefined || target.start * 8 !== offset) {
      return fail(
        `refers to byte ${offset} of section '${elf.sections[symbol.section]?.name}', where no function starts`,
      )
    }
    return { kind: isCall ? 'call' : 'functionAddress', insn, functionIndex: target.index }
  }
  if (isCall) return fail(`calls '${name}', which is in section '${elf.sections[symbol.section]?.name}' without code`)

  const offset = (symbol.value + (relocation.addend ?? implicit)) | 0
  switch (role) {
    case 'btfMaps':
    case 'legacyMaps': {
      // libbpf looks at the symbol only; clang refers to the section of static maps.
      const at = symbol.type === SymbolType.SECTION ? offset : symbol.value
      const map = targets.maps.get(symbol.section)?.get(at)
      return map === undefined
        ? fail(`refers to '${name}', where no map is`)
        : { kind: 'map', insn, map: map.spec.name }
    }
    case 'data':
    case 'rodata':
    case 'bss': {
      const map = targets.maps.get(symbol.section)?.get(0)
      return map === undefined
        ? fail(`refers to '${name}' in an empty section`)
        : { kind: 'mapValue', insn, map: map.spec.name, offset }
    }
    case 'arena':
      return targets.arena === null
        ? fail(`refers to '${name}' in an arena, but there is no arena map`)
        : { kind: 'mapValue', insn, map: targets.arena, offset }
    case 'jumpTables': {
      const targets = jumpTargets(elf, fn, symbol)
      return typeof targets === 'string'
        ? fail(`uses jump table '${name}', ${targets}`)
        : { kind: 'jumpTable', insn, targets }
    }
    case 'structOps':
    case 'other':
    case undefined:
    default:
      return fail(`refers to '${name}' in section '${elf.sections[symbol.section]?.name}', which is not loaded`)
  }
}

const TABLE_ENTRY = 8

/** Slots of the function that a jump table names, which holds byte offsets in the section; or what is wrong with it. */
function jumpTargets(elf: ElfFile, fn: LocatedFunction, symbol: ElfSymbol): readonly number[] | string {
  const { value, size } = symbol
  const data = elf.sections[symbol.section]?.data ?? new Uint8Array(0)
  if (value % TABLE_ENTRY !== 0 || size % TABLE_ENTRY !== 0 || size === 0 || value + size > data.length) {
    return `which has bytes ${value} to ${value + size} of its section of ${data.length}: entries have 8 bytes`
  }
  const view = new DataView(data.buffer, data.byteOffset, data.length)
  const targets: number[] = []
  for (let at = value; at < value + size; at += TABLE_ENTRY) {
    const low = view.getUint32(at + (elf.littleEndian ? 0 : 4), elf.littleEndian)
    const high = view.getUint32(at + (elf.littleEndian ? 4 : 0), elf.littleEndian)
    const slot = low / 8 - fn.start
    if (high !== 0 || low % 8 !== 0 || slot < 0 || slot >= fn.length) {
      return `whose entry at byte ${at} leads to byte ${high * 2 ** 32 + low}, outside of the function`
    }
    targets.push(slot)
  }
  return targets
}

/** Whether an instruction takes two slots. */
export function isWide(insns: InsnBuffer, at: number): boolean {
  return insns.code[at] === LD_IMM64
}
