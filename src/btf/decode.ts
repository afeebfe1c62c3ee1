import { BpfError } from '../bytes/index.ts'
import type { Btf } from './btf.ts'
import { INT_BOOL, INT_CHAR, INT_SIGNED } from './layout.ts'
import { BtfKind } from './types.ts'
import type { BtfEnumerator, BtfLinkage, BtfMember, BtfParam, BtfSectionVar, BtfType } from './types.ts'

/** Makes the object for type `id`, which must exist. */
export function decodeType(btf: Btf, id: number): BtfType {
  const name = btf.name(id)
  const info = btf.word(id, 1)
  const third = btf.word(id, 2)
  const vlen = info & 0xffff
  const kindFlag = info >>> 31 !== 0
  const kind = btf.kind(id)
  switch (kind) {
    case BtfKind.VOID:
      return { id, kind, name }
    case BtfKind.INT: {
      const extra = btf.word(id, 3)
      const encoding = (extra >>> 24) & 0x0f
      return {
        id,
        kind,
        name,
        size: third,
        bits: extra & 0xff,
        bitOffset: (extra >>> 16) & 0xff,
        signed: (encoding & INT_SIGNED) !== 0,
        char: (encoding & INT_CHAR) !== 0,
        bool: (encoding & INT_BOOL) !== 0,
      }
    }
    case BtfKind.PTR:
    case BtfKind.TYPEDEF:
    case BtfKind.VOLATILE:
    case BtfKind.CONST:
    case BtfKind.RESTRICT:
    case BtfKind.TYPE_TAG:
      return { id, kind, name, type: third, kindFlag }
    case BtfKind.ARRAY:
      return { id, kind, name, elementType: btf.word(id, 3), indexType: btf.word(id, 4), length: btf.word(id, 5) }
    case BtfKind.STRUCT:
    case BtfKind.UNION: {
      const members: BtfMember[] = []
      for (let i = 0; i < vlen; i++) members.push(decodeMember(btf, id, i, kindFlag))
      return { id, kind, name, size: third, kindFlag, members }
    }
    case BtfKind.ENUM:
    case BtfKind.ENUM64:
      return { id, kind, name, size: third, signed: kindFlag, values: decodeEnumerators(btf, id) }
    case BtfKind.FWD:
      return { id, kind, name, union: kindFlag }
    case BtfKind.FUNC:
      return { id, kind, name, type: third, linkage: vlen as BtfLinkage }
    case BtfKind.FUNC_PROTO: {
      const params: BtfParam[] = []
      for (let i = 0; i < vlen; i++) {
        params.push({ name: btf.string(btf.word(id, 3 + i * 2)), type: btf.word(id, 4 + i * 2) })
      }
      return { id, kind, name, returnType: third, params }
    }
    case BtfKind.VAR:
      return { id, kind, name, type: third, linkage: btf.word(id, 3) as BtfLinkage }
    case BtfKind.DATASEC: {
      const vars: BtfSectionVar[] = []
      for (let i = 0; i < vlen; i++) {
        const at = 3 + i * 3
        vars.push({ type: btf.word(id, at), offset: btf.word(id, at + 1), size: btf.word(id, at + 2) })
      }
      return { id, kind, name, size: third, vars }
    }
    case BtfKind.FLOAT:
      return { id, kind, name, size: third }
    case BtfKind.DECL_TAG:
      return { id, kind, name, type: third, componentIndex: btf.word(id, 3) | 0, kindFlag }
    default:
      throw new BpfError('malformed', `type [${id}] has kind ${String(kind satisfies never)}`)
  }
}

/** Member `index` of a struct or union. */
export function decodeMember(btf: Btf, id: number, index: number, kindFlag: boolean): BtfMember {
  const at = 3 + index * 3
  const offset = btf.word(id, at + 2)
  return {
    name: btf.string(btf.word(id, at)),
    type: btf.word(id, at + 1),
    bitOffset: kindFlag ? offset & 0xff_ffff : offset,
    bitSize: kindFlag ? offset >>> 24 : 0,
  }
}

function decodeEnumerators(btf: Btf, id: number): BtfEnumerator[] {
  const info = btf.word(id, 1)
  const vlen = info & 0xffff
  const signed = info >>> 31 !== 0
  const values: BtfEnumerator[] = []
  if (btf.kind(id) === BtfKind.ENUM) {
    for (let i = 0; i < vlen; i++) {
      const raw = btf.word(id, 4 + i * 2)
      values.push({ name: btf.string(btf.word(id, 3 + i * 2)), value: BigInt(signed ? raw | 0 : raw) })
    }
    return values
  }
  for (let i = 0; i < vlen; i++) {
    const low = btf.word(id, 4 + i * 3)
    const high = btf.word(id, 5 + i * 3)
    const raw = (BigInt(high) << 32n) | BigInt(low)
    values.push({ name: btf.string(btf.word(id, 3 + i * 3)), value: signed ? BigInt.asIntN(64, raw) : raw })
  }
  return values
}
