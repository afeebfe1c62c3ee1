import { isConst, smaxBig, sminBig, umaxBig, uminBig } from '../domain/bounds.ts'
import { bigU } from '../domain/int64.ts'
import { type Reg, regName } from '../state/register.ts'
import { Byte, type Slot } from '../state/slot.ts'
import type { Frame, State } from '../state/state.ts'
import { registerText, type TypeNames } from './register.ts'

/** What is known of a number: bounds, and the bits that every value has or may have. */
export interface RangeView {
  readonly smin: bigint
  readonly smax: bigint
  readonly umin: bigint
  readonly umax: bigint
  /** Bits known to be set. */
  readonly bits: bigint
  /** Bits that are not known. */
  readonly unknown: bigint
}

/** What a register or a spilled register holds. */
export interface RegisterView {
  /** `scalar`, `map_value_or_null`, `trusted_ptr_`: the kernel's word for it. */
  readonly kind: string
  /** As the kernel's log has it: `scalar(id=1,umin=1)`. */
  readonly text: string
  /** Identity shared by copies, 0 for none. */
  readonly id: number
  /** Reference that must be released, 0 for none. */
  readonly reference: number
  /** Known part of a pointer's offset in bytes. */
  readonly offset: number
  /** A number, or the unknown part of a pointer's offset; its exact value when there is only one. */
  readonly range: RangeView
  readonly value: bigint | null
  /** The verdict depends on the exact range. */
  readonly precise: boolean
  /** Map that it points to or is. */
  readonly map: string | null
}

/** Eight bytes of a frame's stack. */
export interface SlotView {
  /** Offset of the lowest byte from the frame pointer, a multiple of 8 below 0. */
  readonly offset: number
  /** What each byte is, from the highest address down. */
  readonly bytes: readonly ('invalid' | 'spill' | 'misc' | 'zero' | 'dynptr' | 'iterator' | 'irq')[]
  /** The spilled register, null when there is none. */
  readonly register: RegisterView | null
}

export interface FrameView {
  /** Index of the function in the program. */
  readonly subprogram: number
  /** Slot of the call, -1 in the outermost frame. */
  readonly callsite: number
  /** r0 to r10, null for those that must not be read. */
  readonly registers: readonly (RegisterView | null)[]
  /** Slots that were written, from the frame pointer down. */
  readonly stack: readonly SlotView[]
}

/** What the verifier knows before an instruction, on one path. */
export interface StateView {
  /** Slot of the instruction. */
  readonly insn: number
  /** Slot of the instruction before it on this path, -1 where a function is entered from outside. */
  readonly previous: number
  /** Outermost frame first. */
  readonly frames: readonly FrameView[]
  /** References, locks and saved flags that must be given back. */
  readonly references: readonly { readonly kind: string; readonly id: number; readonly insn: number }[]
}

const BYTES = ['invalid', 'spill', 'misc', 'zero', 'dynptr', 'iterator', 'irq'] as const

/** The state as data. */
export function viewState(state: State, insn: number, previous: number, names: TypeNames): StateView {
  return {
    insn,
    previous,
    frames: state.frames.map((frame) => viewFrame(frame, names)),
    references: state.refs.map(({ kind, id, insn: at }) => ({ kind, id, insn: at })),
  }
}

function viewFrame(frame: Frame, names: TypeNames): FrameView {
  const stack: SlotView[] = []
  frame.stack.forEach((slot, i) => {
    if (slot.bytes !== 0) stack.push(viewSlot(slot, -(i + 1) * 8, frame.index, names))
  })
  const registers = frame.regs.map((reg) => (reg.kind === '?' ? null : viewRegister(reg, frame.index, names)))
  return { subprogram: frame.subprog, callsite: frame.callsite, registers, stack }
}

function viewSlot(slot: Slot, offset: number, frame: number, names: TypeNames): SlotView {
  const bytes = Array.from({ length: 8 }, (_, i) => BYTES[slot.byte(i)] ?? 'invalid')
  const isRegister = slot.byte(7) === Byte.SPILL && slot.reg !== null
  return { offset, bytes, register: isRegister ? viewRegister(slot.reg, frame, names) : null }
}

function viewRegister(reg: Reg, frame: number, names: TypeNames): RegisterView {
  const { value } = reg
  const bits = bigU(value.vh, value.vl)
  return {
    kind: regName(reg),
    text: registerText(reg, frame, names),
    id: reg.id,
    reference: reg.refId,
    offset: reg.kind === 'scalar' ? 0 : reg.off,
    range: {
      smin: sminBig(value),
      smax: smaxBig(value),
      umin: uminBig(value),
      umax: umaxBig(value),
      bits,
      unknown: bigU(value.mh, value.ml),
    },
    value: isConst(value) ? bits : null,
    precise: reg.precise,
    map: reg.map?.name ?? null,
  }
}
