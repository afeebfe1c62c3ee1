import type { AccessSize, Operation } from '../../isa/index.ts'

/** Neighbouring bytes of memory that a register holds, with nothing but zeros around them. */
interface Piece {
  /** Address of the first byte: which unknown value, plus what. */
  readonly id: number
  readonly off: number
  readonly size: number
  /** Byte of the register where it begins. */
  readonly shift: number
  /** Slot of the last load of one of the bytes, and what the register of its address was off from the value. */
  readonly load: number
  readonly base: number
}

/** A wide load in place of several narrow ones. */
export interface WideLoad {
  /** Slot of the last one of the narrow loads, where the wide one is done. */
  readonly load: number
  /** Counted from that load's register. */
  readonly off: number
  readonly size: AccessSize
  /** Bytes to shift it to the left. */
  readonly shift: number
}

const REGISTERS = 10

/**
 * Follows bytes through one basic block that are loaded one by one, shifted and combined, as compilers do with packed
 * fields. Nothing is written to memory between the loads and where they are combined.
 */
export class PieceTracker {
  readonly #pieces: (Piece | null)[] = Array<Piece | null>(REGISTERS).fill(null)
  #any: boolean = false

  /** Forgets everything: at a block's start, and where memory may be written. */
  reset(): void {
    if (!this.#any) return
    this.#pieces.fill(null)
    this.#any = false
  }

  /** An unsigned load of less than 8 bytes, good for sure where it is done, at `base` + off from value `id`. */
  loaded(op: Extract<Operation, { kind: 'load' }>, at: number, id: number, base: number): void {
    this.#pieces[op.dst] = { id, off: base + op.off, size: op.size, shift: 0, load: at, base }
    this.#any = true
  }

  /** Takes in an operation that is no such load; a wide load when its result is one. */
  step(op: Operation, written: number): WideLoad | null {
    if (!this.#any) return null
    if (op.kind === 'alu' && op.dst < REGISTERS) {
      const piece = this.#alu(op)
      const combines = piece !== null && (op.op === 'or' || op.op === 'add')
      this.#pieces[op.dst] = piece
      return combines ? wideLoad(piece) : null
    }
    for (let r = 0; r < REGISTERS; r++) if (((written >> r) & 1) === 1) this.#pieces[r] = null
    return null
  }

  #alu(op: Extract<Operation, { kind: 'alu' }>): Piece | null {
    const most = op.wide ? 8 : 4
    if (op.op === 'mov') {
      const piece = op.src === null ? null : (this.#pieces[op.src] ?? null)
      return piece !== null && piece.shift + piece.size <= most ? piece : null
    }
    const piece = this.#pieces[op.dst] ?? null
    if (piece === null || piece.shift + piece.size > most) return null
    if (op.op === 'lsh' && op.src === null) {
      const shift = piece.shift + op.imm / 8
      return op.imm > 0 && op.imm % 8 === 0 && shift + piece.size <= most ? { ...piece, shift } : null
    }
    if ((op.op !== 'or' && op.op !== 'add') || op.src === null) return null
    const other = this.#pieces[op.src] ?? null
    if (other === null || other.shift + other.size > most) return null
    return piece.shift < other.shift ? join(piece, other) : join(other, piece)
  }
}

/** Two pieces of which the second one begins where the first one ends, in memory and in the register. */
function join(low: Piece, high: Piece): Piece | null {
  if (low.id !== high.id || low.shift + low.size !== high.shift || low.off + low.size !== high.off) return null
  const { load, base } = low.load > high.load ? low : high
  return { id: low.id, off: low.off, size: low.size + high.size, shift: low.shift, load, base }
}

function wideLoad({ off, size, shift, load, base }: Piece): WideLoad | null {
  return size === 2 || size === 4 || size === 8 ? { load, off: off - base, size, shift } : null
}
