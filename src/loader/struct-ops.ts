import { BtfKind, type Btf, type BtfComposite, type BtfMember } from '../btf/index.ts'
import { BpfError } from '../bytes/index.ts'
import type { MapSpec } from './spec.ts'
import { readVariable, writeVariable } from './values.ts'

/** Whether a member of a struct_ops type holds a function. */
export function isFunctionPointer(btf: Btf, member: BtfMember): boolean {
  const pointer = btf.type(btf.skipModifiersAndTypedefs(member.type))
  if (pointer.kind !== BtfKind.PTR) return false
  return btf.kind(btf.skipModifiersAndTypedefs(pointer.type)) === BtfKind.FUNC_PROTO
}

/**
 * A struct_ops variable of an object: what it hands to the kernel, by member names, to be changed until load(). Function
 * pointers have the name of a program, or null.
 */
export class StructOpsSpec {
  readonly name: string
  /** The map that carries it. */
  readonly map: MapSpec
  /** Its C type, with the flavour it may have ("tcp_congestion_ops___v2"). */
  readonly typeName: string
  /** Members by name; assign to change them. @throws BpfError `not-found`, `type-mismatch` on assignment */
  readonly values: Record<string, unknown>
  readonly #btf: Btf
  readonly #type: BtfComposite
  readonly #slots: Map<number, string>

  constructor(map: MapSpec, btf: Btf) {
    const type = btf.type(map.valueTypeId)
    if (type.kind !== BtfKind.STRUCT) throw new BpfError('malformed', `struct_ops '${map.name}' is no struct`)
    this.name = map.name
    this.map = map
    this.typeName = type.name
    this.#btf = btf
    this.#type = type
    this.#slots = map.slots as Map<number, string>
    const values = Object.create(null) as Record<string, unknown>
    for (const { name } of type.members) {
      if (name === '' || name in values) continue
      Object.defineProperty(values, name, {
        enumerable: true,
        get: () => this.get(name),
        set: (value) => {
          this.set(name, value)
        },
      })
    }
    this.values = new Proxy(values, {
      set: (_, name, value) => {
        this.set(String(name), value)
        return true
      },
    })
  }

  /** Whether a link registers it (section .struct_ops.link) and not the update of its map. */
  get byLink(): boolean {
    return this.map.flags !== 0
  }

  /** A member: the name of the program of a function pointer, other members by their C type. @throws BpfError `not-found` */
  get(name: string): unknown {
    const { index, member } = this.#member(name)
    if (isFunctionPointer(this.#btf, member)) return this.#slots.get(index) ?? null
    return readVariable(this.#btf, member.type, this.#bytes(member))
  }

  /** Sets a member: a program's name or null for a function pointer. @throws BpfError `not-found`, `type-mismatch` */
  set(name: string, value: unknown): void {
    const { index, member } = this.#member(name)
    if (!isFunctionPointer(this.#btf, member)) {
      writeVariable(this.#btf, member.type, value, this.#bytes(member), `${this.name}.${name}`)
    } else if (typeof value === 'string') {
      this.#slots.set(index, value)
    } else if (value === null) {
      this.#slots.delete(index)
    } else {
      throw new BpfError('type-mismatch', `${this.name}.${name} takes the name of a program, or null`, {
        where: { map: this.name },
      })
    }
  }

  #member(name: string): { readonly index: number; readonly member: BtfMember } {
    const index = this.#type.members.findIndex((member) => member.name === name)
    const member = this.#type.members[index]
    if (member === undefined) {
      throw new BpfError('not-found', `struct ${this.typeName} has no member '${name}'`, { where: { map: this.name } })
    }
    return { index, member }
  }

  #bytes(member: BtfMember): Uint8Array {
    const where = { map: this.name, symbol: member.name }
    if (member.bitSize !== 0) throw new BpfError('unsupported', `bit-field '${member.name}' of struct_ops`, { where })
    const start = member.bitOffset / 8
    const size = this.#btf.sizeOf(member.type)
    const bytes = this.map.contents?.subarray(start, start + size)
    if (bytes?.length !== size) {
      throw new BpfError('type-mismatch', `the contents of '${this.name}' end before member '${member.name}'`, {
        where,
      })
    }
    return bytes
  }
}

/** The struct_ops variables among an object's maps, by name. */
export function structOpsOf(maps: Readonly<Record<string, MapSpec>>, btf: Btf | null): Record<string, StructOpsSpec> {
  const result = Object.create(null) as Record<string, StructOpsSpec>
  for (const map of Object.values(maps)) {
    if (btf !== null && map.dataSection === 'struct_ops') result[map.name] = new StructOpsSpec(map, btf)
  }
  return result
}
