import type { Btf } from '../../btf/index.ts'
import type { Operation } from '../../isa/index.ts'
import type { MapFacts } from './facts/maps.ts'
import type { Flow } from './program/flow.ts'
import type { Operations, Subprogram } from './program/layout.ts'
import { Reject } from './reject.ts'
import { IdMap } from './state/ids.ts'
import type { Reg } from './state/register.ts'
import type { HistoryEntry, LinkedReg, State } from './state/state.ts'

/** Instructions that one verification may process. */
export const MAX_PROCESSED = 1_000_000
/** Branches that may wait to be explored. */
const MAX_PENDING = 8192

/** What a ld_imm64 stands for. */
export type ImmediateTarget =
  | { readonly kind: 'map'; readonly map: MapFacts }
  | { readonly kind: 'mapValue'; readonly map: MapFacts; readonly offset: number }
  | { readonly kind: 'ksymBtf'; readonly btfId: number; readonly name: string }
  | { readonly kind: 'ksymAddress'; readonly name: string }

/** Facts of the program under verification that do not change during the walk. */
export interface ProgramFacts {
  readonly type: number
  readonly attachType: number
  readonly attachTarget: string | null
  readonly sleepable: boolean
  readonly gpl: boolean
  readonly ops: Operations
  readonly subprograms: readonly Subprogram[]
  readonly flow: Flow
  readonly live: Uint16Array
  readonly immediates: ReadonlyMap<number, ImmediateTarget>
  /** Kernel functions called, by slot. */
  readonly kfuncs: ReadonlyMap<number, { readonly name: string; readonly btfId: number }>
  readonly btf: Btf | null
  readonly kernelBtf: Btf | null
  /** Loads and stores must be naturally aligned whatever the machine does (BPF_F_STRICT_ALIGNMENT). */
  readonly strictAlignment: boolean
  /** Keep a state at every occasion (BPF_F_TEST_STATE_FREQ). */
  readonly testStateFreq: boolean
  /** Refuse instead of forgetting when bounds contradict (BPF_F_TEST_REG_INVARIANTS). */
  readonly testRegInvariants: boolean
  /** Functions that may move the packet. */
  readonly packetChangers: ReadonlySet<number>
  /** Processors that the machine may have. */
  readonly cpus: number
  /** Helpers that the kernel's configuration does not offer. */
  readonly missingHelpers: ReadonlySet<number>
}

interface Pending {
  readonly state: State
  readonly insn: number
  readonly prev: number
}

/** A checkpoint with its record of usefulness. */
export interface Explored {
  readonly state: State
  hits: number
  misses: number
}

/** The walk over all paths of one function: the current state, what is pending, what was explored. */
export class Walk {
  readonly facts: ProgramFacts
  state: State
  insn = 0
  prevInsn = -1
  readonly explored: Map<number, Explored[]> = new Map()
  readonly ids: IdMap = new IdMap(0)
  /** Components with a loop that was closed by convergence; states in them are compared by range. */
  readonly convergent: Set<number> = new Set()
  /** Kinds of pointers that each load or store used: one instruction serves one kind that is rewritten. */
  readonly accessKinds: Map<number, string> = new Map()
  /** Maps that a call site used, to tell sites that always use the same one. */
  insnsProcessed = 0
  jumpsProcessed = 0
  insnsAtState = 0
  jumpsAtState = 0
  totalStates = 0
  peakStates = 0
  maxStatesPerInsn = 0
  asyncCount = 0
  #history: HistoryEntry | null = null
  #id = 0
  readonly #pending: Pending[] = []

  constructor(facts: ProgramFacts, state: State) {
    this.facts = facts
    this.state = state
  }

  op(at: number): Operation {
    return this.facts.ops[at] as Operation
  }

  newId(): number {
    return ++this.#id
  }

  get lastId(): number {
    return this.#id
  }

  /** Copies the current state to be continued at `insn` later. */
  push(insn: number, prev: number, copy: State = this.state.copy()): State {
    copy.branches = 1
    this.#pending.push({ state: copy, insn, prev })
    if (this.#pending.length > MAX_PENDING) {
      throw new Reject('E2BIG', `The sequence of ${this.#pending.length} jumps is too complex.`)
    }
    if (copy.parent !== null) copy.parent.branches++
    return copy
  }

  /** Goes on with the last pending state; false when there is none. */
  pop(): boolean {
    const next = this.#pending.pop()
    if (next === undefined) return false
    this.state = next.state
    this.insn = next.insn
    this.prevInsn = next.prev
    return true
  }

  /** Before each instruction. */
  begin(): void {
    this.#history = null
    if (++this.insnsProcessed > MAX_PROCESSED) {
      throw new Reject('E2BIG', `BPF program is too large. Processed ${this.insnsProcessed} insn`)
    }
  }

  /** Records how the current instruction was reached, and optionally its stack access or linked registers. */
  record(slot: number = -1, frame: number = 0, linked: readonly LinkedReg[] | null = null): void {
    if (this.#history !== null) {
      if (slot >= 0) {
        this.#history.slot = slot
        this.#history.frame = frame
      }
      if (linked !== null) this.#history.linked = linked
      return
    }
    const entry: HistoryEntry = { insn: this.insn, prev: this.prevInsn, slot, frame, linked }
    this.state.history.push(entry)
    this.#history = entry
  }

  reg(i: number): Reg {
    return this.state.reg(i)
  }

  set(i: number, reg: Reg): void {
    this.state.set(i, reg)
  }
}
