import { BtfKind, type Btf, type BtfComposite } from '../../../btf/index.ts'
import { checkStructWrite } from '../context/struct-write.ts'
import { isConst, isZero } from '../domain/bounds.ts'
import { fieldName } from '../facts/fields.ts'
import { fieldsOf } from '../facts/query.ts'
import { typeOf } from '../facts/types.ts'
import { MapType } from '../../../uapi/index.ts'
import { deny, invalid, unsupported } from '../reject.ts'
import { checkStructSecret } from '../privilege.ts'
import { Flag, pointerReg, type Reg, unknownReg } from '../state/register.ts'
import { tnumText } from '../text.ts'
import type { Walk } from '../walk.ts'

/** What a load from a structure finds. */
interface Found {
  /** `memory`: a pointer to something that is no structure. */
  readonly kind: 'scalar' | 'pointer' | 'memory'
  readonly typeId: number
  readonly flags: number
  readonly field: string
}

const MAX_DEPTH = 32

/**
 * Follows an access of `size` bytes at `off` through a structure's members down to a scalar or a pointer. Below a union
 * nobody knows which member it is, so that a scalar may reach beyond the end of one.
 */
export function walkStruct(
  btf: Btf,
  typeId: number,
  off: number,
  size: number,
  depth: number = 0,
  throughUnion: boolean = false,
): Found {
  const type = typeOf(btf, btf.skipModifiersAndTypedefs(typeId))
  if (depth > MAX_DEPTH || (type.kind !== BtfKind.STRUCT && type.kind !== BtfKind.UNION)) {
    return invalid(`Type '${type.name}' is not a struct`)
  }
  const composite: BtfComposite = type
  const inUnion = throughUnion || isAmbiguous(composite)
  if (off + size > composite.size) {
    const inner = flexibleArray(btf, composite, off, size, depth)
    if (inner !== null) return inner
    deny(`access beyond struct ${type.name || '(anon)'} at off ${off} size ${size}`)
  }
  for (const member of composite.members) {
    const at = member.bitOffset >> 3
    if (member.bitSize !== 0) {
      const end = (member.bitOffset + member.bitSize + 7) >> 3
      if (off + size <= at || off >= end) continue
      return { kind: 'scalar', typeId: 0, flags: 0, field: member.name }
    }
    const id = btf.skipModifiersAndTypedefs(member.type)
    const end = at + sizeOf(btf, id)
    if (off >= end) continue
    if (off + size <= at) break
    const target = typeOf(btf, id)
    if (target.kind === BtfKind.PTR) {
      if (off !== at || size !== 8) {
        if (off < at || off + size > end)
          deny(
            `cannot access ptr member ${member.name} with moff ${at} in struct ${type.name} with off ${off} size ${size}`,
          )
        if (size !== 8)
          deny(
            `cannot access ptr member ${member.name} with moff ${at} in struct ${type.name} with off ${off} size ${size}`,
          )
      }
      return pointer(btf, target.type, member.name)
    }
    const isNested = target.kind === BtfKind.STRUCT || target.kind === BtfKind.UNION
    if (off < at || (off + size > end && !isNested && !inUnion)) {
      deny(
        `access beyond the end of member ${member.name} (mend:${end}) in struct ${type.name} with off ${off} size ${size}`,
      )
    }
    return inMember(btf, id, off - at, size, member.name, depth, inUnion)
  }
  return deny(`struct ${type.name} doesn't have field at offset ${off}`)
}

function sizeOf(btf: Btf, id: number): number {
  const kind = btf.kind(id)
  return kind === BtfKind.FWD || kind === BtfKind.FUNC_PROTO || kind === BtfKind.VOID ? 0 : btf.sizeOf(id)
}

/** What is read through a union cannot be trusted; unions of one member are not meant as such. */
function isAmbiguous(type: BtfComposite): boolean {
  return type.kind === BtfKind.UNION && type.members.length !== 1
}

/** An access behind a structure whose last member is an array of unknown length. */
function flexibleArray(btf: Btf, type: BtfComposite, off: number, size: number, depth: number): Found | null {
  const last = type.members[type.members.length - 1]
  if (last === undefined) return null
  const array = typeOf(btf, btf.skipModifiersAndTypedefs(last.type))
  if (array.kind !== BtfKind.ARRAY || array.length !== 0 || off < last.bitOffset >> 3) return null
  const element = btf.skipModifiersAndTypedefs(array.elementType)
  const kind = btf.kind(element)
  if (kind === BtfKind.INT || kind === BtfKind.ENUM) return { kind: 'scalar', typeId: 0, flags: 0, field: last.name }
  if (kind === BtfKind.STRUCT) {
    const at = (off - (last.bitOffset >> 3)) % btf.sizeOf(element)
    return walkStruct(btf, element, at, size, depth + 1)
  }
  return null
}

function inMember(
  btf: Btf,
  id: number,
  off: number,
  size: number,
  field: string,
  depth: number,
  inUnion: boolean,
): Found {
  const type = typeOf(btf, id)
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- all others are treated alike below
  switch (type.kind) {
    case BtfKind.STRUCT:
    case BtfKind.UNION: {
      const found = walkStruct(btf, id, off, size, depth + 1, inUnion)
      return inUnion || isAmbiguous(type) ? { ...found, flags: found.flags | Flag.UNTRUSTED } : found
    }
    case BtfKind.ARRAY: {
      const element = btf.skipModifiersAndTypedefs(type.elementType)
      const each = sizeOf(btf, element)
      if (each === 0) return { kind: 'scalar', typeId: 0, flags: 0, field }
      const inner = off % each
      const target = typeOf(btf, element)
      if (target.kind === BtfKind.PTR) {
        if (inner !== 0 || size !== 8) return { kind: 'scalar', typeId: 0, flags: 0, field }
        return pointer(btf, target.type, field)
      }
      if (target.kind === BtfKind.STRUCT || target.kind === BtfKind.UNION || target.kind === BtfKind.ARRAY) {
        return inMember(btf, element, inner, size, field, depth + 1, inUnion)
      }
      return { kind: 'scalar', typeId: 0, flags: 0, field }
    }
    default:
      return { kind: 'scalar', typeId: 0, flags: 0, field }
  }
}

function pointer(btf: Btf, target: number, field: string): Found {
  let flags = 0
  let id = target
  for (;;) {
    const type = typeOf(btf, id)
    if (type.kind === BtfKind.TYPE_TAG) {
      if (type.name === 'user') flags |= Flag.USER
      else if (type.name === 'percpu') flags |= Flag.PERCPU
      else if (type.name === 'rcu') flags |= Flag.RCU
      id = type.type
    } else if (
      type.kind === BtfKind.CONST ||
      type.kind === BtfKind.VOLATILE ||
      type.kind === BtfKind.RESTRICT ||
      type.kind === BtfKind.TYPEDEF
    ) {
      id = type.type
    } else break
  }
  const kind = btf.kind(id)
  if (kind === BtfKind.STRUCT || kind === BtfKind.UNION) return { kind: 'pointer', typeId: id, flags, field }
  return { kind: 'memory', typeId: 0, flags: 0, field }
}

/** How far a member may be trusted that is read through a pointer that may. */
type Trust = 'safe_trusted' | 'safe_trusted_or_null' | 'safe_rcu' | 'safe_rcu_or_null'

/** The kernel says in its own BTF which members: structures of this name repeat them. */
function isMarked(btf: Btf, struct: string, trust: Trust, found: Found): boolean {
  const id = btf.findByName(`${struct}__${trust}`, BtfKind.STRUCT)
  const marks = id === undefined ? null : typeOf(btf, id)
  if (marks === null || marks.kind !== BtfKind.STRUCT) return false
  return marks.members.some(({ name, type }) => {
    if (name !== found.field) return false
    const pointer = typeOf(btf, btf.skipModifiersAndTypedefs(type))
    return pointer.kind === BtfKind.PTR && btf.skipModifiersAndTypedefs(pointer.type) === found.typeId
  })
}

export function inRcuSection(walk: Walk): boolean {
  return walk.state.rcu > 0 || walk.state.locks > 0 || !walk.state.sleepable
}

/** A load or store through a pointer with BTF; what a load gives. */
export function accessBtf(walk: Walk, reg: Reg, regno: number, off: number, size: number, write: boolean): Reg {
  const { facts } = walk
  const btf = reg.btf === 'kernel' ? facts.kernelBtf : facts.btf
  if (btf === null) return invalid('in-kernel BTF is malformed')
  const name = btf.name(reg.btfId)
  checkStructSecret(walk, name)
  if (!facts.gpl && reg.btf === 'kernel') {
    invalid(`Cannot access kernel 'struct ${name}' from non-GPL compatible program`)
  }
  if (off < 0) deny(`R${regno} is ptr_${name} invalid negative access: off=${off}`)
  if (!isConst(reg.value) || !isZero(reg.value)) {
    deny(`R${regno} is ptr_${name} invalid variable offset: off=${off}, var_off=${tnumText(reg.value)}`)
  }
  if (reg.flags & Flag.USER) deny(`R${regno} is ptr_${name} access user memory: off=${off}`)
  if (reg.flags & Flag.PERCPU) deny(`R${regno} is ptr_${name} access percpu memory: off=${off}`)
  const isObject = (reg.flags & Flag.ALLOC) !== 0
  if (write && !isObject) {
    checkStructWrite(walk, reg, off, size)
    return reg
  }
  if (isObject) checkSpecialFields(walk, reg, off, size)
  const found = walkStruct(btf, reg.btfId, off, size)
  if (found.kind === 'memory') return untrustedMemory()
  // What the program stored in its own objects is a number when it is loaded.
  if (found.kind !== 'pointer' || isObject) return unknownReg()
  const to = pointerReg('ptr_', fieldFlags(walk, btf, reg, name, found))
  to.btf = reg.btf
  to.btfId = found.typeId
  if (to.mayBeNull) to.id = walk.newId()
  return to
}

/** Memory that can be read at any address, faults included: what pointers to numbers in the kernel's structures give. */
function untrustedMemory(): Reg {
  return pointerReg('mem', Flag.RDONLY | Flag.UNTRUSTED)
}

/** A load from a map's own structure in the kernel. */
export function loadMapStruct(walk: Walk, reg: Reg, regno: number, off: number, size: number, write: boolean): Reg {
  const btf = walk.facts.kernelBtf
  const name = MAP_STRUCTS[reg.map?.type ?? 0]
  const id = name === undefined ? undefined : btf?.findByName(name, BtfKind.STRUCT)
  if (btf === null || id === undefined) return unsupported('loads from the structure of this map')
  checkStructSecret(walk, btf.name(id))
  if (off < 0) deny(`R${regno} is ${name} invalid negative access: off=${off}`)
  if (write) deny(`only read from ${name} is supported`)
  const found = walkStruct(btf, id, off, size)
  if (found.kind === 'memory') return untrustedMemory()
  if (found.kind !== 'pointer') return unknownReg()
  const to = pointerReg('ptr_', found.flags)
  to.btfId = found.typeId
  if (to.mayBeNull) to.id = walk.newId()
  return to
}

/** Kernel structures of the map types. */
const MAP_STRUCTS: Readonly<Record<number, string>> = {
  [MapType.HASH]: 'bpf_htab',
  [MapType.ARRAY]: 'bpf_array',
  [MapType.PROG_ARRAY]: 'bpf_array',
  [MapType.PERF_EVENT_ARRAY]: 'bpf_array',
  [MapType.PERCPU_HASH]: 'bpf_htab',
  [MapType.PERCPU_ARRAY]: 'bpf_array',
  [MapType.STACK_TRACE]: 'bpf_stack_map',
  [MapType.CGROUP_ARRAY]: 'bpf_array',
  [MapType.LRU_HASH]: 'bpf_htab',
  [MapType.LRU_PERCPU_HASH]: 'bpf_htab',
  [MapType.LPM_TRIE]: 'lpm_trie',
  [MapType.ARRAY_OF_MAPS]: 'bpf_array',
  [MapType.HASH_OF_MAPS]: 'bpf_htab',
  [MapType.DEVMAP]: 'bpf_dtab',
  [MapType.SOCKMAP]: 'bpf_stab',
  [MapType.CPUMAP]: 'bpf_cpu_map',
  [MapType.XSKMAP]: 'xsk_map',
  [MapType.SOCKHASH]: 'bpf_shtab',
  [MapType.CGROUP_STORAGE]: 'bpf_cgroup_storage_map',
  [MapType.REUSEPORT_SOCKARRAY]: 'reuseport_array',
  [MapType.PERCPU_CGROUP_STORAGE]: 'bpf_cgroup_storage_map',
  [MapType.QUEUE]: 'bpf_queue_stack',
  [MapType.STACK]: 'bpf_queue_stack',
  [MapType.SK_STORAGE]: 'bpf_local_storage_map',
  [MapType.DEVMAP_HASH]: 'bpf_dtab',
  [MapType.STRUCT_OPS]: 'bpf_struct_ops_map',
  [MapType.RINGBUF]: 'bpf_ringbuf_map',
  [MapType.INODE_STORAGE]: 'bpf_local_storage_map',
  [MapType.TASK_STORAGE]: 'bpf_local_storage_map',
  [MapType.BLOOM_FILTER]: 'bpf_bloom_filter',
  [MapType.USER_RINGBUF]: 'bpf_ringbuf_map',
  [MapType.CGRP_STORAGE]: 'bpf_local_storage_map',
  [MapType.ARENA]: 'bpf_arena',
}

/** Locks, nodes and the like in an allocated object are not for loads and stores. */
function checkSpecialFields(walk: Walk, reg: Reg, off: number, size: number): void {
  for (const field of fieldsOf(reg, walk.facts.btf)) {
    if (off < field.offset + field.size && field.offset < off + size) {
      deny(`direct access to ${fieldName(field)} is disallowed`)
    }
  }
}

function fieldFlags(walk: Walk, btf: Btf, reg: Reg, struct: string, found: Found): number {
  const marked = (trust: Trust): boolean => isMarked(btf, struct, trust, found)
  if (reg.flags & Flag.UNTRUSTED) return Flag.UNTRUSTED
  const isTrusted = (reg.flags & Flag.TRUSTED) !== 0 || reg.refId !== 0
  if (!isTrusted && (reg.flags & Flag.RCU) === 0) return found.flags & ~(Flag.RCU | Flag.TRUSTED)
  if (marked('safe_trusted')) return found.flags | Flag.TRUSTED
  if (marked('safe_trusted_or_null')) {
    return found.flags | Flag.TRUSTED | Flag.MAYBE_NULL
  }
  if (!inRcuSection(walk) || reg.mayBeNull) return Flag.UNTRUSTED
  if (marked('safe_rcu')) return found.flags | Flag.RCU
  const orNull = marked('safe_rcu_or_null')
  if ((found.flags & Flag.RCU) !== 0 || orNull) {
    const flags = found.flags | Flag.RCU | Flag.MAYBE_NULL
    return orNull ? flags & ~Flag.UNTRUSTED : flags
  }
  if (found.flags & (Flag.PERCPU | Flag.USER)) return found.flags
  return found.flags & ~(Flag.RCU | Flag.TRUSTED)
}
