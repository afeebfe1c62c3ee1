import { BpfError, Reader } from '../bytes/index.ts'
import { ELF_HEADER_SIZE, ElfMachine, ElfType, SECTION_HEADER_SIZE, SectionIndex, SectionType } from './constants.ts'
import { StringTable } from './strings.ts'
import { parseSymbols } from './symbols.ts'
import type { ElfFile, ElfSection, ElfSymbol } from './types.ts'

/** How strict {@link parseElf} is. */
export interface ParseElfOptions {
  /**
   * `bpf` (default): a relocatable file for EM_BPF, checked as a whole. `any`: any ELF64 file, such as a kernel
   * image that carries a .BTF section; symbols are parsed on first use.
   */
  readonly accept?: 'bpf' | 'any'
}

/**
 * Parses an ELF64 file of either byte order (System V gABI, chapter 4). Section contents are views into `bytes`.
 * @param name file name for messages
 * @throws BpfError `truncated`, `malformed`, `limit`; `unsupported` for another class, type or machine
 */
export function parseElf(bytes: Uint8Array, name: string = 'object', options: ParseElfOptions = {}): ElfFile {
  const where = { file: name }
  try {
    // Views of a Node Buffer would be Buffers, whose slice() does not copy.
    const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    return parse(plain, name, options.accept ?? 'bpf')
  } catch (error) {
    if (error instanceof BpfError) throw error.within(where)
    throw error
  }
}

interface Header {
  readonly littleEndian: boolean
  readonly type: number
  readonly machine: number
  readonly flags: number
  readonly sectionsOffset: number
  readonly sectionCount: number
  readonly namesIndex: number
}

function parse(bytes: Uint8Array, name: string, accept: 'bpf' | 'any'): ElfFile {
  const header = parseHeader(bytes, accept)
  const sections = parseSections(bytes, header)
  const file = new ParsedElf(name, header, sections)
  if (accept === 'bpf') {
    checkOverlaps(sections)
    // Forces the symbol table, so that a parsed object is a checked one.
    void file.symbols
  }
  return file
}

class ParsedElf implements ElfFile {
  readonly name: string
  readonly littleEndian: boolean
  readonly type: number
  readonly machine: number
  readonly flags: number
  readonly sections: readonly ElfSection[]
  #symbols: readonly ElfSymbol[] | null = null
  readonly #byName = new Map<string, ElfSection>()

  constructor(name: string, header: Header, sections: readonly ElfSection[]) {
    this.name = name
    this.littleEndian = header.littleEndian
    this.type = header.type
    this.machine = header.machine
    this.flags = header.flags
    this.sections = sections
    for (const section of sections) {
      if (section.index > 0 && !this.#byName.has(section.name)) this.#byName.set(section.name, section)
    }
  }

  get symbols(): readonly ElfSymbol[] {
    this.#symbols ??= parseSymbols(this.sections, this.littleEndian)
    return this.#symbols
  }

  sectionByName(name: string): ElfSection | undefined {
    return this.#byName.get(name)
  }
}

function fail(message: string, offset: number, code: 'malformed' | 'unsupported' = 'malformed'): never {
  throw new BpfError(code, message, { where: { offset } })
}

function parseHeader(bytes: Uint8Array, accept: 'bpf' | 'any'): Header {
  const ident = new Reader(bytes, { name: 'ELF header' })
  const magic = ident.u32()
  if (magic !== 0x464c457f) fail(`ELF header: magic is 0x${magic.toString(16)}, not 7f 'E' 'L' 'F'`, 0)
  const elfClass = ident.u8()
  if (elfClass !== 2) fail(`ELF header: class is ${elfClass}, only 2 (64 bits) is read`, 4, 'unsupported')
  const order = ident.u8()
  if (order !== 1 && order !== 2) fail(`ELF header: byte order is ${order}, not 1 (little) or 2 (big)`, 5)
  const identVersion = ident.u8()
  if (identVersion !== 1) fail(`ELF header: version is ${identVersion}, not 1`, 6)

  const littleEndian = order === 1
  const reader = new Reader(bytes, { name: 'ELF header', littleEndian }).seek(16)
  const type = reader.u16()
  if (accept === 'bpf' && type !== ElfType.REL) {
    fail(`ELF header: type is ${type}, a BPF object is relocatable (1)`, 16, 'unsupported')
  }
  const machine = reader.u16()
  if (accept === 'bpf' && machine !== ElfMachine.BPF && machine !== ElfMachine.NONE) {
    fail(`ELF header: machine is ${machine}, a BPF object has 247 (EM_BPF) or 0`, 18, 'unsupported')
  }
  const version = reader.u32()
  if (version !== 1) fail(`ELF header: version is ${version}, not 1`, 20)
  reader.skip(16) // e_entry, e_phoff
  const sectionsOffset = reader.size64('section header offset')
  const flags = reader.u32()
  const headerSize = reader.u16()
  if (headerSize < ELF_HEADER_SIZE) fail(`ELF header: its size is ${headerSize}, not ${ELF_HEADER_SIZE}`, 52)
  reader.skip(4) // e_phentsize, e_phnum
  const entrySize = reader.u16()
  let sectionCount = reader.u16()
  let namesIndex = reader.u16()
  if (sectionsOffset === 0) {
    return { littleEndian, type, machine, flags, sectionsOffset, sectionCount: 0, namesIndex: 0 }
  }
  if (entrySize !== SECTION_HEADER_SIZE) {
    fail(`ELF header: section headers have ${entrySize} bytes, not ${SECTION_HEADER_SIZE}`, 58)
  }
  // Counts that do not fit 16 bits are in the null section.
  const first = new Reader(bytes, { name: 'section header 0', littleEndian }).seek(sectionsOffset)
  first.skip(32)
  const extendedCount = first.size64('section count')
  const extendedNames = first.u32()
  if (sectionCount === 0) sectionCount = extendedCount
  if (namesIndex === SectionIndex.XINDEX) namesIndex = extendedNames
  if (sectionCount > (bytes.length - sectionsOffset) / SECTION_HEADER_SIZE) {
    fail(`ELF header: ${sectionCount} section headers at ${sectionsOffset} do not fit ${bytes.length} bytes`, 60)
  }
  if (sectionCount > 0 && namesIndex >= sectionCount) {
    fail(`ELF header: section name table index is ${namesIndex} of ${sectionCount} sections`, 62)
  }
  return { littleEndian, type, machine, flags, sectionsOffset, sectionCount, namesIndex }
}

interface RawSection extends Omit<ElfSection, 'name'> {
  readonly nameOffset: number
  readonly headerOffset: number
}

function parseSections(bytes: Uint8Array, header: Header): ElfSection[] {
  const raw: RawSection[] = []
  for (let index = 0; index < header.sectionCount; index++) {
    const headerOffset = header.sectionsOffset + index * SECTION_HEADER_SIZE
    const reader = new Reader(bytes, { name: `section header ${index}`, littleEndian: header.littleEndian })
    reader.seek(headerOffset)
    const nameOffset = reader.u32()
    const type = reader.u32()
    // Flags above 32 bits do not exist; the operating-system and processor masks end at bit 31.
    const flags = Number(reader.u64() & 0xffff_ffffn)
    const isNull = index === 0 || type === SectionType.NULL
    if (isNull) {
      raw.push({ ...NULL_SECTION, index, nameOffset: 0, headerOffset })
      continue
    }
    const address = reader.size64('address')
    const offset = reader.size64('offset')
    const size = reader.size64('size')
    const link = reader.u32()
    const info = reader.u32()
    const align = reader.size64('alignment')
    const entrySize = reader.size64('entry size')
    const stored = type === SectionType.NOBITS ? 0 : size
    if (stored > 0 && (offset > bytes.length || stored > bytes.length - offset)) {
      fail(`section ${index}: bytes ${offset} to ${offset + size} are outside the file's ${bytes.length}`, headerOffset)
    }
    const data = stored === 0 ? EMPTY : bytes.subarray(offset, offset + stored)
    raw.push({
      index,
      nameOffset,
      headerOffset,
      type,
      flags,
      address,
      offset,
      size,
      link,
      info,
      align,
      entrySize,
      data,
    })
  }
  const table = nameTable(raw, header)
  return raw.map(({ nameOffset, headerOffset, ...section }) => {
    try {
      return { ...section, name: section.index === 0 || table === null ? '' : table.at(nameOffset) }
    } catch (error) {
      if (error instanceof BpfError) throw error.within({ offset: headerOffset })
      throw error
    }
  })
}

const EMPTY = new Uint8Array(0)
const NULL_SECTION = {
  type: 0,
  flags: 0,
  address: 0,
  offset: 0,
  size: 0,
  link: 0,
  info: 0,
  align: 0,
  entrySize: 0,
  data: EMPTY,
} as const

function nameTable(raw: readonly RawSection[], header: Header): StringTable | null {
  if (header.namesIndex === SectionIndex.UNDEF) return null
  const section = raw[header.namesIndex]
  if (section === undefined) return null
  if (section.type !== SectionType.STRTAB) {
    fail(
      `section ${section.index}: the section name table has type ${section.type}, not 3 (STRTAB)`,
      section.headerOffset,
    )
  }
  return new StringTable(section.data, section.offset, 'section name table')
}

/** No compiler lets sections share bytes; allowing it would let a small file ask for a lot of work. */
function checkOverlaps(sections: readonly ElfSection[]): void {
  const stored = sections.filter((section) => section.data.length > 0).sort((a, b) => a.offset - b.offset)
  let previous: ElfSection | null = null
  for (const section of stored) {
    if (previous !== null && section.offset < previous.offset + previous.data.length) {
      fail(
        `section ${section.index} '${section.name}' overlaps section ${previous.index} '${previous.name}', ` +
          `which ends at ${previous.offset + previous.data.length}`,
        section.offset,
      )
    }
    previous = section
  }
}
