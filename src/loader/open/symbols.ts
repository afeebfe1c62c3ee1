import {
  SectionFlag,
  SectionIndex,
  SectionType,
  SymbolType,
  type ElfFile,
  type ElfSection,
  type ElfSymbol,
} from '../../elf/index.ts'
import { BpfError } from '../../bytes/index.ts'

/** What a section of a BPF object is for. */
export type SectionRole =
  | 'text'
  | 'program'
  | 'btfMaps'
  | 'legacyMaps'
  | 'data'
  | 'rodata'
  | 'bss'
  | 'structOps'
  | 'arena'
  | 'jumpTables'
  | 'other'

/** Role of a section by its name, type and flags: libbpf's rules (libbpf.c, bpf_object__elf_collect) and legacy maps. */
export function sectionRole(section: ElfSection): SectionRole {
  const { name, type } = section
  if (type === SectionType.NOBITS) return name === '.bss' || name.startsWith('.bss.') ? 'bss' : 'other'
  if (type !== SectionType.PROGBITS) return 'other'
  if (name === 'license' || name === 'version') return 'other'
  if (name === '.maps') return 'btfMaps'
  if (section.size === 0) return 'other'
  if ((section.flags & SectionFlag.EXECINSTR) !== 0) return name === '.text' ? 'text' : 'program'
  if (name === 'maps' || name.startsWith('maps/')) return 'legacyMaps'
  if (name === '.data' || name.startsWith('.data.')) return 'data'
  if (name === '.rodata' || name.startsWith('.rodata.')) return 'rodata'
  if (/^\??\.struct_ops(\.link)?$/.test(name)) return 'structOps'
  if (name === '.addr_space.1') return 'arena'
  if (name === '.jumptables') return 'jumpTables'
  return 'other'
}

/** An ELF file with what opening it asks for again and again. */
export interface ObjectFile {
  readonly elf: ElfFile
  readonly roles: readonly SectionRole[]
  /** Symbols by section, in the order of the symbol table. */
  readonly symbolsOf: (section: number) => readonly ElfSymbol[]
  /** Relocation sections by the section they change. */
  readonly relocationSections: ReadonlyMap<number, readonly ElfSection[]>
}

/** Indexes an ELF file. @throws BpfError `unsupported` for compressed sections that matter */
export function indexFile(elf: ElfFile): ObjectFile {
  const roles = elf.sections.map(sectionRole)
  for (const section of elf.sections) {
    if ((section.flags & SectionFlag.COMPRESSED) !== 0 && roles[section.index] !== 'other') {
      throw new BpfError('unsupported', `section '${section.name}' is compressed`, {
        where: { section: section.name, offset: section.offset },
      })
    }
  }
  const bySection = new Map<number, ElfSymbol[]>()
  for (const symbol of elf.symbols) {
    const list = bySection.get(symbol.section)
    if (list === undefined) bySection.set(symbol.section, [symbol])
    else list.push(symbol)
  }
  const relocationSections = new Map<number, ElfSection[]>()
  for (const section of elf.sections) {
    if (section.type !== SectionType.REL && section.type !== SectionType.RELA) continue
    const list = relocationSections.get(section.info)
    if (list === undefined) relocationSections.set(section.info, [section])
    else list.push(section)
  }
  return { elf, roles, symbolsOf: (section) => bySection.get(section) ?? [], relocationSections }
}

/** Whether a symbol is declared here and defined elsewhere. */
export function isExtern(symbol: ElfSymbol): boolean {
  return symbol.section === SectionIndex.UNDEF && symbol.bind !== 'local' && symbol.type === SymbolType.NOTYPE
}

/** Name of a symbol for messages; a section symbol has its section's. */
export function symbolName(elf: ElfFile, symbol: ElfSymbol): string {
  if (symbol.name !== '') return symbol.name
  return elf.sections[symbol.section]?.name ?? `symbol ${symbol.index}`
}
