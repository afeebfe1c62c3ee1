import { BtfKind } from '../../../btf/index.ts'
import { structsMatch } from '../calls/arguments.ts'
import { checkUnmodified } from '../context/access.ts'
import { isConst, isZero, valueOf } from '../domain/bounds.ts'
import type { SpecialField } from '../facts/fields.ts'
import { fieldsOf } from '../facts/query.ts'
import { markPrecise } from '../precision.ts'
import { deny, invalid, unsupported } from '../reject.ts'
import { Flag, pointerReg, type Reg, regName } from '../state/register.ts'
import type { Walk } from '../walk.ts'
import type { Access } from './access.ts'
import { inRcuSection } from './btf.ts'

/** Kernel structures that are freed only after an RCU grace period. */
const RCU_PROTECTED: ReadonlySet<string> = new Set([
  'cgroup',
  'bpf_cpumask',
  'task_struct',
  'bpf_crypto_ctx',
  'prog_test_ref_kfunc',
])

interface Target {
  readonly btf: 'kernel' | 'program'
  readonly id: number
}

/** What a kernel pointer field points to: a kernel structure of that name, otherwise the program's own type. */
function targetOf(walk: Walk, field: SpecialField): Target {
  const known = walk.facts.kernelBtf?.findByName(field.target ?? '', BtfKind.STRUCT)
  if (field.kind !== 'uptr' && known !== undefined) return { btf: 'kernel', id: known }
  return { btf: 'program', id: field.targetId ?? unsupported('pointers to unknown types in maps') }
}

function isReferenced(field: SpecialField): boolean {
  return field.tag === 'kptr' || field.tag === 'percpu_kptr'
}

/** A load or store of a kernel pointer in a map's value; a load gives it as it may be by then. */
export function accessKptr(walk: Walk, field: SpecialField, a: Access, reg: Reg): Reg {
  if (a.atomic === true || a.signed) deny('kptr in map can only be accessed using BPF_MEM instruction mode')
  if (!a.write) return loaded(walk, field)
  if (isReferenced(field)) deny('store to referenced kptr disallowed')
  if (field.kind === 'uptr') deny('store to uptr disallowed')
  if (a.source === -1) {
    if (a.imm !== 0) deny(`BPF_ST imm must be 0 when storing to kptr at off=${field.offset}`)
    return reg
  }
  const value = walk.reg(a.source)
  if (value.kind === 'scalar' && isConst(value.value) && isZero(value.value)) markPrecise(walk, a.source)
  else matchKptr(walk, field, value, a.source)
  return reg
}

function loaded(walk: Walk, field: SpecialField): Reg {
  const target = targetOf(walk, field)
  if (field.kind === 'uptr') {
    const user = pointerReg('mem', Flag.MAYBE_NULL)
    user.memSize = walk.facts.btf?.sizeOf(target.id) ?? 0
    user.id = walk.newId()
    return user
  }
  const isPercpu = field.tag === 'percpu_kptr'
  const isOwn = target.btf === 'program'
  const isSafe = isPercpu || (field.tag === 'kptr' && (isOwn || RCU_PROTECTED.has(field.target ?? '')))
  const extra = isPercpu ? Flag.PERCPU : isOwn ? Flag.ALLOC : 0
  const to = pointerReg('ptr_', Flag.MAYBE_NULL | (isSafe && inRcuSection(walk) ? Flag.RCU | extra : Flag.UNTRUSTED))
  to.btf = target.btf
  to.btfId = target.id
  to.id = walk.newId()
  return to
}

/** Whether a register may be put in a kernel pointer field. */
export function matchKptr(walk: Walk, field: SpecialField, reg: Reg, regno: number): void {
  const target = targetOf(walk, field)
  const btf = reg.btf === 'kernel' ? walk.facts.kernelBtf : walk.facts.btf
  const isRef = isReferenced(field)
  const allowed =
    reg.btf === 'kernel'
      ? Flag.MAYBE_NULL | Flag.TRUSTED | Flag.RCU | (isRef ? 0 : Flag.UNTRUSTED)
      : Flag.MAYBE_NULL | Flag.ALLOC | (field.tag === 'percpu_kptr' ? Flag.PERCPU : 0)
  if (reg.kind === 'ptr_' && (reg.flags & ~allowed) === 0) {
    checkUnmodified(reg, regno, true)
    const sameType =
      isRef || reg.btf === 'program'
        ? reg.off === 0 && reg.btfId === target.id
        : btf !== null && structsMatch(btf, reg.btfId, reg.off, target.id)
    if (reg.btf === target.btf && sameType) return
  }
  const isPlain = reg.kind === 'ptr_' && (reg.flags & ~allowed) === 0
  const name = isPlain ? (btf?.name(reg.btfId) ?? '') : ''
  const other = isRef ? '' : ` or untrusted_ptr_${field.target}`
  deny(`invalid kptr access, R${regno} type=${regName(reg)}${name} expected=ptr_${field.target}${other}`)
}

/** Field that bpf_kptr_xchg exchanges: in a map's value or in an allocated object. */
export function xchgField(walk: Walk, reg: Reg, regno: number): SpecialField {
  const { map } = reg
  if (reg.kind === 'map_value' && (map === null || map.btf === null || map.valueTypeId === 0)) {
    return invalid(`map '${map?.name}' has to have BTF in order to use bpf_kptr_xchg`)
  }
  if (!isConst(reg.value)) {
    invalid(`R${regno} doesn't have constant offset. kptr has to be at the constant offset`)
  }
  const fields = fieldsOf(reg, walk.facts.btf).filter((f) => f.kind === 'kptr')
  if (fields.length === 0) invalid(`R${regno} has no valid kptr`)
  const off = reg.off + valueOf(reg.value)
  const field = fields.find((f) => f.offset === off)
  if (field === undefined) return deny(`off=${off} doesn't point to kptr`)
  if (!isReferenced(field)) deny(`off=${off} kptr isn't referenced kptr`)
  return field
}

/** What bpf_kptr_xchg gives back: the pointer that was there, now the program's to release. */
export function xchgResult(walk: Walk, field: SpecialField): Reg {
  const target = targetOf(walk, field)
  const own = target.btf === 'program' ? Flag.ALLOC | (field.tag === 'percpu_kptr' ? Flag.PERCPU : 0) : 0
  const to = pointerReg('ptr_', Flag.MAYBE_NULL | own)
  to.btf = target.btf
  to.btfId = target.id
  return to
}
