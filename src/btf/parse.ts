import { BpfError, Reader } from '../bytes/index.ts'
import {
  BTF_HEADER_SIZE,
  BTF_MAGIC,
  BTF_VERSION,
  ENTRY_WORDS,
  FIXED_WORDS,
  KIND_COUNT,
  REFERS,
  TYPE_WORDS,
  kindName,
} from './layout.ts'
import { BtfKind } from './types.ts'
import { wordsOf } from './words.ts'

/** A BTF blob taken apart: where each type record is, and nothing decoded. */
export interface BtfColumns {
  readonly littleEndian: boolean
  /** The type section in this machine's byte order; a view of the blob where that is possible. */
  readonly words: Uint32Array
  /** Word index of each type's record, in order of id. */
  readonly offsets: Uint32Array
  readonly strings: Uint8Array
  /** Bytes of the header, and of the blob before the type section. */
  readonly headerSize: number
  readonly typeSectionOffset: number
}

/** What a split BTF goes on from. */
export interface BtfStart {
  readonly firstId: number
  readonly firstStringOffset: number
  /** Kind of a type of the base. */
  kindOfBase(id: number): number
}

interface Header {
  readonly littleEndian: boolean
  readonly headerSize: number
  readonly typeStart: number
  readonly typeLength: number
  readonly stringStart: number
  readonly stringLength: number
}

/**
 * Reads the header, finds every type record and checks what every reader relies on: sections inside the blob, records
 * inside the section, type ids and string offsets in range, functions that refer to prototypes. These are the rules of
 * libbpf's btf_parse_hdr and btf_sanity_check; the kernel's stricter ones are in checkBtf.
 */
export function parseColumns(bytes: Uint8Array, name: string, baseOffset: number, start: BtfStart): BtfColumns {
  const header = parseHeader(bytes, name, baseOffset)
  const { littleEndian } = header
  const strings = bytes.subarray(header.stringStart, header.stringStart + header.stringLength)
  checkStrings(strings, name, baseOffset + header.stringStart, start)
  const words = wordsOf(bytes, header.typeStart, header.typeLength, littleEndian)
  const fail = (at: number, message: string): never => {
    throw new BpfError('malformed', `${name}: ${message}`, {
      where: { offset: baseOffset + header.typeStart + at * 4 },
    })
  }
  const offsets = indexTypes(words, strings.length, start, fail)
  return {
    littleEndian,
    words,
    offsets,
    strings,
    headerSize: header.headerSize,
    typeSectionOffset: header.typeStart,
  }
}

function parseHeader(bytes: Uint8Array, name: string, baseOffset: number): Header {
  const malformed = (message: string, offset: number): never => {
    throw new BpfError('malformed', `${name}: ${message}`, { where: { offset: baseOffset + offset } })
  }
  const probe = new Reader(bytes, { name, baseOffset })
  const magic = probe.u16()
  const swapped = ((magic & 0xff) << 8) | (magic >> 8)
  if (magic !== BTF_MAGIC && swapped !== BTF_MAGIC) {
    malformed(`magic 0x${magic.toString(16)} is not 0x${BTF_MAGIC.toString(16)}`, 0)
  }
  const littleEndian = magic === BTF_MAGIC
  const reader = new Reader(bytes, { name, baseOffset, littleEndian }).skip(2)
  const version = reader.u8()
  if (version !== BTF_VERSION) {
    throw new BpfError('unsupported', `${name}: BTF version ${version}, expected ${BTF_VERSION}`, {
      where: { offset: baseOffset + 2 },
    })
  }
  reader.u8() // flags: none defined; the kernel's check wants 0
  const headerSize = reader.u32()
  const typeOffset = reader.u32()
  const typeLength = reader.u32()
  const stringOffset = reader.u32()
  const stringLength = reader.u32()
  if (headerSize < BTF_HEADER_SIZE || headerSize > bytes.length) {
    malformed(`header length ${headerSize} is not between ${BTF_HEADER_SIZE} and the blob's ${bytes.length}`, 4)
  }
  const room = bytes.length - headerSize
  if (stringOffset + stringLength > room) {
    malformed(`string section ${stringOffset}+${stringLength} ends beyond the blob's ${room} bytes of data`, 16)
  }
  if (typeOffset + typeLength > stringOffset) {
    malformed(`type section ${typeOffset}+${typeLength} reaches into the string section at ${stringOffset}`, 8)
  }
  if (typeOffset % 4 !== 0) malformed(`type section offset ${typeOffset} is not a multiple of 4`, 8)
  if (typeLength % 4 !== 0) malformed(`type section length ${typeLength} is not a multiple of 4`, 12)
  return {
    littleEndian,
    headerSize,
    typeStart: headerSize + typeOffset,
    typeLength,
    stringStart: headerSize + stringOffset,
    stringLength,
  }
}

function checkStrings(strings: Uint8Array, name: string, offset: number, start: BtfStart): void {
  const isSplit = start.firstStringOffset > 0
  if (strings.length === 0 && isSplit) return
  const problem =
    strings.length === 0
      ? 'is empty'
      : strings[strings.length - 1] !== 0
        ? 'does not end with a zero byte'
        : !isSplit && strings[0] !== 0
          ? 'does not start with an empty string'
          : null
  if (problem !== null) {
    throw new BpfError('malformed', `${name}: the string section ${problem}`, { where: { offset } })
  }
}

/** What the walk over all records found; judged once it is done. */
interface Walk {
  readonly count: number
  /** Word where it ended: short of the end when a record is wrong there. */
  readonly end: number
  /** Largest type id and string offset that any record has. */
  readonly maxId: number
  readonly maxName: number
  readonly functions: number
}

function indexTypes(
  words: Uint32Array,
  stringsLength: number,
  start: BtfStart,
  fail: (at: number, message: string) => never,
): Uint32Array {
  const { firstId } = start
  const stringEnd = start.firstStringOffset + stringsLength
  const offsets = new Uint32Array(Math.floor(words.length / TYPE_WORDS))
  const prototypes = new Uint32Array(offsets.length)
  const kinds = new Uint8Array(offsets.length)
  const walk = walkRecords(words, offsets, kinds, prototypes)
  const own = offsets.slice(0, walk.count)
  if (walk.end !== words.length) failRecord(words, walk.end, firstId + walk.count, fail)
  if (walk.maxName >= stringEnd) failName(words, own, stringEnd, firstId, fail)
  if (walk.maxId >= firstId + walk.count) failId(words, own, firstId, fail)
  if (!arePrototypes(kinds, prototypes, walk.functions, start)) failFunction(words, own, start, fail)
  return own
}

/**
 * Walks all records, and keeps maxima in place of checks. Vmlinux has some 900,000 words, and this loop is most of the
 * time of opening it, of a process's first call above all, where it runs in the interpreter until V8 has compiled it. So
 * it has no branch on the kind, as rare kinds would make V8 start over, and one number says all about a kind, as looking
 * that up in tables made it take twice as long to compile.
 */
function walkRecords(words: Uint32Array, offsets: Uint32Array, kinds: Uint8Array, prototypes: Uint32Array): Walk {
  const end = words.length
  const last = end - TYPE_WORDS
  let count = 0
  let functions = 0
  let maxId = 0
  let maxName = 0
  let at = 0
  while (at <= last) {
    const info = words[at + 1] as number
    const kind = (info >>> 24) & 0x1f
    const shape = SHAPES[kind] as number
    const next = at + (shape & 7) + ((shape >>> 3) & 3) * (info & 0xffff) + (shape & NO_KIND)
    if (next > end) break
    const name = words[at] as number
    maxName = name > maxName ? name : maxName
    const type = ((words[at + 2] as number) & ((shape << 20) >> 31)) >>> 0
    maxId = type > maxId ? type : maxId
    prototypes[functions] = type
    functions += (shape >>> 12) & 1
    // All ones where that word of an entry is a string offset or a type id.
    const firstName = (shape << 18) >> 31
    const firstType = (shape << 17) >> 31
    const secondType = (shape << 16) >> 31
    const step = (shape >>> 5) & 3
    for (let i = at + ((shape >>> 7) & 7); i < next; i += step) {
      const first = words[i] as number
      const second = words[i + 1] as number
      const entryName = (first & firstName) >>> 0
      const a = (first & firstType) >>> 0
      const b = (second & secondType) >>> 0
      maxName = entryName > maxName ? entryName : maxName
      maxId = a > maxId ? a : maxId
      maxId = b > maxId ? b : maxId
    }
    kinds[count] = kind
    offsets[count++] = at
    at = next
  }
  return { count, end: at, maxId, maxName, functions }
}

/** Whether the types of all functions are prototypes. */
function arePrototypes(kinds: Uint8Array, types: Uint32Array, count: number, start: BtfStart): boolean {
  const { firstId } = start
  let wrong = 0
  if (firstId === 1) {
    for (let i = 0; i < count; i++) wrong |= (kinds[(types[i] as number) - 1] as number) ^ BtfKind.FUNC_PROTO
    return wrong === 0
  }
  for (let i = 0; i < count; i++) {
    const id = types[i] as number
    const kind = id < firstId ? start.kindOfBase(id) : (kinds[id - firstId] as number)
    wrong |= kind ^ BtfKind.FUNC_PROTO
  }
  return wrong === 0
}

/** In a shape: the kind does not exist. As a number of words, beyond the end of any section. */
const NO_KIND = 2 ** 30
const ENTRIES_WITH_NAME: ReadonlySet<number> = new Set([
  BtfKind.STRUCT,
  BtfKind.UNION,
  BtfKind.ENUM,
  BtfKind.ENUM64,
  BtfKind.FUNC_PROTO,
])

/**
 * What the walk knows of each kind: words of a record without its entries (bits 0 to 2) and of an entry (3 and 4); words
 * from one entry to the next (5 and 6) and before the first one (7 to 9) for the look at them, where an array's two types
 * count as one entry of three words; then whether word 2 is a type id (11), the kind is FUNC (12), and the first word of
 * an entry is a string offset (13) or a type id (14), the second one a type id (15).
 */
const SHAPES: Int32Array = Int32Array.from({ length: 32 }, (_, kind) => {
  if (kind === 0 || kind >= KIND_COUNT) return NO_KIND
  const head = TYPE_WORDS + (FIXED_WORDS[kind] as number)
  const entry = ENTRY_WORDS[kind] as number
  const isArray = kind === BtfKind.ARRAY
  const first = isArray || kind === BtfKind.DATASEC
  const second = isArray || kind === BtfKind.STRUCT || kind === BtfKind.UNION || kind === BtfKind.FUNC_PROTO
  const look = isArray ? (3 << 5) | (TYPE_WORDS << 7) : (Math.max(1, entry) << 5) | (head << 7)
  const flags = [REFERS[kind] === 1, kind === BtfKind.FUNC, ENTRIES_WITH_NAME.has(kind), first, second]
  return flags.reduce((shape, flag, bit) => shape | (Number(flag) << (11 + bit)), head | (entry << 3) | look)
})

/** Slow path: says what is wrong with the record at which the walk ended. */
function failRecord(words: Uint32Array, at: number, id: number, fail: (at: number, message: string) => never): never {
  if (at + TYPE_WORDS > words.length) return fail(at, `type [${id}] is cut off by the end of the type section`)
  const info = words[at + 1] as number
  const kind = (info >>> 24) & 0x1f
  if (kind === 0 || kind >= KIND_COUNT) return fail(at + 1, `type [${id}] has unknown kind ${kind}`)
  const text = `a ${kindName(kind)} with ${info & 0xffff} entries`
  return fail(at, `type [${id}], ${text}, is cut off by the section's end`)
}

/** Slow path: names the first type with a string offset beyond the strings. */
function failName(
  words: Uint32Array,
  offsets: Uint32Array,
  end: number,
  firstId: number,
  fail: (at: number, message: string) => never,
): never {
  for (let i = 0; i < offsets.length; i++) {
    const at = offsets[i] as number
    const check = (where: number, what: string): void => {
      const offset = words[where] as number
      if (offset < end) return
      fail(where, `type [${firstId + i}] has ${what} at string offset ${offset}, the strings end at ${end}`)
    }
    check(at, 'name')
    const info = words[at + 1] as number
    const kind = (info >>> 24) & 0x1f
    if (!ENTRIES_WITH_NAME.has(kind)) continue
    for (let n = 0; n < (info & 0xffff); n++) {
      check(at + TYPE_WORDS + n * (ENTRY_WORDS[kind] as number), 'a member or entry name')
    }
  }
  return fail(0, 'a string offset is out of range')
}

/** Slow path: names the first type that refers to an id that does not exist. */
function failId(
  words: Uint32Array,
  offsets: Uint32Array,
  firstId: number,
  fail: (at: number, message: string) => never,
): never {
  const count = firstId + offsets.length
  const check = (at: number, own: number): void => {
    const id = words[at] as number
    if (id >= count) fail(at, `type [${own}] refers to type ${id}, the last one is ${count - 1}`)
  }
  for (let i = 0; i < offsets.length; i++) {
    const at = offsets[i] as number
    const info = words[at + 1] as number
    const kind = (info >>> 24) & 0x1f
    const own = firstId + i
    if (REFERS[kind] === 1) check(at + 2, own)
    const body = at + TYPE_WORDS
    if (kind === BtfKind.ARRAY) {
      check(body, own)
      check(body + 1, own)
    }
    if (kind === BtfKind.ENUM || kind === BtfKind.ENUM64) continue
    const entry = ENTRY_WORDS[kind] as number
    const idAt = kind === BtfKind.DATASEC ? 0 : 1
    const count = entry === 0 ? 0 : info & 0xffff
    for (let n = 0; n < count; n++) check(body + n * entry + idAt, own)
  }
  return fail(0, 'a type id is out of range')
}

/** Slow path: names the first function whose type is no prototype. */
function failFunction(
  words: Uint32Array,
  offsets: Uint32Array,
  start: BtfStart,
  fail: (at: number, message: string) => never,
): never {
  const { firstId } = start
  for (let i = 0; i < offsets.length; i++) {
    const at = offsets[i] as number
    if ((((words[at + 1] as number) >>> 24) & 0x1f) !== BtfKind.FUNC) continue
    const id = words[at + 2] as number
    const kind =
      id < firstId ? start.kindOfBase(id) : ((words[(offsets[id - firstId] as number) + 1] as number) >>> 24) & 0x1f
    if (kind !== BtfKind.FUNC_PROTO) {
      fail(at + 2, `func [${firstId + i}] refers to type ${id}, a ${kindName(kind)}, expected a func_proto`)
    }
  }
  return fail(0, 'a function has no prototype')
}
