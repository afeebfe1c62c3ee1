import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { BpfError, decodeUtf8, Reader } from '../../bytes/index.ts'
import { parseElf, SymbolType, type ElfFile, type ElfSection } from '../../elf/index.ts'
import { zipEntry } from './zip.ts'

const SHT = { SYMTAB: 2, DYNSYM: 11, GNU_VERDEF: 0x6fff_fffd, GNU_VERSYM: 0x6fff_ffff } as const
const SYMBOL_SIZE = 24
/** Bytes of a mangled name; made-up files could have them as long as the file. */
const LONGEST_NAME = 16 * 1024
/** Bit of a version index: not the default version of the symbol. */
const HIDDEN = 0x8000

/** A function of a binary. Offsets in bytes from the start of the file, as uprobes want them. */
export interface BinaryFunction {
  readonly name: string
  readonly offset: number
  readonly size: number
  /** Version of a dynamic symbol ("GLIBC_2.34"), null without one. */
  readonly version: string | null
  /** Whether it is what an unversioned reference means. */
  readonly isDefault: boolean
}

/** Functions of an executable or shared library: dynamic symbols and, where they are kept, all others. */
export class UserBinary {
  readonly path: string
  readonly #elf: ElfFile
  readonly #base: number

  /** @throws BpfError `not-found`, and those of parseElf() */
  constructor(path: string, bytes?: Uint8Array) {
    const file = bytes === undefined ? readBinary(path) : { bytes, base: 0 }
    this.path = path
    this.#elf = parseElf(file.bytes, path, { accept: 'any' })
    this.#base = file.base
  }

  /**
   * Offset of a function: "name", "name@VERSION", "name@@VERSION" (the default version only), each with "+bytes" behind
   * it. Dynamic symbols come first, then the full table of a binary that was not stripped.
   * @throws BpfError `not-found`
   */
  offsetOf(symbol: string): number {
    const { name, version, onlyDefault, offset } = parseSymbol(symbol)
    const matches = [...this.functions()].filter(
      (fn) => fn.name === name && (version === null || (fn.version === version && (!onlyDefault || fn.isDefault))),
    )
    const found = matches.find((fn) => fn.isDefault) ?? matches[0]
    if (found === undefined) {
      const other = [...this.functions()].filter((fn) => fn.name === name && fn.version !== null)
      const hint = other.length === 0 ? '' : `; it has the versions ${other.map((fn) => fn.version).join(', ')}`
      throw new BpfError('not-found', `${this.path} has no function "${symbol}"${hint}`, { where: { file: this.path } })
    }
    return found.offset + offset
  }

  /** Functions whose name matches a glob with `*` and `?`, each place once. @throws BpfError `not-found` */
  matching(glob: string): BinaryFunction[] {
    const pattern = globPattern(glob)
    const byOffset = new Map<number, BinaryFunction>()
    for (const fn of this.functions()) {
      if (pattern.test(fn.name) && !byOffset.has(fn.offset)) byOffset.set(fn.offset, fn)
    }
    if (byOffset.size === 0) {
      throw new BpfError('not-found', `${this.path} has no function like "${glob}"`, { where: { file: this.path } })
    }
    return [...byOffset.values()]
  }

  /** All defined functions. */
  *functions(): Generator<BinaryFunction, void> {
    for (const type of [SHT.DYNSYM, SHT.SYMTAB]) {
      // A file has one of each (System V gABI).
      const table = this.#elf.sections.find((section) => section.type === type)
      if (table !== undefined) yield* this.#functionsIn(table)
    }
  }

  *#functionsIn(table: ElfSection): Generator<BinaryFunction, void> {
    const { sections, littleEndian } = this.#elf
    const names = sections[table.link]
    if (names === undefined || table.entrySize !== SYMBOL_SIZE) return
    const versions = this.#versionsOf(table)
    const reader = new Reader(table.data, { name: 'symbols', littleEndian, baseOffset: table.offset })
    const count = Math.floor(table.data.length / SYMBOL_SIZE)
    for (let index = 0; index < count; index++) {
      const nameOffset = reader.u32()
      const type = reader.u8() & 15
      reader.u8()
      const section = sections[reader.u16()]
      const value = reader.u64()
      const size = Number(reader.u64())
      if (type !== SymbolType.FUNC || section === undefined || section.index === 0) continue
      const offset = Number(value) - section.address + section.offset + this.#base
      if (offset < 0 || offset > Number.MAX_SAFE_INTEGER) continue
      yield { name: stringAt(names.data, nameOffset), offset, size, ...versions(index) }
    }
  }

  /** Version of each symbol of a table (Linux Standard Base, "Symbol Versioning"). */
  #versionsOf(table: ElfSection): (index: number) => Pick<BinaryFunction, 'version' | 'isDefault'> {
    const { sections, littleEndian } = this.#elf
    const versym = sections.find((section) => section.type === SHT.GNU_VERSYM && section.link === table.index)
    const verdef = sections.find((section) => section.type === SHT.GNU_VERDEF)
    if (versym === undefined || verdef === undefined) return () => ({ version: null, isDefault: true })
    const names = versionNames(verdef, sections[verdef.link], littleEndian)
    const view = new DataView(versym.data.buffer, versym.data.byteOffset, versym.data.byteLength)
    return (index) => {
      const entry = index * 2 + 2 <= view.byteLength ? view.getUint16(index * 2, littleEndian) : 1
      return { version: names.get(entry & ~HIDDEN) ?? null, isDefault: (entry & HIDDEN) === 0 }
    }
  }
}

function versionNames(verdef: ElfSection, strings: ElfSection | undefined, littleEndian: boolean): Map<number, string> {
  const names = new Map<number, string>()
  if (strings === undefined) return names
  const view = new DataView(verdef.data.buffer, verdef.data.byteOffset, verdef.data.byteLength)
  // Every record moves on, so a chain ends; `info` is the number of records.
  for (let at = 0, left = verdef.info; left > 0 && at + 20 <= view.byteLength; left--) {
    const aux = at + view.getUint32(at + 12, littleEndian)
    const next = view.getUint32(at + 16, littleEndian)
    if (aux + 4 <= view.byteLength) {
      names.set(view.getUint16(at + 4, littleEndian), stringAt(strings.data, view.getUint32(aux, littleEndian)))
    }
    if (next === 0) break
    at += next
  }
  return names
}

/** A name; empty when it is longer than any function's. */
function stringAt(bytes: Uint8Array, offset: number): string {
  const room = bytes.subarray(offset, offset + LONGEST_NAME)
  const end = room.indexOf(0)
  return end <= 0 ? '' : decodeUtf8(room.subarray(0, end))
}

/** A binary and where it starts in its file. */
export interface BinaryFile {
  readonly bytes: Uint8Array
  /** Bytes from the start of the file; 0 unless it is an entry of an archive. */
  readonly base: number
}

/** Reads a binary: a file, or "archive!/entry" for one in a ZIP file. @throws BpfError `not-found`, and of zipEntry() */
export function readBinary(path: string): BinaryFile {
  const [file, entry] = splitArchive(path)
  let bytes: Uint8Array
  try {
    bytes = readFileSync(file)
  } catch (cause) {
    throw new BpfError('not-found', `the binary ${file} cannot be read`, { where: { file }, cause })
  }
  if (entry === null) return { bytes, base: 0 }
  const found = zipEntry(file, bytes, entry)
  return { bytes: found.bytes, base: found.offset }
}

/** "app.apk!/lib/x.so" as the archive and the entry; no entry for a plain path. */
export function splitArchive(path: string): readonly [file: string, entry: string | null] {
  const at = path.indexOf('!/')
  return at < 0 ? [path, null] : [path.slice(0, at), path.slice(at + 2)]
}

interface SymbolName {
  readonly name: string
  readonly version: string | null
  readonly onlyDefault: boolean
  readonly offset: number
}

/** Splits "name@@VERSION+0x10". @internal */
export function parseSymbol(symbol: string): SymbolName {
  const plus = /^(.+)\+(0x[0-9a-f]+|\d+)$/i.exec(symbol)
  const full = plus?.[1] ?? symbol
  const at = full.indexOf('@', 1)
  if (at < 0) return { name: full, version: null, onlyDefault: false, offset: Number(plus?.[2] ?? 0) }
  const onlyDefault = full[at + 1] === '@'
  return {
    name: full.slice(0, at),
    version: full.slice(at + (onlyDefault ? 2 : 1)),
    onlyDefault,
    offset: Number(plus?.[2] ?? 0),
  }
}

/** A glob of function names as a pattern. */
export function globPattern(glob: string): RegExp {
  const source = glob
    .replace(/[.+^${}()|[\]\\]/g, String.raw`\$&`)
    .replaceAll('*', '.*')
    .replaceAll('?', '.')
  return new RegExp(`^${source}$`)
}

/**
 * Path of a binary: as it is with a slash in it, otherwise looked up where the loader and the shell look.
 * @throws BpfError `not-found`
 */
export function findBinary(
  name: string,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string {
  if (name.includes('/')) return name
  const isLibrary = name.endsWith('.so') || name.includes('.so.')
  const variable = isLibrary ? 'LD_LIBRARY_PATH' : 'PATH'
  const folders = [...(environment[variable] ?? '').split(':'), ...(isLibrary ? LIBRARY_FOLDERS : PROGRAM_FOLDERS)]
  for (const folder of folders) {
    const path = join(folder, name)
    if (folder !== '' && existsSync(path) && statSync(path).isFile()) return path
  }
  throw new BpfError('not-found', `there is no binary "${name}" in ${variable} or the usual folders`)
}

const PROGRAM_FOLDERS = ['/usr/bin', '/usr/sbin', '/bin', '/sbin']
const TRIPLET = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu'
const LIBRARY_FOLDERS = [`/usr/lib/${TRIPLET}`, `/lib/${TRIPLET}`, '/usr/lib64', '/lib64', '/usr/lib', '/lib']
