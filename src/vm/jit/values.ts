import { HelperId } from '../../uapi/index.ts'
import { LdImm64Pseudo, type Operation } from '../../isa/index.ts'
import { writes } from '../writes.ts'

/** What is known of a register's value at compile time. */
export type Value =
  /** A 64-bit number by its halves. */
  | { readonly kind: 'constant'; readonly low: number; readonly high: number }
  /** The address of the function that starts at a slot. */
  | { readonly kind: 'function'; readonly slot: number }
  /** r10 plus `offset`. */
  | { readonly kind: 'frame'; readonly offset: number }
  /** What bpf_map_lookup_elem gave for the map with this handle. */
  | { readonly kind: 'lookup'; readonly map: number }

const FRAME: Value = { kind: 'frame', offset: 0 }

/** Follows constants and frame pointers through one basic block. */
export class BlockValues {
  readonly #values: (Value | null)[] = Array<Value | null>(10).fill(null)

  /** Sets what is known of r0 to r9: nothing when null. */
  reset(known: readonly (Value | null)[] | null): void {
    for (let r = 0; r < 10; r++) this.#values[r] = known?.[r] ?? null
  }

  /** What is known of r0 to r9. */
  snapshot(): readonly (Value | null)[] {
    return [...this.#values]
  }

  get(register: number): Value | null {
    return register === 10 ? FRAME : (this.#values[register] ?? null)
  }

  /** The address in a register, when it is a constant of 32 bits. */
  constantAddress(register: number): number | null {
    const value = this.get(register)
    return value?.kind === 'constant' && value.high === 0 ? value.low >>> 0 : null
  }

  /** Takes in the effect of the block's instruction at slot `at`. */
  step(op: Operation, at: number): void {
    const result = this.#result(op, at)
    const written = writes(op)
    // What is known is what an instruction has for its only result.
    for (let r = 0; r < 10; r++) if (((written >> r) & 1) === 1) this.#values[r] = result
  }

  #result(op: Operation, at: number): Value | null {
    if (op.kind === 'alu') return this.#alu(op)
    if (op.kind === 'loadImm64') {
      if (op.pseudo === LdImm64Pseudo.FUNC) return { kind: 'function', slot: at + 1 + op.low }
      return { kind: 'constant', low: op.low, high: op.high }
    }
    return op.kind === 'call' && op.call === 'helper' && op.imm === HelperId.map_lookup_elem ? this.#lookup() : null
  }

  #lookup(): Value | null {
    const map = this.constantAddress(1)
    return map === null ? null : { kind: 'lookup', map }
  }

  #alu(op: Extract<Operation, { kind: 'alu' }>): Value | null {
    if (op.op === 'mov' && op.wide) {
      return op.src === null ? { kind: 'constant', low: op.imm, high: op.imm >> 31 } : this.get(op.src)
    }
    if (op.op === 'mov' && op.src === null) return { kind: 'constant', low: op.imm, high: 0 }
    if (op.op !== 'add' || !op.wide || op.src !== null) return null
    const value = this.get(op.dst)
    if (value === null || value.kind === 'function' || value.kind === 'lookup') return null
    if (value.kind === 'frame') return { kind: 'frame', offset: value.offset + op.imm }
    const low = (value.low >>> 0) + op.imm
    return value.high === 0 && low >= 0 && low <= 0xffffffff ? { kind: 'constant', low: low | 0, high: 0 } : null
  }
}
