import { BpfError } from '../bytes/index.ts'
import type { Btf } from './btf.ts'
import { KIND_NAMES } from './layout.ts'
import { NameTable } from './names.ts'
import { TextBuilder } from './text.ts'
import { BtfKind } from './types.ts'

/** Options of {@link dumpRaw}. */
export interface BtfDumpRawOptions {
  /** Only these types, in this order; otherwise all own types (not the base's). */
  readonly ids?: readonly number[]
}

/** Words for the encoding of an INT, as bpftool prints them. */
export function intEncodingWord(encoding: number): string {
  return encoding === 0
    ? '(none)'
    : encoding === 1
      ? 'SIGNED'
      : encoding === 2
        ? 'CHAR'
        : encoding === 4
          ? 'BOOL'
          : 'UNKN'
}

/** Words for the linkage of a function or variable. */
export function linkageWord(linkage: number): string {
  return ['static', 'global', 'extern'][linkage] ?? '(unknown)'
}

/** The types that a dump is about. @throws BpfError `not-found` for an id that does not exist */
export function idsToDump(btf: Btf, ids: readonly number[] | undefined): Iterable<number> {
  if (ids === undefined) return btf.ids()
  for (const id of ids) btf.kind(id)
  return ids
}

/** 64 bits from two words, as decimal digits. */
export function decimal64(low: number, high: number, signed: boolean): string {
  if (high === 0) return String(low)
  const value = (BigInt(high) << 32n) | BigInt(low)
  return String(signed ? BigInt.asIntN(64, value) : value)
}

/** All types as text, byte for byte what `bpftool btf dump file F format raw` prints. */
export function dumpRaw(btf: Btf, options: BtfDumpRawOptions = {}): string {
  const names = new NameTable(btf)
  const out = new TextBuilder(btf)
  for (const id of idsToDump(btf, options.ids)) out.add(rawType(btf, names, id))
  return out.toString()
}

function rawType(btf: Btf, names: NameTable, id: number): string {
  const word = (index: number): number => btf.word(id, index)
  const text = (offset: number): string => (offset === 0 ? '(anon)' : names.at(offset))
  const info = word(1)
  const kind = ((info >>> 24) & 0x1f) as BtfKind
  const kindFlag = info >>> 31 !== 0
  const vlen = info & 0xffff
  const third = word(2)
  let line = `[${id}] ${KIND_NAMES[kind] as string} '${text(word(0))}'`
  switch (kind) {
    case BtfKind.INT: {
      const v = word(3)
      const encoding = intEncodingWord((v >>> 24) & 0x0f)
      line += ` size=${third} bits_offset=${(v >>> 16) & 0xff} nr_bits=${v & 0xff} encoding=${encoding}`
      break
    }
    case BtfKind.PTR:
    case BtfKind.CONST:
    case BtfKind.VOLATILE:
    case BtfKind.RESTRICT:
    case BtfKind.TYPEDEF:
    case BtfKind.TYPE_TAG:
      line += ` type_id=${third}`
      break
    case BtfKind.ARRAY:
      line += ` type_id=${word(3)} index_type_id=${word(4)} nr_elems=${word(5)}`
      break
    case BtfKind.STRUCT:
    case BtfKind.UNION:
      line += ` size=${third} vlen=${vlen}`
      for (let i = 0; i < vlen; i++) {
        const at = 3 + i * 3
        const offset = word(at + 2)
        const bitOffset = kindFlag ? offset & 0xff_ffff : offset
        line += `\n\t'${text(word(at))}' type_id=${word(at + 1)} bits_offset=${bitOffset}`
        if (kindFlag && offset >>> 24 !== 0) line += ` bitfield_size=${offset >>> 24}`
      }
      break
    case BtfKind.ENUM:
      line += ` encoding=${kindFlag ? 'SIGNED' : 'UNSIGNED'} size=${third} vlen=${vlen}`
      for (let i = 0; i < vlen; i++) {
        const value = word(4 + i * 2)
        line += `\n\t'${text(word(3 + i * 2))}' val=${kindFlag ? value | 0 : value}`
      }
      break
    case BtfKind.ENUM64:
      line += ` encoding=${kindFlag ? 'SIGNED' : 'UNSIGNED'} size=${third} vlen=${vlen}`
      for (let i = 0; i < vlen; i++) {
        const at = 3 + i * 3
        const value = decimal64(word(at + 1), word(at + 2), kindFlag)
        line += `\n\t'${text(word(at))}' val=${value}${kindFlag ? 'LL' : 'ULL'}`
      }
      break
    case BtfKind.FWD:
      line += ` fwd_kind=${kindFlag ? 'union' : 'struct'}`
      break
    case BtfKind.FUNC:
      line += ` type_id=${third} linkage=${linkageWord(vlen)}`
      break
    case BtfKind.FUNC_PROTO:
      line += ` ret_type_id=${third} vlen=${vlen}`
      for (let i = 0; i < vlen; i++) line += `\n\t'${text(word(3 + i * 2))}' type_id=${word(4 + i * 2)}`
      break
    case BtfKind.VAR:
      line += ` type_id=${third}, linkage=${linkageWord(word(3))}`
      break
    case BtfKind.DATASEC:
      line += ` size=${third} vlen=${vlen}`
      for (let i = 0; i < vlen; i++) {
        const at = 3 + i * 3
        const type = word(at)
        const what = `${KIND_NAMES[btf.kind(type)] as string} '${text(btf.word(type, 0))}'`
        line += `\n\ttype_id=${type} offset=${word(at + 1)} size=${word(at + 2)} (${what})`
      }
      break
    case BtfKind.FLOAT:
      line += ` size=${third}`
      break
    case BtfKind.DECL_TAG:
      line += ` type_id=${third} component_idx=${word(3) | 0}`
      break
    case BtfKind.VOID:
      break
    default:
      throw new BpfError('unsupported', `type [${id}] has kind ${String(kind satisfies never)}`)
  }
  return line + '\n'
}
