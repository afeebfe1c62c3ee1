import { BpfError } from '../../bytes/index.ts'
import { SectionType, type ElfRelocation } from '../../elf/index.ts'
import type { InputObject, InputSection } from './input.ts'

/** A variable of an output section's DATASEC. */
export interface PlacedVariable {
  readonly type: number
  readonly offset: number
  size: number
}

/** A section of the output. */
export class OutputSection {
  readonly name: string
  /** sh_type and so on; null as long as it is only a DATASEC of externs. */
  elf: { readonly type: number; readonly flags: number; readonly entrySize: number; align: number } | null = null
  size = 0
  readonly relocations: ElfRelocation[] = []
  hasDatasec = false
  readonly variables: PlacedVariable[] = []
  /** Symbol of the section itself, as an index into the output's symbols. */
  sectionSymbol: number | null = null
  readonly #parts: { readonly offset: number; readonly data: Uint8Array }[] = []

  constructor(name: string) {
    this.name = name
  }

  /** Appends an input's section. @returns where it starts */
  append(section: InputSection): number {
    if (section.elf === null) return 0
    const { type, flags, entrySize, align } = section.elf
    if (this.elf === null) this.elf = { type, flags, entrySize, align }
    this.elf.align = Math.max(1, this.elf.align, align)
    const offset = Math.ceil(this.size / this.elf.align) * this.elf.align
    if (type !== SectionType.NOBITS) this.#parts.push({ offset, data: section.data })
    this.size = offset + section.elf.size
    return offset
  }

  /** The contents; of NOBITS an empty array. */
  contents(): Uint8Array {
    if (this.elf === null || this.elf.type === SectionType.NOBITS) return new Uint8Array(0)
    const bytes = new Uint8Array(this.size)
    for (const { offset, data } of this.#parts) bytes.set(data, offset)
    return bytes
  }
}

/** Where a section of an input went. */
export interface Placement {
  readonly section: OutputSection
  /** Bytes from the start of the output section to the input's part. */
  readonly offset: number
}

/** Sections that every object has, of which one is enough. */
const SHARED: ReadonlySet<string> = new Set(['license', 'version'])

/** The sections of the output, in the order in which they were first met. */
export class OutputSections {
  readonly list: OutputSection[] = []
  readonly #byName = new Map<string, OutputSection>()

  /**
   * Appends the sections of an input that are kept. `license` and `version` are kept once and must be the same in all.
   * @returns where each one went; those that were left out, because an equal one is there, map to that
   * @throws BpfError `type-mismatch` for sections that cannot be joined
   */
  append(input: InputObject): Map<InputSection, Placement> {
    const placements = new Map<InputSection, Placement>()
    for (const section of input.sections) {
      if (section.skipped) continue
      let output = this.#byName.get(section.name)
      if (output === undefined) {
        output = new OutputSection(section.name)
        this.list.push(output)
        this.#byName.set(section.name, output)
      } else {
        checkMatch(output, section)
        if (SHARED.has(section.name)) {
          checkSame(output, section)
          section.skipped = true
          placements.set(section, { section: output, offset: 0 })
          continue
        }
      }
      placements.set(section, { section: output, offset: output.append(section) })
    }
    return placements
  }
}

function checkMatch(output: OutputSection, section: InputSection): void {
  if (output.elf === null || section.elf === null) return
  const fail = (what: string, here: number, there: number): never => {
    throw new BpfError('type-mismatch', `has ${what} ${here} here and ${there} in an object before`, {
      where: { section: section.name },
    })
  }
  const { type, flags, entrySize } = section.elf
  if (type !== output.elf.type) fail('type', type, output.elf.type)
  if (flags !== output.elf.flags) fail('flags', flags, output.elf.flags)
  if (entrySize !== output.elf.entrySize) fail('entry size', entrySize, output.elf.entrySize)
}

function checkSame(output: OutputSection, section: InputSection): void {
  const known = output.contents()
  const isSame = known.length === section.data.length && known.every((byte, i) => byte === section.data[i])
  if (!isSame) {
    throw new BpfError('type-mismatch', 'is not the same as in the objects before, which it must be', {
      where: { section: section.name },
    })
  }
}
