import { BtfKind, type Btf } from '../../../btf/index.ts'
import { isConst, valueOf } from '../domain/bounds.ts'
import { type FieldKind, type GraphRoot, objectFields } from '../facts/fields.ts'
import { fieldsOf } from '../facts/query.ts'
import { invalid } from '../reject.ts'
import { Flag, pointerReg, type Reg } from '../state/register.ts'
import type { Walk } from '../walk.ts'
import { isLocked } from './lock.ts'
import { dropReference } from './resources.ts'

const PERCPU_MAX = 512

/** What bpf_obj_new and bpf_percpu_obj_new give for a type of the program's BTF. */
export function newObject(walk: Walk, typeId: number, percpu: boolean): Reg {
  const { btf } = walk.facts
  if (typeId < 0 || typeId > 0xffffffff) invalid('local type ID argument must be in range [0, U32_MAX]')
  if (btf === null) return invalid('bpf_obj_new/bpf_percpu_obj_new requires prog BTF')
  const type = typeId < btf.typeCount ? btf.type(typeId) : null
  if (type === null || type.kind !== BtfKind.STRUCT) {
    return invalid('bpf_obj_new/bpf_percpu_obj_new type ID argument must be of a struct')
  }
  if (percpu) {
    if (type.size > PERCPU_MAX) {
      invalid(`bpf_percpu_obj_new type size (${type.size}) is greater than ${PERCPU_MAX}`)
    }
    if (!isScalarStruct(btf, typeId, 0)) {
      invalid('bpf_percpu_obj_new type ID argument must be of a struct of scalars')
    }
    if (objectFields(btf, typeId).length > 0) {
      invalid('bpf_percpu_obj_new type ID argument must not contain special fields')
    }
  }
  return objectReg(typeId, percpu ? Flag.PERCPU : 0)
}

export function objectReg(typeId: number, flags: number = 0): Reg {
  const to = pointerReg('ptr_', Flag.ALLOC | flags)
  to.btf = 'program'
  to.btfId = typeId
  return to
}

/** A structure of numbers and arrays of numbers, with at most four levels of structures. */
export function isScalarStruct(btf: Btf, id: number, depth: number): boolean {
  const type = btf.type(btf.skipModifiersAndTypedefs(id))
  if (type.kind !== BtfKind.STRUCT && type.kind !== BtfKind.UNION) return false
  return type.members.every((member) => {
    const inner = btf.type(btf.skipModifiersAndTypedefs(member.type))
    if (inner.kind === BtfKind.STRUCT || inner.kind === BtfKind.UNION) {
      return depth < 3 && isScalarStruct(btf, inner.id, depth + 1)
    }
    if (inner.kind !== BtfKind.ARRAY) return isNumber(inner.kind)
    return inner.length > 0 && isNumber(btf.kind(btf.skipModifiersAndTypedefs(inner.elementType)))
  })
}

export function isNumber(kind: number): boolean {
  return kind === BtfKind.INT || kind === BtfKind.ENUM || kind === BtfKind.ENUM64
}

/** The list or tree that an argument points to: what it holds. Its lock must be held. */
export function graphRoot(walk: Walk, reg: Reg, regno: number, kind: FieldKind): GraphRoot {
  if (!isConst(reg.value)) {
    invalid(`R${regno} doesn't have constant offset. ${kind} has to be at the constant offset`)
  }
  const fields = fieldsOf(reg, walk.facts.btf)
  const off = reg.off + valueOf(reg.value)
  const root = fields.find((f) => f.kind === kind && f.offset === off)?.root
  if (root === undefined) return invalid(`${kind} not found at offset=${off >>> 0}`)
  if (!isLocked(walk, reg)) {
    const lock = fields.find((f) => f.kind === 'bpf_spin_lock')
    // The kernel's record says -EINVAL for an object without such a lock.
    const needed = `bpf_spin_lock at off=${lock?.offset ?? -22} must be held for ${kind}`
    invalid(walk.state.locks > 0 ? `held lock and object are not in the same allocation\n${needed}` : needed)
  }
  return root
}

/** The node that an argument points to must be the one that the list or tree holds. */
export function checkGraphNode(
  walk: Walk,
  reg: Reg,
  regno: number,
  root: GraphRoot,
  kinds: { readonly root: FieldKind; readonly node: FieldKind },
): void {
  const { btf } = walk.facts
  if (!isConst(reg.value)) {
    invalid(`R${regno} doesn't have constant offset. ${kinds.node} has to be at the constant offset`)
  }
  const off = reg.off + valueOf(reg.value)
  if (!fieldsOf(reg, btf).some((f) => f.kind === kinds.node && f.offset === off)) {
    invalid(`${kinds.node} not found at offset=${off >>> 0}`)
  }
  const wanted = btf?.name(root.valueId) ?? ''
  if (reg.btfId !== root.valueId) {
    invalid(
      `operation on ${kinds.root} expects arg#1 ${kinds.node} at offset=${root.nodeOffset} in struct ${wanted}, ` +
        `but arg is at offset=${off} in struct ${btf?.name(reg.btfId)}`,
    )
  }
  if (off !== root.nodeOffset) {
    invalid(`arg#1 offset=${off}, but expected ${kinds.node} at offset=${root.nodeOffset} in struct ${wanted}`)
  }
}

/** Pointer to an object in a list or tree, at its node. */
export function nodeReg(root: GraphRoot): Reg {
  const to = objectReg(root.valueId)
  to.off = root.nodeOffset
  return to
}

/** The pointer may be used as long as the lock is held, but it is not the program's to release. */
export function nonOwning(walk: Walk, reg: Reg): Reg {
  const to = reg.clone()
  const counted = fieldsOf(reg, walk.facts.btf).some((f) => f.kind === 'bpf_refcount')
  to.flags |= Flag.NON_OWN_REF | (counted ? Flag.RCU : 0)
  return to
}

/** The object now belongs to a list or tree: pointers to it stay usable while the lock is held. */
export function giveAway(walk: Walk, refId: number): void {
  walk.state.mapRegs((reg) => {
    if (reg.refId !== refId) return reg
    const to = nonOwning(walk, reg)
    to.refId = 0
    return to
  })
  dropReference(walk, refId)
}
