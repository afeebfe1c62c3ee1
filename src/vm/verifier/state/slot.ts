import type { Reg } from './register.ts'

/** What one byte of the stack holds. */
export const Byte = { INVALID: 0, SPILL: 1, MISC: 2, ZERO: 3, DYNPTR: 4, ITER: 5, IRQ: 6 } as const

/** Repeats a byte kind over a whole slot. */
export function fill(byte: number): number {
  return byte * 0x11111111
}

/**
 * Eight bytes of stack. `bytes` has a nibble for each, the lowest nibble for the highest address (as the kernel's
 * slot_type[0]). Never changed after it was stored.
 */
export class Slot {
  readonly bytes: number
  /** Spilled register or stack object, when the bytes say so. */
  readonly reg: Reg | null

  constructor(bytes: number, reg: Reg | null) {
    this.bytes = bytes
    this.reg = reg
  }

  byte(i: number): number {
    return (this.bytes >>> (4 * i)) & 15
  }

  /** Whether the slot begins with a spilled register (possibly of less than 8 bytes). */
  get spilled(): boolean {
    return this.bytes >>> 28 === Byte.SPILL
  }

  /** A whole 64-bit scalar. */
  get scalar64(): boolean {
    return this.bytes === fill(Byte.SPILL) && this.reg?.kind === 'scalar'
  }

  with(i: number, byte: number, reg: Reg | null = this.reg): Slot {
    return new Slot(((this.bytes & ~(15 << (4 * i))) | (byte << (4 * i))) >>> 0, reg)
  }
}

export const EMPTY_SLOT: Slot = new Slot(0, null)
export const MISC_SLOT: Slot = new Slot(fill(Byte.MISC), null)
