import { isConst, valueOf } from '../domain/bounds.ts'
import { invalid, unsupported } from '../reject.ts'
import type { Reg } from '../state/register.ts'
import type { Walk } from '../walk.ts'

/** bpf_spin_lock and bpf_spin_unlock on the lock of a map's value. */
export function stepLock(walk: Walk, regno: number, lock: boolean): void {
  const { state } = walk
  const reg = walk.reg(regno)
  if (reg.kind !== 'map_value') unsupported('locks in allocated objects')
  checkPlace(reg, regno)
  if (lock) {
    if (state.locks > 0) invalid('Locking two bpf_spin_locks are not allowed')
    state.locks = 1
    state.lockId = reg.id
    state.lockPtr = reg.map
    return
  }
  if (state.locks === 0) invalid('bpf_spin_unlock without taking a lock')
  if (state.lockId !== reg.id || state.lockPtr !== reg.map) invalid('bpf_spin_unlock of different lock')
  state.locks = 0
  state.lockId = 0
  state.lockPtr = null
}

/** The pointer must point to the value's one lock exactly. */
function checkPlace(reg: Reg, regno: number): void {
  const { map } = reg
  if (!isConst(reg.value)) {
    invalid(`R${regno} doesn't have constant offset. bpf_spin_lock has to be at the constant offset`)
  }
  if (map === null || map.btf === null) {
    return invalid(`map '${map?.name}' has to have BTF in order to use bpf_spin_lock`)
  }
  const field = map.fields.find((f) => f.kind === 'bpf_spin_lock')
  if (field === undefined) return invalid(`map '${map.name}' has no valid bpf_spin_lock`)
  const at = valueOf(reg.value) + reg.off
  if (at !== field.offset) invalid(`off ${at} doesn't point to 'struct bpf_spin_lock' that is at ${field.offset}`)
}
