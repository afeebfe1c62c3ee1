import type { Access } from './places.ts'

/** r0 to r9. */
export const REGISTERS = 10

/** Numbers further away from an address than this are not followed. */
const FAR = 1 << 20

/**
 * Registers at one point: which values are equal but for an offset, and how much memory around them was accessed.
 * Memory is one piece that only grows, so all between two good accesses is good.
 */
export class Registers {
  readonly id: Int32Array
  readonly offset: Int32Array
  /** Good addresses counted from the register, none when `high` is not above `low`. */
  readonly low: Int32Array
  readonly high: Int32Array

  constructor() {
    this.id = new Int32Array(REGISTERS)
    this.offset = new Int32Array(REGISTERS)
    this.low = new Int32Array(REGISTERS)
    this.high = new Int32Array(REGISTERS)
  }

  set(register: number, id: number): void {
    this.id[register] = id
    this.offset[register] = 0
    this.low[register] = 0
    this.high[register] = 0
  }

  copy(to: number, from: number): void {
    for (const column of [this.id, this.offset, this.low, this.high]) column[to] = column[from] as number
  }

  /** False when the sum is too far away. */
  add(register: number, by: number): boolean {
    const offset = (this.offset[register] as number) + by
    if (Math.abs(offset) > FAR) return false
    this.offset[register] = offset
    this.low[register] = (this.low[register] as number) - by
    this.high[register] = (this.high[register] as number) - by
    return true
  }

  covers({ register, off, size }: Access): boolean {
    return off >= (this.low[register] as number) && off + size <= (this.high[register] as number)
  }

  /** Takes in that an access was good, for all registers with that address. */
  accessed({ register, off, size }: Access): void {
    const id = this.id[register] as number
    for (let r = 0; r < REGISTERS; r++) {
      if (this.id[r] !== id) continue
      const start = off + (this.offset[register] as number) - (this.offset[r] as number)
      const low = this.low[r] as number
      const high = this.high[r] as number
      this.low[r] = high > low ? Math.min(low, start) : start
      this.high[r] = high > low ? Math.max(high, start + size) : start + size
    }
  }

  assign(from: Registers): void {
    this.id.set(from.id)
    this.offset.set(from.offset)
    this.low.set(from.low)
    this.high.set(from.high)
  }
}
