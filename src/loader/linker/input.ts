import { Btf, BtfKind, parseBtfExt, type BtfDatasec, type BtfExt, type BtfType } from '../../btf/index.ts'
import { BpfError } from '../../bytes/index.ts'
import {
  parseElf,
  relocationsOf,
  SectionFlag,
  SectionType,
  SymbolType,
  SymbolVisibility,
  type ElfFile,
  type ElfRelocation,
  type ElfSection,
} from '../../elf/index.ts'

/** DATASEC in which clang lists extern variables of no section; they are to be resolved by linking. */
export const EXTERN_SECTION = '.extern'

/** A section of an input, or a DATASEC without one (.ksyms, .kconfig). */
export interface InputSection {
  readonly name: string
  /** Null for a DATASEC without a section. */
  readonly elf: ElfSection | null
  /** Left out of the output. */
  skipped: boolean
  /** Its DATASEC, with sizes and offsets filled in. */
  datasec: BtfDatasec | null
  /** Copy of the contents, to be relocated; empty for NOBITS. */
  readonly data: Uint8Array
  readonly relocations: readonly ElfRelocation[]
}

/** An object to be linked, checked as far as linking needs it. */
export interface InputObject {
  readonly file: string
  readonly elf: ElfFile
  readonly btf: Btf | null
  readonly ext: BtfExt | null
  /** ELF sections by index (the null section is skipped), then those that are only in the BTF. */
  readonly sections: readonly InputSection[]
  /** The first section of each name. */
  readonly byName: ReadonlyMap<string, InputSection>
}

/** Larger alignments than a page have no use in BPF objects, and cost memory. */
const MAX_ALIGN = 65_536

/**
 * Reads an object and fills in what clang left to the linker: sizes of data sections, offsets of variables.
 * @throws BpfError of the parsers, `unsupported` for what cannot be linked
 */
export function readInput(bytes: Uint8Array, file: string): InputObject {
  const elf = parseElf(bytes, file)
  const sections = elf.sections.map((section) => inputSection(elf, section))
  const types = elf.sectionByName('.BTF')
  const btf = types === undefined ? null : Btf.parse(types.data, { baseOffset: types.offset })
  const records = elf.sectionByName('.BTF.ext')
  if (records !== undefined && btf === null) throw new BpfError('malformed', 'the object has .BTF.ext without .BTF')
  const ext =
    records === undefined || btf === null ? null : parseBtfExt(records.data, btf, { baseOffset: records.offset })
  checkSymbols(elf)
  const byName = new Map<string, InputSection>()
  for (const section of sections.slice(1)) if (!byName.has(section.name)) byName.set(section.name, section)
  if (btf !== null) placeVariables(btf, elf, sections, byName)
  return { file, elf, btf, ext, sections, byName }
}

function inputSection(elf: ElfFile, section: ElfSection): InputSection {
  const { name, type, index } = section
  const skipped = index === 0 || isLeftOut(section)
  const isData = type === SectionType.PROGBITS || type === SectionType.NOBITS
  const isKnown = isData || type === SectionType.REL || type === SectionType.SYMTAB
  const fail = (message: string): never => {
    throw new BpfError('unsupported', message, { where: { section: name, offset: section.offset } })
  }
  if (!skipped && !isKnown) fail(`section ${index} has type ${type}, which cannot be linked`)
  const isAligned = section.align <= MAX_ALIGN && (section.align & (section.align - 1)) === 0
  if (!skipped && !isAligned) fail(`its alignment ${section.align} is no power of two up to ${MAX_ALIGN}`)
  const relocations = skipped || !isData ? [] : relocationsOf(elf, index)
  for (const { type: kind, addend } of relocations) {
    if (addend !== null) fail('its relocations have addends (RELA), which BPF does not use')
    if (kind !== 1 && kind !== 2 && kind !== 3 && kind !== 10) fail(`its relocations have type ${kind}`)
  }
  return { name, elf: section, skipped: skipped || !isData, datasec: null, data: section.data.slice(), relocations }
}

/** Debug information, string tables, and what the linker makes itself. */
function isLeftOut({ name, type, size }: ElfSection): boolean {
  if (type === SectionType.STRTAB || type === SectionType.LLVM_ADDRSIG) return true
  if (type === SectionType.PROGBITS && size === 0 && name === '.text') return true
  const target = name.startsWith('.rel') ? name.slice(4) : name
  return target.startsWith('.debug_') || target === '.BTF' || target === '.BTF.ext'
}

function checkSymbols(elf: ElfFile): void {
  if (elf.symbols.length === 0) throw new BpfError('malformed', 'the object has no symbol table')
  for (const symbol of elf.symbols.slice(1)) {
    const fail = (message: string): never => {
      throw new BpfError('unsupported', message, { where: { symbol: symbol.name } })
    }
    const { visibility, type, section, bind } = symbol
    if (visibility !== SymbolVisibility.DEFAULT && visibility !== SymbolVisibility.HIDDEN) {
      fail(`symbol ${symbol.index} has visibility ${visibility}, only 0 (default) and 2 (hidden) can be linked`)
    }
    const isExtern = section === 0
    if (isExtern && (type !== SymbolType.NOTYPE || bind === 'local' || symbol.value !== 0 || symbol.size !== 0)) {
      fail(`symbol ${symbol.index} is undefined, but local or with a type, value or size`)
    }
    if (type === SymbolType.SECTION && symbol.value !== 0) fail(`symbol ${symbol.index} of a section is not at 0`)
  }
}

function placeVariables(btf: Btf, elf: ElfFile, sections: InputSection[], byName: Map<string, InputSection>): void {
  const placed = new Map<string, number>()
  for (const { name, type, section, value } of elf.symbols) {
    const key = `${section} ${name}`
    if (type === SymbolType.OBJECT && !placed.has(key)) placed.set(key, value)
  }
  for (const id of btf.ids()) {
    if (btf.kind(id) !== BtfKind.DATASEC) continue
    const datasec = btf.type(id) as BtfDatasec
    let section = byName.get(datasec.name)
    if (section === undefined) {
      if (datasec.name === EXTERN_SECTION) continue
      section = {
        name: datasec.name,
        elf: null,
        skipped: false,
        datasec: null,
        data: new Uint8Array(0),
        relocations: [],
      }
      sections.push(section)
      byName.set(section.name, section)
    }
    const index = section.elf?.index ?? 0
    const vars = datasec.vars.map((entry) => {
      const variable = btf.type(entry.type)
      if (variable.kind !== BtfKind.VAR || variable.linkage !== 1) return entry
      const offset = placed.get(`${index} ${variable.name}`)
      if (offset !== undefined) return { ...entry, offset }
      throw new BpfError('not-found', `variable '${variable.name}' of the BTF has no symbol`, {
        where: { section: datasec.name },
      })
    })
    section.datasec = { ...datasec, size: section.elf?.size ?? datasec.size, vars }
  }
}

/** Whether a variable or function can be seen from other objects. */
export function isVisible(type: BtfType): boolean {
  return (type.kind === BtfKind.VAR || type.kind === BtfKind.FUNC) && type.linkage !== 0
}

/** Whether a section holds instructions. */
export function isCode(section: InputSection): boolean {
  return section.elf !== null && (section.elf.flags & SectionFlag.EXECINSTR) !== 0
}
