import { BtfKind, type Btf } from '../../btf/index.ts'

/** Size of a structure whose layout is not known. */
const UNKNOWN_SIZE = 4096

/**
 * Bytes of a structure of the kernel in the layout that `btf` has, with some members that are plain numbers; all else is
 * zero. Without BTF, or where it lacks the structure, only zeros.
 */
export function fakeStruct(btf: Btf | null, name: string, values: Readonly<Record<string, number>>): Uint8Array {
  const id = btf?.findByName(name, BtfKind.STRUCT)
  if (btf === null || id === undefined) return new Uint8Array(UNKNOWN_SIZE)
  const bytes = new Uint8Array(btf.sizeOf(id))
  for (const [member, value] of Object.entries(values)) put(btf, id, 0, member, value, bytes)
  return bytes
}

/** Writes a member, which may lie in anonymous structures; whether it was found. */
function put(btf: Btf, typeId: number, at: number, name: string, value: number, bytes: Uint8Array): boolean {
  const type = btf.type(btf.skipModifiersAndTypedefs(typeId))
  if (type.kind !== BtfKind.STRUCT && type.kind !== BtfKind.UNION) return false
  for (const member of type.members) {
    const offset = at + Math.floor(member.bitOffset / 8)
    if (member.name === '' && put(btf, member.type, offset, name, value, bytes)) return true
    if (member.name !== name || member.bitSize !== 0) continue
    const size = btf.sizeOf(member.type)
    for (let i = 0; i < size && i < 4; i++) bytes[offset + i] = (value >>> (8 * i)) & 0xff
    return true
  }
  return false
}
