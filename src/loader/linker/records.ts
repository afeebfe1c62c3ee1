import type { BtfExt, BtfExtSource, BtfLineInfo } from '../../btf/index.ts'
import { BpfError } from '../../bytes/index.ts'
import type { InputObject, InputSection } from './input.ts'
import type { OutputSection, Placement } from './sections.ts'

type Line = Pick<BtfLineInfo, 'insnOffset' | 'fileName' | 'lineText' | 'line' | 'column'>
interface Records {
  readonly functions: { readonly insnOffset: number; readonly typeId: number }[]
  readonly lines: Line[]
  readonly core: {
    readonly insnOffset: number
    readonly typeId: number
    readonly access: string
    readonly kind: number
  }[]
}

/** The records of .BTF.ext of all inputs, by output section. */
export class OutputRecords {
  readonly #bySection = new Map<OutputSection, Records>()

  /** @throws BpfError `not-found` for records of a section that does not exist */
  append(input: InputObject, ext: BtfExt, newIds: Uint32Array, placements: ReadonlyMap<InputSection, Placement>): void {
    for (const [name, list] of ext.funcInfo) {
      const { records, offset } = this.#of(input, name, placements)
      for (const { insnOffset, typeId } of list) {
        records.functions.push({ insnOffset: insnOffset + offset, typeId: newIds[typeId] ?? 0 })
      }
    }
    for (const [name, list] of ext.lineInfo) {
      const { records, offset } = this.#of(input, name, placements)
      for (const { insnOffset, fileName, lineText, line, column } of list) {
        records.lines.push({ insnOffset: insnOffset + offset, fileName, lineText, line, column })
      }
    }
    for (const [name, list] of ext.coreRelos) {
      const { records, offset } = this.#of(input, name, placements)
      for (const { insnOffset, typeId, access, kind } of list) {
        records.core.push({ insnOffset: insnOffset + offset, typeId: newIds[typeId] ?? 0, access, kind })
      }
    }
  }

  #of(
    input: InputObject,
    name: string,
    placements: ReadonlyMap<InputSection, Placement>,
  ): { readonly records: Records; readonly offset: number } {
    const source = input.byName.get(name)
    const placement = source === undefined ? undefined : placements.get(source)
    if (placement === undefined) {
      throw new BpfError('not-found', `there are records for section '${name}', which does not exist`, {
        where: { section: '.BTF.ext' },
      })
    }
    let records = this.#bySection.get(placement.section)
    if (records === undefined) {
      records = { functions: [], lines: [], core: [] }
      this.#bySection.set(placement.section, records)
    }
    return { records, offset: placement.offset }
  }

  get isEmpty(): boolean {
    return this.#bySection.size === 0
  }

  /** The records in the order of sections, with the ids that dedup gave. */
  source(sections: readonly OutputSection[], newIds: Uint32Array): BtfExtSource {
    const filled = sections.flatMap((section) => {
      const records = this.#bySection.get(section)
      return records === undefined ? [] : [{ name: section.name, records }]
    })
    const withNewId = <T extends { readonly typeId: number }>(record: T): T => ({
      ...record,
      typeId: newIds[record.typeId] ?? 0,
    })
    return {
      funcInfo: new Map(filled.map(({ name, records }) => [name, records.functions.map(withNewId)])),
      lineInfo: new Map(filled.map(({ name, records }) => [name, records.lines])),
      coreRelos: new Map(filled.map(({ name, records }) => [name, records.core.map(withNewId)])),
    }
  }
}
