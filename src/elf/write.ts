import { BpfError, Writer } from '../bytes/index.ts'
import {
  ELF_HEADER_SIZE,
  ElfMachine,
  ElfType,
  REL_SIZE,
  RELA_SIZE,
  SECTION_HEADER_SIZE,
  SectionFlag,
  SectionType,
  SYMBOL_SIZE,
} from './constants.ts'
import type { ElfBind, ElfRelocation } from './types.ts'

/** A section to write. It gets the index of its place in the list plus 1. */
export interface ElfSectionInput {
  readonly name: string
  readonly type: number
  readonly flags?: number
  /** Contents; leave out for NOBITS. */
  readonly data?: Uint8Array
  /** Size of a NOBITS section in bytes. */
  readonly size?: number
  readonly link?: number
  readonly info?: number
  /** A power of two, 1 unless given. */
  readonly align?: number
  readonly entrySize?: number
  /** Relocations that change this section: REL, or RELA when any has an addend. */
  readonly relocations?: readonly ElfRelocation[]
}

/** A symbol to write. Relocations name it by its place in the list plus 1 (0 is the null symbol). */
export interface ElfSymbolInput {
  readonly name: string
  readonly value?: number
  readonly size?: number
  readonly bind?: ElfBind
  readonly type?: number
  readonly visibility?: number
  readonly section: number
}

/** What {@link writeElf} writes: everything but string tables, symbol table and relocation sections. */
export interface ElfInput {
  readonly littleEndian?: boolean
  readonly machine?: number
  readonly flags?: number
  readonly sections: readonly ElfSectionInput[]
  readonly symbols?: readonly ElfSymbolInput[]
}

interface OutSection {
  name: string
  type: number
  flags: number
  data: Uint8Array
  size: number
  link: number
  info: number
  align: number
  entrySize: number
}

/**
 * Writes a relocatable ELF64 file. The sections given keep their order and indices; behind them come a .rel or
 * .rela section for each that has relocations, .symtab and .strtab. Local symbols go first, as the gABI wants, and
 * relocations follow them.
 * @throws BpfError `usage` for symbols and relocations that name nothing
 */
export function writeElf(input: ElfInput): Uint8Array {
  const littleEndian = input.littleEndian ?? true
  const symbols = input.symbols ?? []
  const strings = new StringTableWriter()
  const { table, newIndex, localCount } = symbolTable(symbols, strings, littleEndian, input.sections.length)

  const out: OutSection[] = input.sections.map((section) => ({
    name: section.name,
    type: section.type,
    flags: section.flags ?? 0,
    data: section.data ?? new Uint8Array(0),
    size: section.type === SectionType.NOBITS ? (section.size ?? 0) : (section.data?.length ?? 0),
    link: section.link ?? 0,
    info: section.info ?? 0,
    align: section.align ?? 1,
    entrySize: section.entrySize ?? 0,
  }))
  const relocated = input.sections.filter((section) => (section.relocations?.length ?? 0) > 0).length
  const symtabIndex = 1 + input.sections.length + relocated
  input.sections.forEach((section, i) => {
    if (section.relocations === undefined || section.relocations.length === 0) return
    out.push(relocationSection(section.name, i + 1, section.relocations, newIndex, symtabIndex, littleEndian))
  })
  out.push({
    ...EMPTY_SECTION,
    name: '.symtab',
    type: SectionType.SYMTAB,
    data: table,
    size: table.length,
    link: symtabIndex + 1,
    info: localCount,
    align: 8,
    entrySize: SYMBOL_SIZE,
  })
  const nameOffsets = [...out.map((section) => strings.add(section.name)), strings.add('.strtab')]
  const stringBytes = strings.bytes()
  out.push({ ...EMPTY_SECTION, name: '.strtab', type: SectionType.STRTAB, data: stringBytes, size: stringBytes.length })
  return layOut(out, nameOffsets, input, littleEndian)
}

const EMPTY_SECTION = { flags: 0, link: 0, info: 0, align: 1, entrySize: 0 } as const

function layOut(sections: OutSection[], names: readonly number[], input: ElfInput, littleEndian: boolean): Uint8Array {
  const body = new Writer(littleEndian, 4096).zeros(ELF_HEADER_SIZE)
  const offsets = sections.map((section) => {
    body.align(Math.max(1, section.align))
    const offset = body.length
    body.write(section.data)
    return offset
  })
  body.align(8)
  const headersAt = body.length
  body.zeros(SECTION_HEADER_SIZE)
  sections.forEach((section, i) => {
    body
      .u32(names[i] as number)
      .u32(section.type)
      .u64(BigInt(section.flags))
      .u64(0n)
    body
      .u64(BigInt(offsets[i] as number))
      .u64(BigInt(section.size))
      .u32(section.link)
      .u32(section.info)
    body.u64(BigInt(section.align)).u64(BigInt(section.entrySize))
  })
  const header = new Writer(littleEndian, ELF_HEADER_SIZE)
  header.write(Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 2, littleEndian ? 1 : 2, 1, 0)).zeros(8)
  header
    .u16(ElfType.REL)
    .u16(input.machine ?? ElfMachine.BPF)
    .u32(1)
    .u64(0n)
    .u64(0n)
    .u64(BigInt(headersAt))
  header
    .u32(input.flags ?? 0)
    .u16(ELF_HEADER_SIZE)
    .u16(0)
    .u16(0)
    .u16(SECTION_HEADER_SIZE)
  header.u16(sections.length + 1).u16(sections.length)
  const bytes = body.bytes()
  bytes.set(header.bytes(), 0)
  return bytes
}

function symbolTable(
  symbols: readonly ElfSymbolInput[],
  strings: StringTableWriter,
  littleEndian: boolean,
  sectionCount: number,
): { table: Uint8Array; newIndex: readonly number[]; localCount: number } {
  const isLocal = (symbol: ElfSymbolInput): boolean => (symbol.bind ?? 'global') === 'local'
  const indices = symbols.map((_, i) => i)
  const order = [
    ...indices.filter((i) => isLocal(symbols[i] as ElfSymbolInput)),
    ...indices.filter((i) => !isLocal(symbols[i] as ElfSymbolInput)),
  ]
  const newIndex: number[] = [0]
  const writer = new Writer(littleEndian, (symbols.length + 1) * SYMBOL_SIZE).zeros(SYMBOL_SIZE)
  let localCount = 1
  order.forEach((old, place) => {
    const symbol = symbols[old] as ElfSymbolInput
    if (symbol.section > sectionCount && symbol.section < 0xff00) {
      throw new BpfError(
        'usage',
        `symbol '${symbol.name}': section ${symbol.section} of ${sectionCount} does not exist`,
      )
    }
    newIndex[old + 1] = place + 1
    if (isLocal(symbol)) localCount++
    const bind = { local: 0, global: 1, weak: 2 }[symbol.bind ?? 'global']
    writer
      .u32(strings.add(symbol.name))
      .u8((bind << 4) | (symbol.type ?? 0))
      .u8(symbol.visibility ?? 0)
    writer
      .u16(symbol.section)
      .u64(BigInt(symbol.value ?? 0))
      .u64(BigInt(symbol.size ?? 0))
  })
  return { table: writer.bytes(), newIndex, localCount }
}

function relocationSection(
  targetName: string,
  targetIndex: number,
  relocations: readonly ElfRelocation[],
  newIndex: readonly number[],
  symtabIndex: number,
  littleEndian: boolean,
): OutSection {
  const withAddend = relocations.some((relocation) => relocation.addend !== null)
  const writer = new Writer(littleEndian)
  for (const relocation of relocations) {
    const symbol = newIndex[relocation.symbol]
    if (symbol === undefined) {
      throw new BpfError('usage', `relocation of section '${targetName}': symbol ${relocation.symbol} does not exist`)
    }
    writer.u64(BigInt(relocation.offset)).u64((BigInt(symbol) << 32n) | BigInt(relocation.type))
    if (withAddend) writer.u64(BigInt.asUintN(64, BigInt(relocation.addend ?? 0)))
  }
  const data = writer.bytes()
  return {
    name: `${withAddend ? '.rela' : '.rel'}${targetName}`,
    type: withAddend ? SectionType.RELA : SectionType.REL,
    flags: SectionFlag.INFO_LINK,
    data,
    size: data.length,
    link: symtabIndex,
    info: targetIndex,
    align: 8,
    entrySize: withAddend ? RELA_SIZE : REL_SIZE,
  }
}

class StringTableWriter {
  readonly #writer = new Writer().u8(0)
  readonly #offsets = new Map<string, number>([['', 0]])

  add(text: string): number {
    const known = this.#offsets.get(text)
    if (known !== undefined) return known
    const offset = this.#writer.length
    this.#writer.cstring(text)
    this.#offsets.set(text, offset)
    return offset
  }

  bytes(): Uint8Array {
    return this.#writer.bytes()
  }
}
