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

function indexTypes(
  words: Uint32Array,
  stringsLength: number,
  start: BtfStart,
  fail: (at: number, message: string) => never,
): Uint32Array {
  const { firstId } = start
  const end = words.length
  const stringEnd = start.firstStringOffset + stringsLength
  const offsets = new Uint32Array(Math.floor(end / TYPE_WORDS))
  let count = 0
  // Ids may point forward, so the largest one is compared once the number of types is known.
  let maxId = 0
  let functions = 0
  let at = 0
  while (at < end) {
    if (at + TYPE_WORDS > end) fail(at, `type [${firstId + count}] is cut off by the end of the type section`)
    const info = words[at + 1] as number
    const kind = (info >>> 24) & 0x1f
    const vlen = info & 0xffff
    if (kind === 0 || kind >= KIND_COUNT) fail(at + 1, `type [${firstId + count}] has unknown kind ${kind}`)
    const entry = ENTRY_WORDS[kind] as number
    const next = at + TYPE_WORDS + (FIXED_WORDS[kind] as number) + entry * vlen
    if (next > end) {
      fail(at, `type [${firstId + count}], a ${kindName(kind)} with ${vlen} entries, is cut off by the section's end`)
    }
    if ((words[at] as number) >= stringEnd) failName(words, at, at, stringEnd, firstId + count, fail)
    if (REFERS[kind] === 1) {
      const id = words[at + 2] as number
      if (id > maxId) maxId = id
      if (kind === BtfKind.FUNC) functions++
    }
    let i = at + TYPE_WORDS
    if (entry !== 0) {
      if (kind === BtfKind.DATASEC) {
        for (; i < next; i += 3) {
          const id = words[i] as number
          if (id > maxId) maxId = id
        }
      } else if (kind === BtfKind.ENUM || kind === BtfKind.ENUM64) {
        for (; i < next; i += entry) {
          if ((words[i] as number) >= stringEnd) failName(words, at, i, stringEnd, firstId + count, fail)
        }
      } else {
        for (; i < next; i += entry) {
          if ((words[i] as number) >= stringEnd) failName(words, at, i, stringEnd, firstId + count, fail)
          const id = words[i + 1] as number
          if (id > maxId) maxId = id
        }
      }
    } else if (kind === BtfKind.ARRAY) {
      const element = words[i] as number
      const index = words[i + 1] as number
      if (element > maxId) maxId = element
      if (index > maxId) maxId = index
    }
    offsets[count++] = at
    at = next
  }
  const own = offsets.slice(0, count)
  if (maxId >= firstId + count) failId(words, own, firstId, fail)
  if (functions > 0) checkFunctions(words, own, start, fail)
  return own
}

function failName(
  words: Uint32Array,
  record: number,
  at: number,
  end: number,
  id: number,
  fail: (at: number, message: string) => never,
): never {
  const what = record === at ? 'name' : 'a member or entry name'
  return fail(at, `type [${id}] has ${what} at string offset ${words[at] ?? 0}, the strings end at ${end}`)
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

function checkFunctions(
  words: Uint32Array,
  offsets: Uint32Array,
  start: BtfStart,
  fail: (at: number, message: string) => never,
): void {
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
}
