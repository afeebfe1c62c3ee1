import { BpfError, Reader } from '../bytes/index.ts'
import type { Btf } from './btf.ts'
import { BTF_MAGIC, BTF_VERSION } from './layout.ts'
import { wordsOf } from './words.ts'

/** A function that starts at an instruction. */
export interface BtfFuncInfo {
  /** Bytes from the start of the ELF section. */
  readonly insnOffset: number
  /** Id of a FUNC. */
  readonly typeId: number
}

/** The C source line of an instruction. The texts are looked up when read. */
export interface BtfLineInfo {
  /** Bytes from the start of the ELF section. */
  readonly insnOffset: number
  readonly fileName: string
  /** The whole line of source, as clang recorded it. */
  readonly lineText: string
  readonly line: number
  readonly column: number
  /** Offsets of the two texts in the BTF's strings, as bpf(2) wants them. */
  readonly fileNameOffset: number
  readonly lineOffset: number
}

/** A CO-RE relocation as the compiler asked for it. */
export interface BtfCoreRelo {
  /** Bytes from the start of the ELF section. */
  readonly insnOffset: number
  /** Local root type. */
  readonly typeId: number
  /** Accessor string: "0:1:2", or "0" for types, or an enumerator's index. */
  readonly access: string
  readonly accessOffset: number
  /** enum bpf_core_relo_kind, 0 to 12. */
  readonly kind: number
}

/** How {@link parseBtfExt} reads. */
export interface BtfExtOptions {
  /** What the bytes are, for messages; ".BTF.ext" unless said otherwise. */
  readonly name?: string
  /** Offset of the blob in its file. */
  readonly baseOffset?: number
}

/** Smallest sizes of struct bpf_func_info, bpf_line_info and bpf_core_relo. */
export const FUNC_INFO_SIZE = 8
export const LINE_INFO_SIZE = 16
export const CORE_RELO_SIZE = 16

/** Longest accessor: 64 numbers of up to 10 digits, and the colons between them. */
const MAX_ACCESSOR = 64 * 11

const HEADER_SIZE_V1 = 24
const HEADER_SIZE_CORE = 32

/** One of the three tables: records of one size, grouped by ELF section. */
interface Table {
  readonly words: Uint32Array
  readonly recordSize: number
  /** Per group: string offset of the section's name, count, word index of the first record. */
  readonly groups: readonly { readonly nameOffset: number; readonly count: number; readonly at: number }[]
}

/**
 * The contents of `.BTF.ext`: by name of ELF section, in file order. Tables are decoded when first read (line info is
 * large and mostly not needed).
 */
export class BtfExt {
  readonly littleEndian: boolean
  /** Sizes in bytes of the records in the file, 0 for a table that is absent; newer compilers may use larger ones. */
  readonly recordSizes: { readonly funcInfo: number; readonly lineInfo: number; readonly coreRelos: number }
  readonly #btf: Btf
  readonly #tables: { readonly func: Table; readonly line: Table; readonly core: Table }
  #funcInfo: ReadonlyMap<string, readonly BtfFuncInfo[]> | null = null
  #lineInfo: ReadonlyMap<string, readonly BtfLineInfo[]> | null = null
  #coreRelos: ReadonlyMap<string, readonly BtfCoreRelo[]> | null = null

  /** Use {@link parseBtfExt}. */
  constructor(btf: Btf, littleEndian: boolean, func: Table, line: Table, core: Table) {
    this.#btf = btf
    this.#tables = { func, line, core }
    this.littleEndian = littleEndian
    this.recordSizes = { funcInfo: func.recordSize, lineInfo: line.recordSize, coreRelos: core.recordSize }
  }

  get funcInfo(): ReadonlyMap<string, readonly BtfFuncInfo[]> {
    this.#funcInfo ??= decode(this.#btf, this.#tables.func, (words, at) => ({
      insnOffset: words[at] as number,
      typeId: words[at + 1] as number,
    }))
    return this.#funcInfo
  }

  get lineInfo(): ReadonlyMap<string, readonly BtfLineInfo[]> {
    this.#lineInfo ??= decode(this.#btf, this.#tables.line, (words, at) => new Line(this.#btf, words, at))
    return this.#lineInfo
  }

  get coreRelos(): ReadonlyMap<string, readonly BtfCoreRelo[]> {
    const btf = this.#btf
    // Many records share an accessor, and a hostile file can have them all share a long one.
    const texts = new Map<number, string>()
    const text = (offset: number): string => {
      let known = texts.get(offset)
      if (known === undefined) {
        known = btf.string(offset)
        if (known.length > MAX_ACCESSOR) {
          throw new BpfError(
            'limit',
            `a CO-RE accessor has ${known.length} characters, at most ${MAX_ACCESSOR} are read`,
          )
        }
        texts.set(offset, known)
      }
      return known
    }
    this.#coreRelos ??= decode(btf, this.#tables.core, (words, at) => ({
      insnOffset: words[at] as number,
      typeId: words[at + 1] as number,
      access: text(words[at + 2] as number),
      accessOffset: words[at + 2] as number,
      kind: words[at + 3] as number,
    }))
    return this.#coreRelos
  }
}

class Line implements BtfLineInfo {
  readonly insnOffset: number
  readonly fileNameOffset: number
  readonly lineOffset: number
  readonly line: number
  readonly column: number
  readonly #btf: Btf

  constructor(btf: Btf, words: Uint32Array, at: number) {
    this.#btf = btf
    this.insnOffset = words[at] as number
    this.fileNameOffset = words[at + 1] as number
    this.lineOffset = words[at + 2] as number
    const lineColumn = words[at + 3] as number
    this.line = lineColumn >>> 10
    this.column = lineColumn & 0x3ff
  }

  get fileName(): string {
    return this.#btf.string(this.fileNameOffset)
  }

  get lineText(): string {
    return this.#btf.string(this.lineOffset)
  }
}

/**
 * Opens a `.BTF.ext` section, whose names and types are in `btf`. Record sizes above the known ones are accepted (the
 * rest is not looked at), as are headers with or without CO-RE relocations.
 * @throws BpfError `truncated`, `malformed`, or `unsupported` (version, flags)
 */
export function parseBtfExt(bytes: Uint8Array, btf: Btf, options: BtfExtOptions = {}): BtfExt {
  const name = options.name ?? '.BTF.ext'
  const baseOffset = options.baseOffset ?? 0
  const magic = new Reader(bytes, { name, baseOffset }).u16()
  if (magic !== BTF_MAGIC && magic !== 0x9feb) {
    throw new BpfError('malformed', `${name}: magic 0x${magic.toString(16)} is not 0x${BTF_MAGIC.toString(16)}`, {
      where: { offset: baseOffset },
    })
  }
  const littleEndian = magic === BTF_MAGIC
  const reader = new Reader(bytes, { name, baseOffset, littleEndian }).skip(2)
  const version = reader.u8()
  const flags = reader.u8()
  if (version !== BTF_VERSION || flags !== 0) {
    throw new BpfError('unsupported', `${name}: version ${version}, flags ${flags}; expected ${BTF_VERSION} and 0`, {
      where: { offset: baseOffset + 2 },
    })
  }
  const headerSize = reader.u32()
  if (headerSize < HEADER_SIZE_V1 || headerSize > bytes.length) {
    throw new BpfError(
      'malformed',
      `${name}: header length ${headerSize} is not between ${HEADER_SIZE_V1} and the section's ${bytes.length}`,
      { where: { offset: baseOffset + 4 } },
    )
  }
  const table = (what: string, minimum: number, present: boolean): Table => {
    if (!present) return EMPTY
    const offset = reader.u32()
    const length = reader.u32()
    if (length === 0) return EMPTY
    const section = { name: `${name} ${what}`, start: headerSize + offset, length, minimum, littleEndian, baseOffset }
    return parseTable(bytes, section)
  }
  const func = table('func_info', FUNC_INFO_SIZE, true)
  const line = table('line_info', LINE_INFO_SIZE, true)
  const core = table('core_relo', CORE_RELO_SIZE, headerSize >= HEADER_SIZE_CORE)
  return new BtfExt(btf, littleEndian, func, line, core)
}

const EMPTY: Table = { words: new Uint32Array(0), recordSize: 0, groups: [] }

interface Section {
  readonly name: string
  readonly start: number
  readonly length: number
  readonly minimum: number
  readonly littleEndian: boolean
  readonly baseOffset: number
}

function parseTable(bytes: Uint8Array, section: Section): Table {
  const { name, start, length, minimum, littleEndian } = section
  const fail = (message: string, word: number): never => {
    throw new BpfError('malformed', `${name}: ${message}`, {
      where: { offset: section.baseOffset + start + word * 4 },
    })
  }
  if (start % 4 !== 0 || length % 4 !== 0) fail(`offset ${start} or length ${length} is not a multiple of 4`, 0)
  if (start + length > bytes.length) fail(`ends at ${start + length}, beyond the ${bytes.length} bytes`, 0)
  const words = wordsOf(bytes, start, length, littleEndian)
  const recordSize = words[0] ?? 0
  if (recordSize < minimum || recordSize % 4 !== 0) {
    fail(`record size ${recordSize} is below ${minimum} or not a multiple of 4`, 0)
  }
  const recordWords = recordSize / 4
  const groups: { nameOffset: number; count: number; at: number }[] = []
  let at = 1
  if (at === words.length) fail('has no records', 0)
  while (at < words.length) {
    if (words.length - at < 2) fail('ends within the head of a group of records', at)
    const nameOffset = words[at] as number
    const count = words[at + 1] as number
    if (count === 0) fail('a group has no records', at + 1)
    at += 2
    if (count * recordWords > words.length - at) {
      fail(`${count} records of ${recordSize} bytes do not fit into the ${(words.length - at) * 4} that are left`, at)
    }
    groups.push({ nameOffset, count, at })
    at += count * recordWords
  }
  return { words, recordSize, groups }
}

function decode<T>(btf: Btf, table: Table, record: (words: Uint32Array, at: number) => T): Map<string, T[]> {
  const result = new Map<string, T[]>()
  const step = table.recordSize / 4
  for (const group of table.groups) {
    const name = btf.string(group.nameOffset)
    let list = result.get(name)
    if (list === undefined) result.set(name, (list = []))
    for (let i = 0, at = group.at; i < group.count; i++, at += step) list.push(record(table.words, at))
  }
  return result
}
