import { BtfKind } from '../../../btf/index.ts'
import { structsMatch } from '../calls/arguments.ts'
import { checkUnmodified } from '../context/access.ts'
import { isConst, isZero, valueOf } from '../domain/bounds.ts'
import type { SpecialField } from '../facts/fields.ts'
import { markPrecise } from '../precision.ts'
import { deny, invalid, unsupported } from '../reject.ts'
import { Flag, pointerReg, type Reg, regName } from '../state/register.ts'
import type { Walk } from '../walk.ts'
import type { Access } from './access.ts'
import { inRcuSection } from './btf.ts'

/** Kernel structures that are freed only after an RCU grace period. */
const RCU_PROTECTED: ReadonlySet<string> = new Set(['cgroup', 'bpf_cpumask', 'task_struct', 'bpf_crypto_ctx'])

/** Structure in the kernel's BTF that a kernel pointer field points to. */
function target(walk: Walk, field: SpecialField): number {
  if (field.tag !== 'kptr' && field.tag !== 'kptr_untrusted') return unsupported(`${field.tag} fields`)
  const id = walk.facts.kernelBtf?.findByName(field.target ?? '', BtfKind.STRUCT)
  return id ?? unsupported("pointers to the program's own types in maps")
}

/** A load or store of a kernel pointer in a map's value; a load gives it as it may be by then. */
export function accessKptr(walk: Walk, field: SpecialField, a: Access, reg: Reg): Reg {
  const id = target(walk, field)
  if (a.atomic === true || a.signed) deny('kptr in map can only be accessed using BPF_MEM instruction mode')
  const isRef = field.tag === 'kptr'
  if (a.write) {
    if (isRef) deny('store to referenced kptr disallowed')
    if (a.source === -1) {
      if (a.imm !== 0) deny(`BPF_ST imm must be 0 when storing to kptr at off=${field.offset}`)
      return reg
    }
    const value = walk.reg(a.source)
    if (value.kind === 'scalar' && isConst(value.value) && isZero(value.value)) markPrecise(walk, a.source)
    else matchKptr(walk, field, value, a.source)
    return reg
  }
  const safe = isRef && RCU_PROTECTED.has(field.target ?? '') && inRcuSection(walk)
  const to = pointerReg('ptr_', Flag.MAYBE_NULL | (safe ? Flag.RCU : Flag.UNTRUSTED))
  to.btfId = id
  to.id = walk.newId()
  return to
}

/** Whether a register may be put in a kernel pointer field. */
export function matchKptr(walk: Walk, field: SpecialField, reg: Reg, regno: number): void {
  const id = target(walk, field)
  const btf = walk.facts.kernelBtf
  if (reg.btf !== 'kernel' || reg.flags & (Flag.ALLOC | Flag.NON_OWN_REF)) unsupported('allocated objects in maps')
  const isRef = field.tag === 'kptr'
  const allowed = Flag.MAYBE_NULL | Flag.TRUSTED | Flag.RCU | (isRef ? 0 : Flag.UNTRUSTED)
  if (reg.kind === 'ptr_' && (reg.flags & ~allowed) === 0) {
    checkUnmodified(reg, regno, true)
    const same = isRef ? reg.off === 0 && reg.btfId === id : btf !== null && structsMatch(btf, reg.btfId, reg.off, id)
    if (same) return
  }
  const name = reg.kind === 'ptr_' ? (btf?.name(reg.btfId) ?? '') : ''
  const other = isRef ? '' : ` or untrusted_ptr_${field.target}`
  deny(`invalid kptr access, R${regno} type=${regName(reg)}${name} expected=ptr_${field.target}${other}`)
}

/** Field that bpf_kptr_xchg exchanges. */
export function xchgField(reg: Reg, regno: number): SpecialField {
  const { map } = reg
  if (map === null || map.btf === null) {
    return invalid(`map '${map?.name}' has to have BTF in order to use bpf_kptr_xchg`)
  }
  if (!isConst(reg.value)) {
    invalid(`R${regno} doesn't have constant offset. kptr has to be at the constant offset`)
  }
  if (!map.fields.some((f) => f.kind === 'kptr')) invalid(`R${regno} has no valid kptr`)
  const off = reg.off + valueOf(reg.value)
  const field = map.fields.find((f) => f.kind === 'kptr' && f.offset === off)
  if (field === undefined) return deny(`off=${off} doesn't point to kptr`)
  if (field.tag === 'kptr_untrusted') deny(`off=${off} kptr isn't referenced kptr`)
  return field
}

/** What bpf_kptr_xchg gives back: the pointer that was there, now the program's to release. */
export function xchgResult(walk: Walk, field: SpecialField): Reg {
  const to = pointerReg('ptr_', Flag.MAYBE_NULL)
  to.btfId = target(walk, field)
  return to
}
