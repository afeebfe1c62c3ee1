import { BpfError, Reader } from '../bytes/index.ts'
import { SectionIndex, SectionType, SYMBOL_SIZE } from './constants.ts'
import { StringTable } from './strings.ts'
import type { ElfBind, ElfSection, ElfSymbol } from './types.ts'

/** The symbols of the one SHT_SYMTAB section, none without it. */
export function parseSymbols(sections: readonly ElfSection[], littleEndian: boolean): ElfSymbol[] {
  const tables = sections.filter((section) => section.type === SectionType.SYMTAB)
  const table = tables[0]
  if (table === undefined) return []
  const second = tables[1]
  if (second !== undefined) {
    fail(`section ${second.index} is a second symbol table, after section ${table.index}`, second.offset)
  }
  if (table.entrySize !== SYMBOL_SIZE) {
    fail(`symbol table: entries have ${table.entrySize} bytes, not ${SYMBOL_SIZE}`, table.offset)
  }
  if (table.size % SYMBOL_SIZE !== 0) {
    fail(`symbol table: ${table.size} bytes are no multiple of ${SYMBOL_SIZE}`, table.offset)
  }
  const names = sections[table.link]
  if (names === undefined || names.type !== SectionType.STRTAB) {
    fail(`symbol table: its names are in section ${table.link}, which is no string table`, table.offset)
  }
  const strings = new StringTable(names.data, names.offset, `string table '${names.name}'`)
  const extended = extendedIndices(sections, table, littleEndian)

  const reader = new Reader(table.data, { name: 'symbol table', littleEndian, baseOffset: table.offset })
  const count = table.size / SYMBOL_SIZE
  const symbols: ElfSymbol[] = []
  for (let index = 0; index < count; index++) {
    const offset = reader.offset
    const nameOffset = reader.u32()
    const info = reader.u8()
    const other = reader.u8()
    let section = reader.u16()
    const value = reader.size64('symbol value')
    const size = reader.size64('symbol size')
    if (section === SectionIndex.XINDEX) {
      if (extended === null || index >= extended.length) {
        fail(`symbol ${index}: its section index is extended, but there is no table of such indices`, offset)
      }
      section = extended[index] as number
      if (section >= sections.length) {
        fail(`symbol ${index}: section ${section} does not exist, there are ${sections.length}`, offset)
      }
    } else if (section >= sections.length && section !== SectionIndex.ABS && section !== SectionIndex.COMMON) {
      fail(`symbol ${index}: section ${section} does not exist, there are ${sections.length}`, offset)
    }
    const bind = BINDS[info >> 4]
    if (bind === undefined)
      fail(`symbol ${index}: binding is ${info >> 4}, not 0 (local), 1 (global) or 2 (weak)`, offset)
    const name = strings.at(nameOffset)
    symbols.push({ index, name, value, size, bind, type: info & 15, visibility: other & 3, section })
  }
  return symbols
}

const BINDS: readonly (ElfBind | undefined)[] = ['local', 'global', 'weak']

function extendedIndices(
  sections: readonly ElfSection[],
  table: ElfSection,
  littleEndian: boolean,
): Uint32Array | null {
  const section = sections.find((s) => s.type === SectionType.SYMTAB_SHNDX && s.link === table.index)
  if (section === undefined) return null
  const reader = new Reader(section.data, {
    name: 'extended section indices',
    littleEndian,
    baseOffset: section.offset,
  })
  const indices = new Uint32Array(section.data.length >> 2)
  for (let i = 0; i < indices.length; i++) indices[i] = reader.u32()
  return indices
}

function fail(message: string, offset: number): never {
  throw new BpfError('malformed', message, { where: { offset } })
}
