import { inRcuSection } from '../memory/btf.ts'
import { invalid } from '../reject.ts'
import { Flag, NOT_INIT, type Reg, unknownReg } from '../state/register.ts'
import { Byte, EMPTY_SLOT, Slot } from '../state/slot.ts'
import type { State } from '../state/state.ts'
import type { Walk } from '../walk.ts'

/** A new reference that the program must release. */
export function acquire(walk: Walk): number {
  const id = walk.newId()
  walk.state.refs.push({ kind: 'ptr', id, insn: walk.insn })
  return id
}

/** Takes a reference off the list; what was derived from it is left alone. False when it is not held. */
export function dropReference(walk: Walk, refId: number): boolean {
  const { state } = walk
  const at = state.refs.findIndex((r) => r.kind === 'ptr' && r.id === refId)
  if (at < 0) return false
  state.refs = state.refs.filter((_, i) => i !== at)
  return true
}

/** Gives a reference back: everything derived from it becomes useless. False when it is not held. */
export function release(walk: Walk, refId: number): boolean {
  if (!dropReference(walk, refId)) return false
  forgetReference(walk, walk.state, refId)
  return true
}

/** What a pointer is when it leads nowhere any more: some number, or nothing for those who may not see addresses. */
function useless(walk: Walk): Reg {
  return walk.facts.perfmon ? unknownReg() : NOT_INIT
}

function forgetReference(walk: Walk, state: State, refId: number): void {
  state.mapRegs((reg) => (reg.refId === refId ? useless(walk) : reg))
  for (const frame of state.frames) {
    frame.stack.forEach((slot, i) => {
      const top = slot.byte(7)
      if ((top !== Byte.DYNPTR && top !== Byte.ITER) || slot.reg?.refId !== refId) return
      walk.writesSlot(frame.index, i, true)
      frame.stack[i] = EMPTY_SLOT
    })
  }
}

/**
 * bpf_kptr_xchg has put a referenced pointer into memory. Per-CPU objects can still be used in an RCU section, all else
 * that was derived from the reference is useless.
 */
export function moveReference(walk: Walk, refId: number): boolean {
  if (!dropReference(walk, refId)) return false
  const rcu = inRcuSection(walk)
  const percpu = Flag.ALLOC | Flag.PERCPU
  walk.state.mapRegs((reg) => {
    if (reg.refId !== refId) return reg
    if (!rcu || (reg.flags & percpu) !== percpu) return useless(walk)
    const to = reg.clone()
    to.refId = 0
    to.flags = (reg.flags & ~Flag.ALLOC) | Flag.RCU
    return to
  })
  return true
}

/** At the end of a critical section pointers into lists and trees are useless: somebody else may remove the objects. */
export function forgetNonOwning(walk: Walk): void {
  walk.state.mapRegs((reg) => ((reg.flags & Flag.NON_OWN_REF) !== 0 && reg.kind === 'ptr_' ? useless(walk) : reg))
}

/** At the end of an RCU section: what it protected is not trusted any more, iterators over it included. */
export function forgetRcu(walk: Walk): void {
  const lose = (reg: Reg): Reg => {
    if ((reg.flags & Flag.RCU) === 0) return reg
    const to = reg.clone()
    to.flags = (reg.flags & ~(Flag.RCU | Flag.MAYBE_NULL)) | Flag.UNTRUSTED
    return to
  }
  walk.state.mapRegs(lose)
  for (const frame of walk.state.frames) {
    frame.stack.forEach((slot, i) => {
      if (slot.byte(7) === Byte.ITER && slot.reg !== null) frame.stack[i] = new Slot(slot.bytes, lose(slot.reg))
    })
  }
}

/** Packet pointers are stale after a call that may move the packet. */
export function forgetPacketPointers(walk: Walk): void {
  walk.state.mapRegs((reg: Reg) =>
    reg.kind === 'pkt' || reg.kind === 'pkt_meta' || reg.kind === 'pkt_end' || isPacketSlice(reg) ? useless(walk) : reg,
  )
}

function isPacketSlice(reg: Reg): boolean {
  const type = reg.kind === 'mem' ? reg.dynptr?.type : undefined
  return type === 'skb' || type === 'xdp' || type === 'skb_meta'
}

export function clobberCallerSaved(walk: Walk): void {
  for (let i = 0; i <= 5; i++) walk.set(i, NOT_INIT)
}

/**
 * Nothing may be held where the program (or a callback) ends, or where control leaves it, but for the reference that is
 * handed back to the caller.
 */
export function checkNoResources(
  walk: Walk,
  prefix: string,
  inFunctions: boolean = true,
  handedBack: number = 0,
): void {
  const { state } = walk
  if (state.locks > 0) invalid(`${prefix} cannot be used inside bpf_spin_lock-ed region`)
  // A function of the program may leave a reference to its caller: checked where the path ends.
  const isHere = inFunctions || state.frames.length === 1
  const leaked = isHere ? state.refs.filter((r) => r.kind === 'ptr' && r.id !== handedBack) : []
  if (leaked.length > 0) {
    const lines = leaked.map((r) => `Unreleased reference id=${r.id} alloc_insn=${r.insn}\n`)
    invalid(`${lines.join('')}${prefix} would lead to reference leak`)
  }
  if (state.irqId !== 0) invalid(`${prefix} cannot be used inside bpf_local_irq_save-ed region`)
  if (state.rcu > 0) invalid(`${prefix} cannot be used inside bpf_rcu_read_lock-ed region`)
  if (state.preempt > 0) invalid(`${prefix} cannot be used inside bpf_preempt_disable-ed region`)
}
