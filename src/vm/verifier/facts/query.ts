import type { Btf } from '../../../btf/index.ts'
import { Flag, type Reg } from '../state/register.ts'
import { type FieldKind, objectFields, type SpecialField } from './fields.ts'
import type { MapFacts } from './maps.ts'

/** Whether a map's value has a special field of a kind. */
export function hasField(map: MapFacts, kind: FieldKind): boolean {
  return map.fields.some((field) => field.kind === kind)
}

/** Special fields of what a register points to: a map's value or an allocated object. */
export function fieldsOf(reg: Reg, btf: Btf | null): readonly SpecialField[] {
  if (reg.kind === 'map_value') return reg.map?.fields ?? []
  const isObject = reg.kind === 'ptr_' && (reg.flags & Flag.ALLOC) !== 0 && reg.btf === 'program'
  return isObject && btf !== null ? objectFields(btf, reg.btfId) : []
}

/** Whether a register points to something with a lock in it, so that its identity matters. */
export function mayHoldLock(reg: Reg, btf: Btf | null): boolean {
  return fieldsOf(reg, btf).some((f) => f.kind === 'bpf_spin_lock' || f.kind === 'bpf_res_spin_lock')
}
