import { isConst, valueOf } from '../domain/bounds.ts'
import { inRcuSection } from '../memory/btf.ts'
import { fieldsOf } from '../facts/query.ts'
import { invalid } from '../reject.ts'
import type { Reg } from '../state/register.ts'
import type { Acquired } from '../state/state.ts'
import type { Walk } from '../walk.ts'
import { forgetNonOwning, forgetRcu } from './resources.ts'

export type LockKind = 'lock' | 'resLock' | 'resLockIrq'

const LOCKS: ReadonlySet<Acquired['kind']> = new Set<Acquired['kind']>(['lock', 'resLock', 'resLockIrq'])

function find(walk: Walk, kinds: readonly LockKind[], id: number, owner: object): number {
  return walk.state.refs.findIndex(
    (r) => (kinds as readonly string[]).includes(r.kind) && r.id === id && r.owner === owner,
  )
}

/** What locks of a register's object belong to: its map, or the BTF of allocated objects. */
export function lockOwner(walk: Walk, reg: Reg): object | null {
  return reg.kind === 'map_value' ? reg.map : walk.facts.btf
}

/** Whether the lock next to a list or tree is held; a lock of another object is an error of its own. */
export function isLocked(walk: Walk, reg: Reg): boolean {
  const owner = lockOwner(walk, reg)
  return walk.state.locks > 0 && owner !== null && find(walk, ['lock', 'resLock', 'resLockIrq'], reg.id, owner) >= 0
}

/** bpf_spin_lock, bpf_res_spin_lock and their counterparts, on the lock of a map's value or an allocated object. */
export function stepLock(walk: Walk, regno: number, kind: LockKind, lock: boolean): void {
  const reg = walk.reg(regno)
  const name = kind === 'lock' ? 'bpf_spin' : 'bpf_res_spin'
  checkPlace(walk, reg, regno, name)
  const owner = lockOwner(walk, reg)
  if (owner === null) return
  if (lock) take(walk, kind, reg.id, owner)
  else giveBack(walk, kind, reg.id, owner, name)
}

function take(walk: Walk, kind: LockKind, id: number, owner: object): void {
  const { state } = walk
  if (kind === 'lock') {
    if (state.refs.some((r) => r.kind === 'lock')) invalid('Locking two bpf_spin_locks are not allowed')
  } else if (find(walk, ['resLock', 'resLockIrq'], id, owner) >= 0) {
    invalid('Acquiring the same lock again, AA deadlock detected')
  }
  state.refs.push({ kind, id, insn: walk.insn, owner })
  state.locks++
  state.lockId = id
  state.lockOwner = owner
}

function giveBack(walk: Walk, kind: LockKind, id: number, owner: object, name: string): void {
  const { state } = walk
  if (state.locks === 0) invalid(`${name}_unlock without taking a lock`)
  const at = find(walk, [kind], id, owner)
  if (at < 0) invalid(`${name}_unlock of different lock`)
  if (state.lockId !== id || state.lockOwner !== owner) invalid(`${name}_unlock cannot be out of order`)
  const rcu = inRcuSection(walk)
  const before = state.refs.slice(0, at).findLast((r) => LOCKS.has(r.kind))
  state.refs = state.refs.filter((_, i) => i !== at)
  state.locks--
  state.lockId = before?.id ?? 0
  state.lockOwner = before?.owner ?? null
  if (rcu && !inRcuSection(walk)) forgetRcu(walk)
  forgetNonOwning(walk)
}

/** The pointer must point to the object's one lock exactly. */
function checkPlace(walk: Walk, reg: Reg, regno: number, name: string): void {
  const isMap = reg.kind === 'map_value'
  const { map } = reg
  if (!isConst(reg.value)) {
    invalid(`R${regno} doesn't have constant offset. ${name}_lock has to be at the constant offset`)
  }
  if (isMap && (map === null || map.btf === null || map.valueTypeId === 0)) {
    invalid(`map '${map?.name}' has to have BTF in order to use ${name}_lock`)
  }
  const field = fieldsOf(reg, walk.facts.btf).find((f) => f.kind === `${name}_lock`)
  if (field === undefined) {
    return invalid(`${isMap ? 'map' : 'local'} '${isMap ? map?.name : 'kptr'}' has no valid ${name}_lock`)
  }
  const at = valueOf(reg.value) + reg.off
  if (at !== field.offset) {
    invalid(`off ${at} doesn't point to 'struct ${name}_lock' that is at ${field.offset}`)
  }
}
