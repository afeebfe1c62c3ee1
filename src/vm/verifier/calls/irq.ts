import { isConst, valueOf } from '../domain/bounds.ts'
import { access } from '../memory/access.ts'
import { frameOf } from '../memory/stack.ts'
import { deny, invalid, Reject } from '../reject.ts'
import { Reg } from '../state/register.ts'
import { Byte, EMPTY_SLOT, fill, Slot } from '../state/slot.ts'
import type { Walk } from '../walk.ts'

/** Slot of the saved flags that a pointer into the stack points to; see iterPlace() for `isNew`. */
function slotOf(reg: Reg, isNew: boolean): number {
  if (!isConst(reg.value)) invalid('irq_flag has to be at a constant offset')
  const off = reg.off + valueOf(reg.value)
  if (isNew && off === 0) return 0
  if (off % 8 !== 0 || off >= 0) invalid(`cannot pass in irq_flag at an offset=${off}`)
  return (-off - 1) >> 3
}

/** Disables interrupts: the slot holds the flags until they are restored. */
export function saveIrq(walk: Walk, regno: number, byLock: boolean): void {
  const reg = walk.reg(regno)
  const frame = frameOf(walk, reg)
  let slot: number
  try {
    slot = slotOf(reg, true)
  } catch (error) {
    if (error instanceof Reject) return invalid(`expected uninitialized irq flag as arg#${regno - 1}`)
    throw error
  }
  const { bytes } = frame.slot(slot)
  if (hasFlags(bytes)) invalid(`expected uninitialized irq flag as arg#${regno - 1}`)
  access(walk, { regno, off: 0, size: 8, write: true, signed: false, source: -2, imm: 0 })
  const id = walk.newId()
  walk.state.refs.push({ kind: 'irq', id, insn: walk.insn })
  walk.state.irqId = id
  const state = new Reg()
  state.kind = 'fp'
  state.refId = id
  state.irqByLock = byLock
  frame.stack[slot] = new Slot(fill(Byte.IRQ), state)
}

function hasFlags(bytes: number): boolean {
  for (let i = 0; i < 8; i++) if (((bytes >>> (4 * i)) & 15) === Byte.IRQ) return true
  return false
}

/** Restores interrupts, in the opposite order of saving. */
export function restoreIrq(walk: Walk, regno: number, byLock: boolean): void {
  const reg = walk.reg(regno)
  const { state } = walk
  const frame = frameOf(walk, reg)
  let slot = -1
  try {
    slot = slotOf(reg, false)
  } catch (error) {
    if (!(error instanceof Reject)) throw error
  }
  const saved = slot < 0 ? null : frame.slot(slot)
  if (saved === null || saved.reg === null || saved.bytes !== fill(Byte.IRQ)) {
    return invalid(`expected an initialized irq flag as arg#${regno - 1}`)
  }
  walk.readsSlot(frame.index, slot)
  if (saved.reg.irqByLock !== byLock) {
    const [by, used] = byLock ? ['native', 'lock'] : ['lock', 'native']
    invalid(`irq flag acquired by ${by} kfuncs cannot be restored with ${used} kfuncs`)
  }
  const id = saved.reg.refId
  if (id !== state.irqId) {
    const last = state.refs.find((r) => r.id === state.irqId)
    deny(`cannot restore irq state out of order, expected id=${state.irqId} acquired at insn_idx=${last?.insn ?? 0}`)
  }
  const at = state.refs.findIndex((r) => r.kind === 'irq' && r.id === id)
  state.irqId = state.refs.slice(0, at).findLast((r) => r.kind === 'irq')?.id ?? 0
  state.refs = state.refs.filter((_, i) => i !== at)
  walk.writesSlot(frame.index, slot, true)
  frame.stack[slot] = EMPTY_SLOT
}
