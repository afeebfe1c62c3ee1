import { BpfError, Reader } from '../bytes/index.ts'
import { REL_SIZE, RELA_SIZE, SectionType } from './constants.ts'
import type { ElfFile, ElfRelocation, ElfSection } from './types.ts'

/** Sections of relocations for section `sectionIndex`. */
export function relocationSectionsOf(elf: ElfFile, sectionIndex: number): ElfSection[] {
  return elf.sections.filter(
    (section) =>
      (section.type === SectionType.REL || section.type === SectionType.RELA) && section.info === sectionIndex,
  )
}

/**
 * All relocations that change section `sectionIndex`, REL and RELA, in file order.
 * @throws BpfError `malformed` for wrong entry sizes, symbols that do not exist, or offsets outside the section
 */
export function relocationsOf(elf: ElfFile, sectionIndex: number): ElfRelocation[] {
  return relocationSectionsOf(elf, sectionIndex).flatMap((section) => relocationsIn(elf, section))
}

/**
 * The relocations of one REL or RELA section, in file order.
 * @throws BpfError `malformed` as {@link relocationsOf}
 */
export function relocationsIn(elf: ElfFile, section: ElfSection): ElfRelocation[] {
  const into: ElfRelocation[] = []
  const where = { file: elf.name, section: section.name }
  const fail = (message: string, offset: number): never => {
    throw new BpfError('malformed', message, { where: { ...where, offset } })
  }
  const withAddend = section.type === SectionType.RELA
  const entrySize = withAddend ? RELA_SIZE : REL_SIZE
  if (section.entrySize !== entrySize) {
    fail(`relocation entries have ${section.entrySize} bytes, not ${entrySize}`, section.offset)
  }
  if (section.size % entrySize !== 0) {
    fail(`${section.size} bytes are no multiple of the entry size ${entrySize}`, section.offset)
  }
  if (elf.sections[section.link]?.type !== SectionType.SYMTAB) {
    fail(`its symbols are in section ${section.link}, which is no symbol table`, section.offset)
  }
  const target = elf.sections[section.info]
  if (target === undefined) return fail(`it changes section ${section.info}, which does not exist`, section.offset)

  const reader = new Reader(section.data, {
    name: section.name,
    littleEndian: elf.littleEndian,
    baseOffset: section.offset,
  })
  const count = section.size / entrySize
  for (let i = 0; i < count; i++) {
    const at = reader.offset
    const offset = reader.size64('relocation offset')
    // r_info: symbol in the high half, type in the low half.
    const low = reader.u32()
    const high = reader.u32()
    const type = elf.littleEndian ? low : high
    const symbol = elf.littleEndian ? high : low
    let addend: number | null = null
    if (withAddend) {
      const wide = reader.s64()
      addend = Number(wide)
      if (!Number.isSafeInteger(addend)) fail(`relocation ${i}: addend ${wide} is absurd`, at)
    }
    if (symbol >= elf.symbols.length) {
      fail(`relocation ${i}: symbol ${symbol} does not exist, there are ${elf.symbols.length}`, at)
    }
    if (offset >= target.size) {
      fail(`relocation ${i}: offset ${offset} is outside section '${target.name}' of ${target.size} bytes`, at)
    }
    into.push({ offset, symbol, type, addend })
  }
  return into
}
