import { invalid } from '../reject.ts'
import { NOT_INIT, type Reg, unknownReg } from '../state/register.ts'
import { Byte, EMPTY_SLOT } from '../state/slot.ts'
import type { State } from '../state/state.ts'
import type { Walk } from '../walk.ts'

/** A new reference that the program must release. */
export function acquire(walk: Walk): number {
  const id = walk.newId()
  walk.state.refs.push({ kind: 'ptr', id, insn: walk.insn })
  return id
}

/** Gives a reference back: everything derived from it becomes useless. False when it is not held. */
export function release(walk: Walk, refId: number): boolean {
  const { state } = walk
  const at = state.refs.findIndex((r) => r.kind === 'ptr' && r.id === refId)
  if (at < 0) return false
  state.refs = state.refs.filter((_, i) => i !== at)
  forgetReference(walk, state, refId)
  return true
}

function forgetReference(walk: Walk, state: State, refId: number): void {
  state.mapRegs((reg) => (reg.refId === refId ? unknownReg() : reg))
  for (const frame of state.frames) {
    frame.stack.forEach((slot, i) => {
      const top = slot.byte(7)
      if ((top !== Byte.DYNPTR && top !== Byte.ITER) || slot.reg?.refId !== refId) return
      walk.writesSlot(frame.index, i, true)
      frame.stack[i] = EMPTY_SLOT
    })
  }
}

/** Packet pointers are stale after a call that may move the packet. */
export function forgetPacketPointers(walk: Walk): void {
  walk.state.mapRegs((reg: Reg) =>
    reg.kind === 'pkt' || reg.kind === 'pkt_meta' || reg.kind === 'pkt_end' || isPacketSlice(reg) ? unknownReg() : reg,
  )
}

function isPacketSlice(reg: Reg): boolean {
  return reg.kind === 'mem' && (reg.dynptr?.type === 'skb' || reg.dynptr?.type === 'xdp')
}

export function clobberCallerSaved(walk: Walk): void {
  for (let i = 0; i <= 5; i++) walk.set(i, NOT_INIT)
}

/** Nothing may be held where the program (or a callback) ends, or where control leaves it. */
export function checkNoResources(walk: Walk, prefix: string): void {
  const { state } = walk
  if (state.locks > 0) invalid(`${prefix} cannot be used inside bpf_spin_lock-ed region`)
  const leaked = state.refs.filter((r) => r.kind === 'ptr')
  if (leaked.length > 0) {
    const lines = leaked.map((r) => `Unreleased reference id=${r.id} alloc_insn=${r.insn}\n`)
    invalid(`${lines.join('')}${prefix} would lead to reference leak`)
  }
  if (state.refs.some((r) => r.kind === 'irq')) invalid(`${prefix} cannot be used inside bpf_local_irq_save-ed region`)
  if (state.rcu > 0) invalid(`${prefix} cannot be used inside bpf_rcu_read_lock-ed region`)
  if (state.preempt > 0) invalid(`${prefix} cannot be used inside bpf_preempt_disable-ed region`)
}
