import { MapType } from '../../uapi/index.ts'
import type { Btf } from '../../btf/index.ts'
import { hasField, mayHoldLock } from './facts/query.ts'
import { Flag, type Reg, scalarReg } from './state/register.ts'
import { constant } from './domain/bounds.ts'
import type { State } from './state/state.ts'

/** The pointer after it was found not to be null. */
export function becomeNotNull(reg: Reg): Reg {
  const to = reg.clone()
  to.flags &= ~Flag.MAYBE_NULL
  if (reg.kind !== 'map_value' || reg.map === null) return to
  const { inner, type } = reg.map
  if (inner !== null) {
    to.kind = 'map_ptr'
    to.map = inner
    to.mapUid = hasField(inner, 'bpf_timer') || hasField(inner, 'bpf_wq') ? reg.id : 0
  } else if (type === MapType.XSKMAP) to.kind = 'xdp_sock'
  else if (type === MapType.SOCKMAP || type === MapType.SOCKHASH) to.kind = 'sock'
  return to
}

/** All copies of a pointer that may be null, after a comparison with zero; `btf` is the program's. */
export function markNull(state: State, checked: Reg, isNull: boolean, btf: Btf | null): void {
  const { id, refId } = checked
  if (isNull && refId !== 0 && refId === id) {
    state.refs = state.refs.filter((r) => r.kind !== 'ptr' || r.id !== refId)
  }
  state.mapRegs((reg) => {
    if (!reg.mayBeNull || reg.id !== id || id === 0) return reg
    if (isNull) return scalarReg(constant(0))
    const to = becomeNotNull(reg)
    if (!mayHoldLock(to, btf)) to.id = 0
    return to
  })
}
