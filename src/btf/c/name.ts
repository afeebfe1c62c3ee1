import type { Btf } from '../btf.ts'
import { BtfKind } from '../types.ts'
import { ChainPool, declare, type DeclarationParts } from './declare.ts'

const ANONYMOUS = '(anon)'

/**
 * A type as C writes it, around a name when one is given: `struct task_struct *`, `int (*cb)(void *)`.
 * Anonymous structs, unions and enums are not spelled out: `struct (anon)`.
 * @throws BpfError `not-found`, or `malformed` for a type that contains itself
 */
export function cName(btf: Btf, typeId: number, declarator: string = ''): string {
  const kind = btf.kind(typeId)
  if (kind === BtfKind.VAR || kind === BtfKind.FUNC) {
    return cName(btf, btf.word(typeId, 2), declarator === '' ? btf.name(typeId) : declarator)
  }
  if (kind === BtfKind.DATASEC || kind === BtfKind.DECL_TAG) return btf.name(typeId)
  let out = ''
  const tagged = (word: string, id: number): void => {
    const name = btf.name(id)
    out += `${word} ${name === '' ? ANONYMOUS : name}`
  }
  const parts: DeclarationParts = {
    types: btf,
    add: (text) => {
      out += text
    },
    addName: (offset) => {
      out += btf.string(offset)
    },
    composite: (id) => tagged(btf.kind(id) === BtfKind.STRUCT ? 'struct' : 'union', id),
    enumeration: (id) => tagged('enum', id),
    forward: (id) => tagged(btf.word(id, 1) >>> 31 === 0 ? 'struct' : 'union', id),
    hasText: (offset) => btf.string(offset) !== '',
    chains: new ChainPool(),
    typedef: (id) => {
      out += btf.name(id)
    },
    typeTag: (id) => typeTagAttribute(btf.name(id), btf.word(id, 1) >>> 31 !== 0),
  }
  declare(parts, typeId, declarator, 0)
  return out
}

/** With the kind flag (Linux 6.15), a type tag stands for an attribute of its own name. */
export function typeTagAttribute(name: string, kindFlag: boolean): string {
  return kindFlag ? `__attribute__((${name}))` : `__attribute__((btf_type_tag("${name}")))`
}
