import type { Btf } from '../../btf/index.ts'
import type { Operation } from '../../isa/index.ts'
import type { MapFacts } from './facts/maps.ts'
import type { Trace } from './log/trace.ts'
import type { StateView } from './log/view.ts'
import type { StackLiveness } from './liveness.ts'
import { Loops } from './loops.ts'
import type { Effects } from './program/effects.ts'
import type { Flow } from './program/flow.ts'
import type { Operations, Subprogram } from './program/layout.ts'
import type { AttachTarget } from './program/target.ts'
import type { AluLimit } from './privilege.ts'
import { Reject, type RejectErrno } from './reject.ts'
import { Strict } from './state/equal.ts'
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
  /** Type whose rules hold: of an extension, that of the program it extends. */
  readonly type: number
  readonly attachType: number
  readonly attachTarget: string | null
  /** Function that the program is attached to, for types whose context is its arguments. */
  readonly target: AttachTarget | null
  /** The program replaces a function of another program, with that function's arguments. */
  readonly isExtension: boolean
  /** Others attach to the program, so that it matters whether its functions' BTF is true. */
  readonly isTarget: boolean
  /** Loaded with CAP_BPF: numbers are kept on the stack, and matter only where something depends on them. */
  readonly bpf: boolean
  /** Loaded with CAP_PERFMON: may see addresses, read uninitialised stack, and what the processor runs ahead of. */
  readonly perfmon: boolean
  readonly sleepable: boolean
  readonly gpl: boolean
  readonly ops: Operations
  readonly subprograms: readonly Subprogram[]
  readonly flow: Flow
  /** Slots that each slot leads to within its function. */
  readonly successors: readonly (readonly number[])[]
  readonly live: Uint16Array
  readonly immediates: ReadonlyMap<number, ImmediateTarget>
  /** Why the kernel refuses instructions with fields that must not be set, where the walk comes to them. */
  readonly malformed: ReadonlyMap<number, string>
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
  readonly effects: Effects
  /** Processors that the machine may have. */
  readonly cpus: number
  /** Helpers that the kernel's configuration does not offer. */
  readonly missingHelpers: ReadonlySet<number>
}

interface Pending {
  readonly state: State
  readonly insn: number
  readonly prev: number
  /** Length of the log when the branch was left. */
  readonly logEnd: number
}

/** A checkpoint with its record of usefulness. */
export interface Explored {
  readonly state: State
  hits: number
  misses: number
}

/** The walk over all paths of a program: the current state, what is pending, what was explored. */
export class Walk {
  readonly facts: ProgramFacts
  readonly trace: Trace | null
  readonly onInstruction: ((state: StateView) => void) | null
  readonly liveness: StackLiveness
  readonly loops: Loops
  state: State
  insn = 0
  prevInsn = -1
  readonly ids: IdMap = new IdMap(0)
  /** Kinds of pointers that each load or store used: one instruction serves one kind that is rewritten. */
  readonly accessKinds: Map<number, string> = new Map()
  /** Calls of bpf_loop: the callback when the loop is compiled in line, otherwise -1. */
  readonly loopCalls: Map<number, number> = new Map()
  /** References that come with arguments of a struct_ops function, by the argument's number. */
  readonly argumentRefs: Map<number, number> = new Map()
  /** Kinds of accesses by slot (see accesses.ts), when they are wanted. */
  accesses: Uint8Array | null = null
  /** How instructions limit the offsets of pointers, without CAP_PERFMON. */
  readonly aluLimits: Map<number, AluLimit> = new Map()
  /**
   * Where a processor is kept from running ahead, without CAP_PERFMON: instructions that it may not run ahead to, and
   * stores whose result it could miss.
   */
  readonly barriers: Readonly<Record<'before' | 'after', Set<number>>> = { before: new Set(), after: new Set() }
  /** What more than usual must be the same in states, as bits of {@link Strict}. */
  strict: number
  /** The map that each tail call used so far, without CAP_PERFMON. */
  readonly tailCallMaps: Map<number, MapFacts> = new Map()
  /** Global functions that were called, to be walked on their own. */
  readonly called: Set<number> = new Set()
  insnsProcessed = 0
  jumpsProcessed = 0
  insnsAtState = 0
  jumpsAtState = 0
  totalStates = 0
  peakStates = 0
  maxStatesPerInsn = 0
  /** Calls of no function that the walk came to: the kernel takes only those that can never run. */
  readonly unresolvedCalls: Set<number> = new Set()
  asyncCount = 0
  /** Checkpoints that new states are compared with, and those that only wait for their paths to end. */
  exploredCount = 0
  evictedCount = 0
  #explored: (Explored[] | undefined)[] = []
  #history: HistoryEntry | null = null
  #id = 0
  #pending: Pending[] = []

  constructor(
    facts: ProgramFacts,
    state: State,
    liveness: StackLiveness,
    trace: Trace | null,
    onInstruction: ((state: StateView) => void) | undefined,
  ) {
    this.facts = facts
    this.strict = (facts.perfmon ? 0 : Strict.STACK) | (facts.bpf ? 0 : Strict.PRECISE)
    this.state = state
    this.liveness = liveness
    this.trace = trace
    this.onInstruction = onInstruction ?? null
    this.loops = new Loops(facts.flow.scc, trace)
  }

  /** Goes on with another function; counters and identities go on. */
  restart(state: State, insn: number): void {
    this.state = state
    this.insn = insn
    this.prevInsn = -1
    this.#pending = []
    this.#explored = []
    this.loops.clear()
  }

  /** Checkpoints near a slot: as in the kernel, slots share lists by a hash that includes the innermost call. */
  exploredAt(insn: number): Explored[] {
    const n = this.facts.ops.length
    return (this.#explored[((insn ^ this.state.frame.callsite) >>> 0) % n] ??= [])
  }

  /** Whether an instruction was executed on any path. */
  seen(at: number): boolean {
    return this.liveness.seen(at)
  }

  inlineLoop(at: number): boolean {
    return (this.loopCalls.get(at) ?? -1) >= 0
  }

  countPeak(): void {
    this.peakStates = Math.max(this.peakStates, this.exploredCount + this.evictedCount + this.loops.count)
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

  /**
   * Copies the current state to be continued at `insn` later.
   * @param errno what the kernel gives where too many wait
   */
  push(insn: number, prev: number, errno: RejectErrno = 'EFAULT', copy: State = this.state.copy()): State {
    copy.branches = 1
    this.#pending.push({ state: copy, insn, prev, logEnd: this.trace?.log.end ?? 0 })
    if (this.#pending.length > MAX_PENDING) {
      throw new Reject(errno, `The sequence of ${this.#pending.length} jumps is too complex.`)
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
    if (this.trace !== null && !this.trace.log.all) this.trace.log.reset(next.logEnd)
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
    const entry: HistoryEntry = { insn: this.insn, prev: this.prevInsn, slot, frame, stackPointers: 0, linked }
    this.state.history.push(entry)
    this.#history = entry
  }

  /** Records which operands of the current branch point to the stack. */
  recordStackPointers(bits: number): void {
    this.record()
    if (this.#history !== null) this.#history.stackPointers = bits
  }

  reg(i: number): Reg {
    return this.state.reg(i)
  }

  /** The instruction may read a slot of the stack. */
  readsSlot(frame: number, slot: number): void {
    this.liveness.read(this.state, frame, slot)
  }

  /** The instruction changes a slot of the stack; `whole` when nothing of what was there can be read afterwards. */
  writesSlot(frame: number, slot: number, whole: boolean): void {
    this.trace?.touchSlot(slot)
    if (whole) this.liveness.write(frame, slot)
  }

  /** A line of the log that comes before the message of a refusal, or stands alone. */
  say(line: string): void {
    if (this.trace !== null) this.trace.log.write(`${line}\n`)
  }

  set(i: number, reg: Reg): void {
    this.state.set(i, reg)
  }
}
