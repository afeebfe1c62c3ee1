import type { Btf, BtfType } from '../../../btf/index.ts'

/** Types met so far; a kernel's structures have hundreds of members, and decoding them again for each access is slow. */
const known = new WeakMap<Btf, Map<number, BtfType>>()

/** A type of a BTF, decoded once. @throws BpfError `not-found` */
export function typeOf(btf: Btf, id: number): BtfType {
  let types = known.get(btf)
  if (types === undefined) {
    types = new Map()
    known.set(btf, types)
  }
  let type = types.get(id)
  if (type === undefined) {
    type = btf.type(id)
    types.set(id, type)
  }
  return type
}
