import { BTF_MAX_NAME_OFFSET, BTF_MAX_TYPE, INT_BOOL, INT_CHAR, INT_SIGNED } from '../layout.ts'
import { BtfKind } from '../types.ts'
import type { CheckContext } from './context.ts'

/** Bits of the info word that mean something: vlen, kind, kind flag. */
const INFO_MASK = 0x9f00_ffff
const INT_MASK = 0x0fff_ffff
const MAX_INT_BITS = 128

/** What a kind allows in the words that all types have. */
interface CommonRules {
  readonly vlen: boolean
  readonly kindFlag: boolean
  readonly name: 'none' | 'identifier' | 'optional' | 'section' | 'text' | 'any'
}

const COMMON: Readonly<Record<number, CommonRules>> = {
  [BtfKind.INT]: { vlen: false, kindFlag: false, name: 'any' },
  [BtfKind.PTR]: { vlen: false, kindFlag: false, name: 'none' },
  [BtfKind.ARRAY]: { vlen: false, kindFlag: false, name: 'none' },
  [BtfKind.STRUCT]: { vlen: true, kindFlag: true, name: 'optional' },
  [BtfKind.UNION]: { vlen: true, kindFlag: true, name: 'optional' },
  [BtfKind.ENUM]: { vlen: true, kindFlag: true, name: 'optional' },
  [BtfKind.ENUM64]: { vlen: true, kindFlag: true, name: 'optional' },
  [BtfKind.FWD]: { vlen: false, kindFlag: true, name: 'identifier' },
  [BtfKind.TYPEDEF]: { vlen: false, kindFlag: false, name: 'identifier' },
  [BtfKind.VOLATILE]: { vlen: false, kindFlag: false, name: 'none' },
  [BtfKind.CONST]: { vlen: false, kindFlag: false, name: 'none' },
  [BtfKind.RESTRICT]: { vlen: false, kindFlag: false, name: 'none' },
  [BtfKind.FUNC]: { vlen: true, kindFlag: false, name: 'identifier' },
  [BtfKind.FUNC_PROTO]: { vlen: true, kindFlag: false, name: 'none' },
  [BtfKind.VAR]: { vlen: false, kindFlag: false, name: 'identifier' },
  [BtfKind.DATASEC]: { vlen: true, kindFlag: false, name: 'section' },
  [BtfKind.FLOAT]: { vlen: false, kindFlag: false, name: 'any' },
  // The kind flag on tags means attributes of other names, from Linux 6.15 on.
  [BtfKind.DECL_TAG]: { vlen: false, kindFlag: true, name: 'text' },
  [BtfKind.TYPE_TAG]: { vlen: false, kindFlag: true, name: 'text' },
}

/** Checks a type by itself, without following references. */
export function checkMeta(context: CheckContext, id: number): void {
  const { btf } = context
  const info = btf.word(id, 1)
  if ((info & ~INFO_MASK) !== 0) context.fail(id, `info 0x${info.toString(16)} has bits that mean nothing`)
  const kind = context.kind(id)
  const rules = COMMON[kind] as CommonRules
  if (!rules.vlen && context.vlen(id) !== 0) context.fail(id, `vlen is ${context.vlen(id)}, expected 0`)
  if (!rules.kindFlag && context.kindFlag(id)) context.fail(id, 'the kind flag is set')
  checkName(context, id, btf.word(id, 0), rules.name, 'name')
  const third = btf.word(id, 2)
  switch (kind) {
    case BtfKind.INT:
      checkInt(context, id, third)
      break
    case BtfKind.ARRAY:
      if (third !== 0) context.fail(id, `size is ${third}, expected 0`)
      checkId(context, id, btf.word(id, 3), 'element type')
      checkId(context, id, btf.word(id, 4), 'index type')
      break
    case BtfKind.STRUCT:
    case BtfKind.UNION:
      checkMembers(context, id, third)
      break
    case BtfKind.ENUM:
    case BtfKind.ENUM64: {
      if (third > 8 || third === 0 || (third & (third - 1)) !== 0) {
        context.fail(id, `size ${third} is not 1, 2, 4 or 8`)
      }
      const step = kind === BtfKind.ENUM ? 2 : 3
      for (let i = 0; i < context.vlen(id); i++) {
        checkName(context, id, btf.word(id, 3 + i * step), 'identifier', `name of enumerator ${i}`)
      }
      break
    }
    case BtfKind.FWD:
      if (third !== 0) context.fail(id, `type is ${third}, expected 0`)
      break
    case BtfKind.FUNC:
      if (context.vlen(id) > 1) context.fail(id, `linkage ${context.vlen(id)} is not static or global`)
      break
    case BtfKind.VAR: {
      checkId(context, id, third, 'type')
      const linkage = btf.word(id, 3)
      if (linkage > 1) context.fail(id, `linkage ${linkage} is not static or global`)
      break
    }
    case BtfKind.DATASEC:
      checkSection(context, id, third)
      break
    case BtfKind.FLOAT:
      if (![2, 4, 8, 12, 16].includes(third)) context.fail(id, `size ${third} is not 2, 4, 8, 12 or 16`)
      break
    case BtfKind.DECL_TAG:
      if ((btf.word(id, 3) | 0) < -1) context.fail(id, `component index ${btf.word(id, 3) | 0} is below -1`)
      break
    default:
      if (third > BTF_MAX_TYPE) context.fail(id, `type ${third} is above ${BTF_MAX_TYPE}`)
      break
  }
}

function checkName(context: CheckContext, id: number, offset: number, rule: CommonRules['name'], what: string): void {
  if (offset > BTF_MAX_NAME_OFFSET) context.fail(id, `${what} is at string offset ${offset}, too far`)
  const isRight =
    rule === 'any' ||
    (rule === 'none' && offset === 0) ||
    (rule === 'optional' && (offset === 0 || context.isIdentifier(offset))) ||
    (rule === 'identifier' && offset !== 0 && context.isIdentifier(offset)) ||
    (rule === 'section' && offset !== 0 && context.isSectionName(offset)) ||
    (rule === 'text' && context.btf.string(offset) !== '')
  if (isRight) return
  const text = context.btf.string(offset)
  const expected =
    rule === 'none' ? 'no name' : rule === 'section' ? 'a section name' : rule === 'text' ? 'a text' : 'an identifier'
  context.fail(id, `${what} is '${text}', expected ${expected}`)
}

function checkId(context: CheckContext, id: number, type: number, what: string): void {
  if (type === 0) context.fail(id, `the ${what} is void`)
  if (type > BTF_MAX_TYPE) context.fail(id, `the ${what} ${type} is above ${BTF_MAX_TYPE}`)
}

function checkInt(context: CheckContext, id: number, size: number): void {
  const data = context.btf.word(id, 3)
  if ((data & ~INT_MASK) !== 0) context.fail(id, `integer data 0x${data.toString(16)} has bits that mean nothing`)
  const bits = (data & 0xff) + ((data >>> 16) & 0xff)
  if (bits > MAX_INT_BITS) context.fail(id, `${bits} bits, at most ${MAX_INT_BITS} are allowed`)
  if (Math.ceil(bits / 8) > size) context.fail(id, `${bits} bits do not fit into ${size} bytes`)
  const encoding = (data >>> 24) & 0x0f
  if (encoding !== 0 && encoding !== INT_SIGNED && encoding !== INT_CHAR && encoding !== INT_BOOL) {
    context.fail(id, `encoding ${encoding} is not one of signed, char and bool`)
  }
}

function checkMembers(context: CheckContext, id: number, size: number): void {
  const { btf } = context
  const isUnion = context.kind(id) === BtfKind.UNION
  const kindFlag = context.kindFlag(id)
  let last = 0
  for (let i = 0; i < context.vlen(id); i++) {
    const at = 3 + i * 3
    checkName(context, id, btf.word(id, at), 'optional', `name of member ${i}`)
    checkId(context, id, btf.word(id, at + 1), `type of member ${i}`)
    const raw = btf.word(id, at + 2)
    const offset = kindFlag ? raw & 0xff_ffff : raw
    if (isUnion && offset !== 0) context.fail(id, `member ${i} is at bit ${offset} of a union`)
    if (offset < last) context.fail(id, `member ${i} at bit ${offset} is before the one at ${last}`)
    if (Math.ceil(offset / 8) > size) context.fail(id, `member ${i} at bit ${offset} is outside of ${size} bytes`)
    last = offset
  }
}

function checkSection(context: CheckContext, id: number, size: number): void {
  const { btf } = context
  if (size === 0) context.fail(id, 'size is 0')
  let end = 0
  for (let i = 0; i < context.vlen(id); i++) {
    const at = 3 + i * 3
    checkId(context, id, btf.word(id, at), `type of variable ${i}`)
    const offset = btf.word(id, at + 1)
    const bytes = btf.word(id, at + 2)
    if (offset < end || offset >= size)
      context.fail(id, `variable ${i} is at ${offset}, expected ${end} to ${size - 1}`)
    if (bytes === 0 || bytes > size) context.fail(id, `variable ${i} has ${bytes} bytes of ${size}`)
    // The kernel adds these as 32-bit numbers.
    end = (offset + bytes) >>> 0
    if (end > size) context.fail(id, `variable ${i} ends at ${end}, beyond ${size}`)
  }
}
