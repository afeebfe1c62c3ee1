import { BtfBuilder, dedupTypes, encodeBtfExt } from '../../btf/index.ts'
import { BpfError, within } from '../../bytes/index.ts'
import { SectionType, SymbolType, writeElf, type ElfSectionInput } from '../../elf/index.ts'
import { isCode, readInput, type InputObject, type InputSection } from './input.ts'
import { OutputRecords } from './records.ts'
import { OutputSections, type OutputSection, type Placement } from './sections.ts'
import { OutputSymbols, type OutputSymbol } from './symbols.ts'
import { OutputTypes } from './types.ts'

/** An object to link. */
export interface LinkInput {
  /** File name, for messages. */
  readonly name: string
  readonly bytes: Uint8Array
}

/** What alignment of sections may add to the output. */
const MAX_PADDING = 1 << 26
const INSN_SIZE = 8
/** BPF_JMP | BPF_CALL */
const CALL_OPCODE = 0x85

/**
 * Links BPF objects into one, as libbpf's bpf_linker and `bpftool gen object` do: sections of one name are joined,
 * extern symbols get the definitions that other objects have (of the same type by BTF, or it is an error), static
 * symbols stay apart, types are merged and each is kept once. Debug information is dropped. What stays extern is left to
 * a later link, or to the loader.
 * @returns an ELF file of the inputs' byte order
 * @throws BpfError with the input's file name: of the parsers, `malformed` for conflicting definitions, `type-mismatch`
 *   for declarations that do not fit, `unsupported` for what cannot be linked
 */
export function linkObjects(inputs: readonly LinkInput[]): Uint8Array {
  let linker: Linker | null = null
  for (const { name, bytes } of inputs) {
    within({ file: name }, () => {
      const input = readInput(bytes, name)
      linker ??= new Linker(input.elf.littleEndian)
      linker.add(input)
    })
  }
  if (linker === null) throw new BpfError('usage', 'there is nothing to link: give at least one object')
  return (linker as Linker).finish()
}

class Linker {
  readonly #littleEndian: boolean
  readonly #sections = new OutputSections()
  readonly #types: OutputTypes
  readonly #symbols: OutputSymbols
  readonly #records = new OutputRecords()

  constructor(littleEndian: boolean) {
    this.#littleEndian = littleEndian
    this.#types = new OutputTypes(littleEndian)
    this.#symbols = new OutputSymbols(this.#types)
  }

  add(input: InputObject): void {
    if (input.elf.littleEndian !== this.#littleEndian) {
      const order = (little: boolean): string => (little ? 'little' : 'big')
      throw new BpfError(
        'unsupported',
        `the object is ${order(input.elf.littleEndian)}-endian, those before are ${order(this.#littleEndian)}-endian`,
      )
    }
    const placements = this.#sections.append(input)
    const symbolMap = this.#symbols.append(input, placements)
    for (const section of input.sections) {
      const placement = placements.get(section)
      if (placement !== undefined && !section.skipped) this.#relocate(input, section, placement, placements, symbolMap)
    }
    if (input.btf === null) return
    const newIds = this.#types.append(input.btf, this.#symbols.globals)
    this.#types.placeVariables(input, newIds, placements, this.#symbols.globals)
    if (input.ext !== null) this.#records.append(input, input.ext, newIds, placements)
  }

  /** Moves the relocations of a section; those against a section as a whole have an offset in the instruction. */
  #relocate(
    input: InputObject,
    section: InputSection,
    placement: Placement,
    placements: ReadonlyMap<InputSection, Placement>,
    symbolMap: readonly (number | null)[],
  ): void {
    const view = new DataView(section.data.buffer, section.data.byteOffset, section.data.length)
    for (const relocation of section.relocations) {
      const fail = (message: string): never => {
        throw new BpfError('relocation', message, {
          where: { section: section.name, offset: (section.elf?.offset ?? 0) + relocation.offset },
        })
      }
      const symbol = input.elf.symbols[relocation.symbol]
      const index = symbolMap[relocation.symbol] ?? null
      if (symbol === undefined || index === null) {
        return fail(`it refers to symbol ${relocation.symbol} '${symbol?.name ?? ''}', which is left out`)
      }
      const isInstruction = isCode(section)
      if (isInstruction && (relocation.offset % INSN_SIZE !== 0 || relocation.offset + INSN_SIZE > view.byteLength)) {
        fail(`its offset ${relocation.offset} is not that of an instruction`)
      }
      if (symbol.type === SymbolType.SECTION) {
        if (!isInstruction) fail('a relocation of data against a section cannot be linked')
        const target = input.sections[symbol.section]
        const moved = target === undefined ? 0 : (placements.get(target)?.offset ?? 0)
        const isCall = view.getUint8(relocation.offset) === CALL_OPCODE
        const at = relocation.offset + 4
        const imm = view.getInt32(at, this.#littleEndian) + (isCall ? moved / INSN_SIZE : moved)
        view.setInt32(at, imm, this.#littleEndian)
      }
      placement.section.relocations.push({
        offset: relocation.offset + placement.offset,
        symbol: index + 1,
        type: relocation.type,
        addend: null,
      })
    }
  }

  finish(): Uint8Array {
    const stored = this.#sections.list.filter((section) => section.elf !== null)
    const padding = stored.reduce((sum, section) => sum + (section.elf?.align ?? 0), 0)
    if (padding > MAX_PADDING) throw new BpfError('limit', `aligning sections takes over ${MAX_PADDING} bytes`)
    const indices = new Map(stored.map((section, i) => [section, i + 1]))
    return writeElf({
      littleEndian: this.#littleEndian,
      sections: [...stored.map(sectionInput), ...this.#typeSections()],
      symbols: this.#symbols.list.map(({ section, ...symbol }) => ({
        ...symbol,
        section: sectionIndex(section, indices),
      })),
    })
  }

  #typeSections(): ElfSectionInput[] {
    if (this.#types.isEmpty) return []
    const sections = this.#sections.list
    const { types, newIds } = dedupTypes(this.#types.finish(sections))
    const builder = new BtfBuilder({ littleEndian: this.#littleEndian })
    for (const type of types) builder.add(type)
    const records = this.#records.isEmpty
      ? null
      : encodeBtfExt(this.#records.source(sections, newIds), (text) => builder.addString(text), this.#littleEndian)
    const common = { type: SectionType.PROGBITS, align: 8 }
    return [
      { ...common, name: '.BTF', data: builder.build() },
      ...(records === null ? [] : [{ ...common, name: '.BTF.ext', data: records }]),
    ]
  }
}

function sectionInput(section: OutputSection): ElfSectionInput {
  const { type, flags, align, entrySize } = section.elf as NonNullable<OutputSection['elf']>
  const { name, size, relocations } = section
  const contents = type === SectionType.NOBITS ? { size } : { data: section.contents() }
  return { name, type, flags, align, entrySize, relocations, ...contents }
}

function sectionIndex(section: OutputSymbol['section'], indices: ReadonlyMap<OutputSection, number>): number {
  if (section === null) return 0
  return typeof section === 'number' ? section : (indices.get(section) ?? 0)
}
