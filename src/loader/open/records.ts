import type { BtfExt, BtfLineInfo } from '../../btf/index.ts'
import { BpfError } from '../../bytes/index.ts'
import type { ElfSection } from '../../elf/index.ts'
import type { CoreRelocation, LineRecord } from '../spec.ts'
import type { FunctionTable } from './functions.ts'
import type { ObjectFile } from './symbols.ts'

/** What .BTF.ext says about each function. */
export interface FunctionRecords {
  /** FUNC type by function index. */
  readonly funcInfo: ReadonlyMap<number, number>
  readonly core: ReadonlyMap<number, readonly CoreRelocation[]>
  /** Function indices in the order of their CO-RE records. */
  readonly coreOrder: readonly number[]
  readonly linesOf: (functionIndex: number) => readonly LineRecord[]
}

/**
 * Hands the records of .BTF.ext to the functions they lie in. Records of code that belongs to no function (weak
 * functions that a linker dropped) are skipped.
 */
export function collectRecords(
  file: ObjectFile,
  functions: FunctionTable,
  ext: BtfExt | null,
  warnings: BpfError[],
): FunctionRecords {
  const funcInfo = new Map<number, number>()
  const core = new Map<number, CoreRelocation[]>()
  if (ext === null) return { funcInfo, core, coreOrder: [], linesOf: () => [] }

  for (const [name, records] of ext.funcInfo) {
    const section = codeSection(file, name)
    if (section === undefined) continue
    for (const record of records) {
      const fn = functions.holding(section.index, record.insnOffset >> 3)
      if (fn !== undefined && fn.start * 8 === record.insnOffset) funcInfo.set(fn.index, record.typeId)
    }
  }
  for (const [name, records] of ext.coreRelos) {
    const section = codeSection(file, name)
    if (section === undefined) continue
    for (const { insnOffset, typeId, access, kind } of records) {
      if (insnOffset % 8 !== 0) {
        warnings.push(
          new BpfError('malformed', `a CO-RE record is for byte ${insnOffset}, within an instruction`, {
            where: { section: '.BTF.ext' },
          }),
        )
        continue
      }
      const fn = functions.holding(section.index, insnOffset >> 3)
      if (fn === undefined) continue
      const list = core.get(fn.index)
      const relocation = { insn: insnOffset / 8 - fn.start, typeId, access, kind }
      if (list === undefined) core.set(fn.index, [relocation])
      else list.push(relocation)
    }
  }
  return { funcInfo, core, coreOrder: [...core.keys()], linesOf: lineLookup(file, functions, ext) }
}

/** Line records are many and rarely needed: they are sorted into functions on first use. */
function lineLookup(file: ObjectFile, functions: FunctionTable, ext: BtfExt): (index: number) => readonly LineRecord[] {
  let byFunction: Map<number, LineRecord[]> | null = null
  const build = (): Map<number, LineRecord[]> => {
    const result = new Map<number, LineRecord[]>()
    for (const [name, records] of ext.lineInfo) {
      const section = codeSection(file, name)
      if (section === undefined) continue
      for (const record of records) {
        const fn = functions.holding(section.index, record.insnOffset >> 3)
        if (fn === undefined) continue
        const line = new Line(record, (record.insnOffset >> 3) - fn.start)
        const list = result.get(fn.index)
        if (list === undefined) result.set(fn.index, [line])
        else list.push(line)
      }
    }
    return result
  }
  return (index) => (byFunction ??= build()).get(index) ?? []
}

function codeSection(file: ObjectFile, name: string): ElfSection | undefined {
  const section = file.elf.sectionByName(name)
  const role = section === undefined ? undefined : file.roles[section.index]
  return role === 'text' || role === 'program' ? section : undefined
}

/** A line record at a slot; texts are decoded when read. */
export class Line implements LineRecord {
  readonly insn: number
  readonly #info: Pick<BtfLineInfo, 'fileName' | 'lineText' | 'line' | 'column' | 'fileNameOffset' | 'lineOffset'>

  constructor(info: Line['fields'], insn: number) {
    this.#info = info
    this.insn = insn
  }

  /** The record it was made from, to make another one at a different slot. */
  get fields(): Pick<BtfLineInfo, 'fileName' | 'lineText' | 'line' | 'column' | 'fileNameOffset' | 'lineOffset'> {
    return this.#info
  }
  get file(): string {
    return this.#info.fileName
  }
  get line(): number {
    return this.#info.line
  }
  get column(): number {
    return this.#info.column
  }
  get text(): string {
    return this.#info.lineText
  }
  get fileOffset(): number {
    return this.#info.fileNameOffset
  }
  get textOffset(): number {
    return this.#info.lineOffset
  }

  /** The same line at another slot. */
  at(insn: number): Line {
    return new Line(this.#info, insn)
  }
}
