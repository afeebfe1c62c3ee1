import type { Btf } from './btf.ts'
import { decimal64, idsToDump, intEncodingWord, linkageWord } from './dump-raw.ts'
import { COMPACT, PRETTY, quote, type JsonLayout } from './json-layout.ts'
import { KIND_NAMES } from './layout.ts'
import { NameTable } from './names.ts'
import { TextBuilder } from './text.ts'
import { BtfKind } from './types.ts'

/** Options of {@link dumpJson}. */
export interface BtfDumpJsonOptions {
  /** Only these types, in this order; otherwise all own types (not the base's). */
  readonly ids?: readonly number[]
  /** Indented, as `bpftool -p` prints, instead of the one line of `bpftool -j`. */
  readonly pretty?: boolean
  /**
   * `bpftool` repeats a flaw of bpftool: unsigned 32-bit enumerators above 2^31 are sign-extended to 64 bits
   * (18446744073709551615 for 4294967295).
   */
  readonly compat?: 'bpftool'
}

type Field = readonly [name: string, value: string]

/** All types as JSON, byte for byte what `bpftool -j btf dump file F` prints, final line feed included. */
export function dumpJson(btf: Btf, options: BtfDumpJsonOptions = {}): string {
  const names = new NameTable(btf)
  const out = new TextBuilder(btf)
  const layout = options.pretty === true ? PRETTY : COMPACT
  const signExtends = options.compat === 'bpftool'
  let separator = ''
  out.add(`{${layout.line(1)}"types":${layout.colon}[`)
  for (const id of idsToDump(btf, options.ids)) {
    const fields = jsonType(btf, names, id, layout, signExtends)
    out.add(separator + object(fields, layout, 2))
    separator = ','
  }
  out.add(separator === '' ? ']' : `${layout.line(1)}]`)
  out.add(`${layout.line(0)}}\n`)
  return out.toString()
}

/** An object whose opening brace is at `depth`. */
function object(fields: readonly Field[], layout: JsonLayout, depth: number): string {
  const indent = layout.line(depth + 1)
  let text = '{'
  for (let i = 0; i < fields.length; i++) {
    const [name, value] = fields[i] as Field
    text += `${i > 0 ? ',' : ''}${indent}"${name}":${layout.colon}${value}`
  }
  return `${text}${layout.line(depth)}}`
}

function array(items: readonly (readonly Field[])[], layout: JsonLayout, depth: number): string {
  if (items.length === 0) return '[]'
  return `[${items.map((fields) => object(fields, layout, depth + 1)).join(',')}${layout.line(depth)}]`
}

function jsonType(btf: Btf, names: NameTable, id: number, layout: JsonLayout, signExtends: boolean): Field[] {
  const word = (index: number): number => btf.word(id, index)
  const text = (offset: number): string => (offset === 0 ? '"(anon)"' : quote(names.at(offset)))
  const number = (name: string, value: number): Field => [name, String(value)]
  const info = word(1)
  const kind = ((info >>> 24) & 0x1f) as BtfKind
  const kindFlag = info >>> 31 !== 0
  const vlen = info & 0xffff
  const third = word(2)
  const entries = (one: (index: number) => Field[]): string => {
    const items: Field[][] = []
    for (let i = 0; i < vlen; i++) items.push(one(i))
    return array(items, layout, 3)
  }
  const fields: Field[] = [number('id', id), ['kind', `"${KIND_NAMES[kind] as string}"`], ['name', text(word(0))]]
  switch (kind) {
    case BtfKind.INT: {
      const v = word(3)
      fields.push(number('size', third), number('bits_offset', (v >>> 16) & 0xff), number('nr_bits', v & 0xff))
      fields.push(['encoding', `"${intEncodingWord((v >>> 24) & 0x0f)}"`])
      break
    }
    case BtfKind.PTR:
    case BtfKind.CONST:
    case BtfKind.VOLATILE:
    case BtfKind.RESTRICT:
    case BtfKind.TYPEDEF:
    case BtfKind.TYPE_TAG:
      fields.push(number('type_id', third))
      break
    case BtfKind.ARRAY:
      fields.push(number('type_id', word(3)), number('index_type_id', word(4)), number('nr_elems', word(5)))
      break
    case BtfKind.STRUCT:
    case BtfKind.UNION: {
      const member = (i: number): Field[] => {
        const at = 3 + i * 3
        const offset = word(at + 2)
        const items: Field[] = [
          ['name', text(word(at))],
          number('type_id', word(at + 1)),
          number('bits_offset', kindFlag ? offset & 0xff_ffff : offset),
        ]
        if (kindFlag && offset >>> 24 !== 0) items.push(number('bitfield_size', offset >>> 24))
        return items
      }
      fields.push(number('size', third), number('vlen', vlen), ['members', entries(member)])
      break
    }
    case BtfKind.ENUM:
    case BtfKind.ENUM64: {
      const value32 = (raw: number): string => {
        if (kindFlag) return String(raw | 0)
        return signExtends && raw >= 0x8000_0000 ? decimal64(raw, 0xffff_ffff, false) : String(raw)
      }
      const enumerator = (i: number): Field[] =>
        kind === BtfKind.ENUM
          ? [
              ['name', text(word(3 + i * 2))],
              ['val', value32(word(4 + i * 2))],
            ]
          : [
              ['name', text(word(3 + i * 3))],
              ['val', decimal64(word(4 + i * 3), word(5 + i * 3), kindFlag)],
            ]
      fields.push(['encoding', kindFlag ? '"SIGNED"' : '"UNSIGNED"'])
      fields.push(number('size', third), number('vlen', vlen), ['values', entries(enumerator)])
      break
    }
    case BtfKind.FWD:
      fields.push(['fwd_kind', kindFlag ? '"union"' : '"struct"'])
      break
    case BtfKind.FUNC:
      fields.push(number('type_id', third), ['linkage', `"${linkageWord(vlen)}"`])
      break
    case BtfKind.FUNC_PROTO: {
      const param = (i: number): Field[] => [['name', text(word(3 + i * 2))], number('type_id', word(4 + i * 2))]
      fields.push(number('ret_type_id', third), number('vlen', vlen), ['params', entries(param)])
      break
    }
    case BtfKind.VAR:
      fields.push(number('type_id', third), ['linkage', `"${linkageWord(word(3))}"`])
      break
    case BtfKind.DATASEC: {
      const variable = (i: number): Field[] => {
        const at = 3 + i * 3
        return [number('type_id', word(at)), number('offset', word(at + 1)), number('size', word(at + 2))]
      }
      fields.push(number('size', third), number('vlen', vlen), ['vars', entries(variable)])
      break
    }
    case BtfKind.FLOAT:
      fields.push(number('size', third))
      break
    case BtfKind.DECL_TAG:
      fields.push(number('type_id', third), number('component_idx', word(3) | 0))
      break
    case BtfKind.VOID:
      break
  }
  return fields
}
