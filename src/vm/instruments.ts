import type { Instrument, InstructionStep } from '../loader/index.ts'
import { chargesOf, hitsOf, probePlaces, type FlowCode, type Instrumentation, type Probes } from './instrument.ts'
import type { LinearMemory } from './runtime/memory.ts'

/** Instructions that a trace keeps: the last ones. */
const TRACE_LENGTH = 65_536
const REGISTERS = 11

/** The instruments of one loaded program, and what they have shown. */
export class ProgramInstruments {
  readonly instrumentation: Instrumentation
  readonly #memory: LinearMemory
  readonly #program: FlowCode
  readonly #probes: Probes | null = null
  readonly #size: number = 0
  /** A ring of instruction numbers and registers. */
  readonly #at: Int32Array
  readonly #registers: Int32Array
  #recorded = 0

  constructor(instrument: Instrument, memory: LinearMemory, program: FlowCode) {
    this.#memory = memory
    this.#program = program
    if (instrument === 'coverage' || instrument === 'count') {
      const places = probePlaces(program)
      this.#size = instrument === 'count' ? places.count * 8 : places.count
      this.#probes = {
        kind: instrument === 'count' ? 'counter' : 'flag',
        address: memory.allocate(this.#size),
        ...places,
      }
    }
    const traces = instrument === 'trace'
    this.#at = new Int32Array(traces ? TRACE_LENGTH : 0)
    this.#registers = new Int32Array(traces ? TRACE_LENGTH * REGISTERS * 2 : 0)
    this.instrumentation = {
      probes: this.#probes,
      charges: instrument === 'fuel' ? chargesOf(program) : null,
      recorder: traces ? (insn, low, high) => this.#record(insn, low, high) : null,
    }
  }

  /** By slot, how often instructions ran (0 or 1 when they are flags); null when that was not asked for. */
  hits(): Float64Array | null {
    const probes = this.#probes
    if (probes === null) return null
    const { view, u8 } = this.#memory
    const read = (probe: number): number =>
      probes.kind === 'flag'
        ? (u8[probes.address + probe] as number)
        : Number(view.getBigUint64(probes.address + probe * 8, true))
    return hitsOf(this.#program, probes, read)
  }

  steps(): InstructionStep[] {
    const count = Math.min(this.#recorded, TRACE_LENGTH)
    return Array.from({ length: count }, (_, i) => this.#step((this.#recorded - count + i) % TRACE_LENGTH))
  }

  /** Forgets what was seen. */
  reset(): void {
    if (this.#probes !== null) this.#memory.fill(this.#probes.address, 0, this.#size)
    this.#recorded = 0
  }

  release(): void {
    if (this.#probes !== null) this.#memory.free(this.#probes.address, this.#size)
  }

  #record(insn: number, low: Int32Array, high: Int32Array): void {
    const at = this.#recorded++ % TRACE_LENGTH
    this.#at[at] = insn
    for (let r = 0; r < REGISTERS; r++) {
      this.#registers[(at * REGISTERS + r) * 2] = low[r] as number
      this.#registers[(at * REGISTERS + r) * 2 + 1] = high[r] as number
    }
  }

  #step(at: number): InstructionStep {
    const words = this.#registers.slice(at * REGISTERS * 2, (at + 1) * REGISTERS * 2)
    return { insn: this.#at[at] as number, registers: new BigUint64Array(words.buffer) }
  }
}
