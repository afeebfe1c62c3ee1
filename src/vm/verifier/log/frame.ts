import type { Reg } from '../state/register.ts'
import { Byte, type Slot } from '../state/slot.ts'
import type { Frame, State } from '../state/state.ts'
import { registerText, type TypeNames } from './register.ts'

const LETTERS = '?rm0dif'

/** Registers and slots to print, as bit sets. */
export interface Selection {
  readonly regs: number
  readonly low: number
  readonly high: number
}

export const EVERYTHING: Selection = { regs: -1, low: -1, high: -1 }

function wants(selection: Selection, slot: number): boolean {
  return ((slot < 32 ? selection.low : selection.high) & (1 << (slot & 31))) !== 0
}

/** Letters of a slot's bytes, the one at the highest address first. */
function byteLetters(slot: Slot): string {
  let text = ''
  for (let i = 0; i < 8; i++) text += LETTERS[slot.byte(i)]
  return text
}

/** ` frame1: R0=... R10=fp0 fp-8=... refs=1`: one frame of a state, all of it or what a selection names. */
export function frameText(state: State, index: number, names: TypeNames, selection: Selection = EVERYTHING): string {
  const frame = state.frames[index] as Frame
  let text = index === 0 ? '' : ` frame${index}:`
  for (let i = 0; i < 11; i++) {
    const reg = frame.regs[i] as Reg
    if (reg.kind === '?' || (selection.regs & (1 << i)) === 0) continue
    text += ` R${i}=${registerText(reg, index, names)}`
  }
  for (let i = 0; i < frame.stack.length; i++) {
    if (!wants(selection, i)) continue
    const slot = frame.stack[i] as Slot
    if (slot.bytes === 0) continue
    const top = slot.byte(7)
    // A dynptr is shown at its first slot, the lower address.
    if (top === Byte.DYNPTR) i++
    text += slotText(frame.stack[i] ?? slot, i, index, names)
  }
  const ids = state.refs.map((r) => r.id).filter((id, i) => id !== 0 || i === 0)
  if (ids.length > 0 && ids[0] !== 0) text += ` refs=${ids.join(',')}`
  if (frame.inCallback) text += ' cb'
  if (frame.inAsync) text += ' async_cb'
  return text
}

function slotText(slot: Slot, i: number, frame: number, names: TypeNames): string {
  const place = ` fp${-(i + 1) * 8}=`
  const { reg } = slot
  switch (slot.byte(7)) {
    case Byte.SPILL: {
      const letters = byteLetters(slot)
      return place + letters.slice(0, letters.indexOf('r')) + (reg === null ? '' : registerText(reg, frame, names))
    }
    case Byte.DYNPTR: {
      const parts: string[] = []
      const { dynptr } = reg as Reg
      if (dynptr !== null && dynptr.id !== 0) parts.push(`id=${dynptr.id}`)
      if ((reg as Reg).refId !== 0) parts.push(`ref_id=${(reg as Reg).refId}`)
      // The kernel prints a field that it shares with the mark of the first slot.
      if (dynptr?.first === true) parts.push('dynptr_id=1')
      return `${place}dynptr_${dynptr?.type ?? '<invalid>'}(${parts.join(',')})`
    }
    case Byte.ITER: {
      const iter = reg?.iter
      if (reg === null || iter === null || iter === undefined || reg.refId === 0) return ''
      return `${place}iter_${iter.type}(ref_id=${reg.refId},state=${iter.state},depth=${iter.depth})`
    }
    default:
      return place + byteLetters(slot)
  }
}
