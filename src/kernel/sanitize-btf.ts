import { BtfBuilder, BtfKind, type Btf, type BtfTypeSpec } from '../btf/index.ts'

/** What a kernel's BTF check knows of; all true on Linux 6.10 and newer. */
export interface BtfFeatures {
  /** FUNC and FUNC_PROTO (5.0). */
  readonly func: boolean
  /** FUNC with linkage (5.6). */
  readonly globalFunc: boolean
  /** VAR and DATASEC (5.2). */
  readonly datasec: boolean
  /** FLOAT (5.13). */
  readonly float: boolean
  /** DECL_TAG (5.16). */
  readonly declTag: boolean
  /** TYPE_TAG (5.17). */
  readonly typeTag: boolean
  /** ENUM64, and signed enums (6.0). */
  readonly enum64: boolean
  /** DATASEC names with a question mark (6.10). */
  readonly questionMark: boolean
}

/**
 * The object's BTF in words that an older kernel knows, under the same ids: what it does not know is replaced by
 * something of the same size (libbpf.c, bpf_object__sanitize_btf). The given one when nothing is to be replaced.
 */
export function sanitizeBtf(btf: Btf, features: BtfFeatures): Btf {
  const builder = BtfBuilder.from(btf)
  // Values of 64-bit enums become members, which need a type of their size: added behind all others.
  const wide = new Map<number, number>()
  let changed = false
  for (const id of btf.ids()) {
    const type = btf.type(id)
    const replacement = replace(btf, type, features, (size) => {
      let int = wide.get(size)
      if (int === undefined) {
        int = builder.add(integer('enum64_placeholder', size))
        wide.set(size, int)
      }
      return int
    })
    if (replacement === null) continue
    builder.replace(id, replacement)
    changed = true
  }
  return changed ? builder.toBtf() : btf
}

function replace(
  btf: Btf,
  type: ReturnType<Btf['type']>,
  features: BtfFeatures,
  wide: (size: number) => number,
): BtfTypeSpec | null {
  switch (type.kind) {
    case BtfKind.VAR:
      return features.datasec ? null : integer('', 1)
    case BtfKind.DECL_TAG:
      return features.declTag ? null : integer('', 1)
    case BtfKind.DATASEC: {
      if (features.datasec) {
        return features.questionMark || !type.name.startsWith('?') ? null : { ...type, name: `_${type.name.slice(1)}` }
      }
      const name = type.name.replaceAll(/[.?]/g, '_')
      // Variables are ints of one byte now, which fit where they stand; offsets are those of the section.
      const members = type.vars.map((entry) => ({
        name: btf.name(entry.type),
        type: entry.type,
        bitOffset: entry.offset * 8,
        bitSize: 0,
      }))
      return { kind: BtfKind.STRUCT, name, size: type.size, kindFlag: false, members }
    }
    case BtfKind.FUNC_PROTO:
      if (features.func) return null
      return {
        kind: BtfKind.ENUM,
        name: '',
        size: 4,
        signed: false,
        values: type.params.map(({ name }, i) => ({ name: name === '' ? `arg${i}` : name, value: 0n })),
      }
    case BtfKind.FUNC:
      if (!features.func) return { kind: BtfKind.TYPEDEF, name: type.name, type: type.type, kindFlag: false }
      return features.globalFunc || type.linkage === 0 ? null : { ...type, linkage: 0 }
    case BtfKind.FLOAT:
      if (features.float) return null
      return { kind: BtfKind.STRUCT, name: '', size: type.size, kindFlag: false, members: [] }
    case BtfKind.TYPE_TAG:
      return features.typeTag ? null : { kind: BtfKind.CONST, name: '', type: type.type, kindFlag: false }
    case BtfKind.ENUM:
      return features.enum64 || !type.signed ? null : { ...type, signed: false }
    case BtfKind.ENUM64: {
      if (features.enum64) return null
      const int = wide(type.size)
      const members = type.values.map(({ name }) => ({ name, type: int, bitOffset: 0, bitSize: 0 }))
      return { kind: BtfKind.UNION, name: type.name, size: type.size, kindFlag: false, members }
    }
    case BtfKind.VOID:
    case BtfKind.INT:
    case BtfKind.PTR:
    case BtfKind.ARRAY:
    case BtfKind.STRUCT:
    case BtfKind.UNION:
    case BtfKind.FWD:
    case BtfKind.TYPEDEF:
    case BtfKind.VOLATILE:
    case BtfKind.CONST:
    case BtfKind.RESTRICT:
    default:
      return null
  }
}

function integer(name: string, size: number): BtfTypeSpec {
  return { kind: BtfKind.INT, name, size, bits: size * 8, bitOffset: 0, signed: false, char: false, bool: false }
}
