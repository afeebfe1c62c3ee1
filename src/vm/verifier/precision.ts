import type { Operation } from '../../isa/index.ts'
import { HelperId } from '../../uapi/index.ts'
import { isSyncCallbackCall } from './calls/kinds.ts'
import type { Reg } from './state/register.ts'
import { Slot } from './state/slot.ts'
import { frameText } from './log/frame.ts'
import type { Trace } from './log/trace.ts'
import { slotList } from './liveness.ts'
import type { Frame, HistoryEntry, State } from './state/state.ts'
import type { Walk } from './walk.ts'

const ARGS = 0b111110
const MAX_FRAMES = 8

/** Registers and stack slots whose exact value is still to be traced back, by frame. */
class Wanted {
  frame = 0
  readonly regs: Int32Array = new Int32Array(MAX_FRAMES)
  readonly #low: Int32Array = new Int32Array(MAX_FRAMES)
  readonly #high: Int32Array = new Int32Array(MAX_FRAMES)

  /** Nothing wanted yet, tracing begins in a frame. */
  reset(frame: number): this {
    this.frame = frame
    this.regs.fill(0)
    this.#low.fill(0)
    this.#high.fill(0)
    return this
  }

  has(reg: number): boolean {
    return ((this.regs[this.frame] as number) & (1 << reg)) !== 0
  }

  add(reg: number, frame: number = this.frame): void {
    this.regs[frame] = (this.regs[frame] as number) | (1 << reg)
  }

  drop(reg: number, frame: number = this.frame): void {
    this.regs[frame] = (this.regs[frame] as number) & ~(1 << reg)
  }

  hasSlot(slot: number, frame: number): boolean {
    const half = slot < 32 ? this.#low : this.#high
    return ((half[frame] as number) & (1 << (slot & 31))) !== 0
  }

  addSlot(slot: number, frame: number): void {
    const half = slot < 32 ? this.#low : this.#high
    half[frame] = (half[frame] as number) | (1 << (slot & 31))
  }

  dropSlot(slot: number, frame: number): void {
    const half = slot < 32 ? this.#low : this.#high
    half[frame] = (half[frame] as number) & ~(1 << (slot & 31))
  }

  /** `r1,r6`: wanted registers of a frame. */
  regList(frame: number): string {
    const names: string[] = []
    for (let i = 0; i < 11; i++) if (((this.regs[frame] as number) & (1 << i)) !== 0) names.push(`r${i}`)
    return names.join(',')
  }

  /** `-8,-16`: offsets of the wanted slots of a frame. */
  slotList(frame: number): string {
    return slotList(this.#low[frame] as number, this.#high[frame] as number)
  }

  hasSlots(frame: number): boolean {
    return ((this.#low[frame] as number) | (this.#high[frame] as number)) !== 0
  }

  get empty(): boolean {
    for (let i = 0; i < MAX_FRAMES; i++) {
      if (this.regs[i] !== 0 || this.#low[i] !== 0 || this.#high[i] !== 0) return false
    }
    return true
  }
}

/** Traces do not nest, so one record serves them all. */
const shared = new Wanted()

function preciseCopy(reg: Reg): Reg {
  const to = reg.clone()
  to.precise = true
  return to
}

/** The trace when precision is to be shown. */
function traceOf(walk: Walk): Trace | null {
  return walk.trace !== null && walk.trace.log.all ? walk.trace : null
}

/** Every scalar of a state's ancestors counts: the way back got lost. */
export function allPrecise(walk: Walk, from: State): void {
  const trace = traceOf(walk)
  trace?.log.write(`mark_precise: frame${from.frames.length - 1}: falling back to forcing all scalars precise\n`)
  for (let state = from.parent; state !== null; state = state.parent) {
    for (const frame of state.frames) {
      for (let i = 0; i < 10; i++) {
        const reg = frame.regs[i] as Reg
        if (reg.kind !== 'scalar' || reg.precise) continue
        frame.regs[i] = preciseCopy(reg)
        trace?.log.write(`force_precise: frame${frame.index}: forcing r${i} to be precise\n`)
      }
      for (let i = 0; i < frame.stack.length; i++) {
        const slot = frame.stack[i] as Slot
        if (!slot.spilled || slot.reg?.kind !== 'scalar' || slot.reg.precise) continue
        frame.stack[i] = new Slot(slot.bytes, preciseCopy(slot.reg))
        trace?.log.write(`force_precise: frame${frame.index}: forcing fp${-(i + 1) * 8} to be precise\n`)
      }
    }
  }
}

/** A fresh checkpoint starts without marks: nothing that follows has depended on anything yet. */
export function allImprecise(state: State): void {
  state.mapRegs((reg) => {
    if (reg.kind !== 'scalar' || !reg.precise) return reg
    const to = reg.clone()
    to.precise = false
    return to
  })
}

/** The exact value of a register matters here: marks the values that it came from in all ancestors. */
export function markPrecise(walk: Walk, reg: number): void {
  const { state } = walk
  if (!walk.facts.bpf || state.reg(reg).kind !== 'scalar') return
  const wanted = shared.reset(state.frames.length - 1)
  wanted.add(reg)
  traceBack(walk, state, wanted)
}

/** The same for a spilled scalar of a frame. */
export function markSlotPrecise(walk: Walk, frame: number, slot: number): void {
  if (!walk.facts.bpf) return
  const { state } = walk
  const wanted = shared.reset(state.frames.length - 1)
  wanted.addSlot(slot, frame)
  traceBack(walk, state, wanted)
}

/**
 * `now` goes on as `old` did, so what mattered for the old state matters for the new one.
 * @returns whether any mark was new
 */
export function propagatePrecision(walk: Walk, old: State, now: State): boolean {
  if (!walk.facts.bpf) return false
  const trace = traceOf(walk)
  const wanted = shared.reset(now.frames.length - 1)
  for (let f = old.frames.length - 1; f >= 0; f--) {
    const frame = old.frames[f] as Frame
    let names = ''
    for (let i = 0; i < 10; i++) {
      const reg = frame.regs[i] as Reg
      if (reg.kind !== 'scalar' || !reg.precise) continue
      wanted.add(i, f)
      if (trace !== null) names += `${names === '' ? '' : ','}r${i}`
    }
    for (let i = 0; i < frame.stack.length; i++) {
      const slot = frame.stack[i] as Slot
      if (!slot.spilled || slot.reg?.kind !== 'scalar' || !slot.reg.precise) continue
      wanted.addSlot(i, f)
      if (trace !== null) names += `${names === '' ? '' : ','}fp${-(i + 1) * 8}`
    }
    if (names !== '') trace?.log.write(`frame ${f}: propagating ${names}\n`)
  }
  return !wanted.empty && traceBack(walk, now, wanted)
}

/** Goes the recorded way back from a state until all that is wanted was found; whether any mark was new. */
function traceBack(walk: Walk, from: State, wanted: Wanted): boolean {
  const trace = traceOf(walk)
  let changed = false
  let state: State = from
  let first = from.firstInsn
  let last = from.insn
  let following = -1
  let skip = true
  for (;;) {
    let left = state.history.length
    trace?.log.write(
      `mark_precise: frame${wanted.frame}: last_idx ${last} first_idx ${first} subseq_idx ${following} \n`,
    )
    if (last < 0) {
      // Entry of a global function: its arguments are what the values came from.
      if (state.frames.length === 1 && ((wanted.regs[0] as number) & ~ARGS) === 0 && !wanted.hasSlots(0)) {
        return markIn(state, wanted) || changed
      }
      return lost(walk, from, changed)
    }
    for (let at = last; ;) {
      const entry = left > 0 ? (state.history[left - 1] as HistoryEntry) : null
      const here = entry !== null && entry.insn === at ? entry : null
      if (skip) skip = false
      else if (!stepBack(walk, at, following, here, wanted)) return lost(walk, from, changed)
      if (wanted.empty) return changed
      following = at
      if (at === state.firstInsn && (left === 0 || (left === 1 && (state.history[0] as HistoryEntry).insn === at)))
        break
      if (here !== null) {
        at = here.prev
        left--
      } else at--
      if (at < 0 || at >= walk.facts.ops.length) return lost(walk, from, changed)
    }
    const { parent } = state
    if (parent === null) return lost(walk, from, changed)
    state = parent
    changed = markIn(state, wanted) || changed
    if (trace !== null) {
      for (let f = wanted.frame; f >= 0; f--) {
        const what = `regs=${wanted.regList(f)} stack=${wanted.slotList(f)}`
        trace.log.write(`mark_precise: frame${f}: parent state ${what}: ${frameText(state, f, trace.names)}\n`)
      }
    }
    if (wanted.empty) return changed
    following = first
    first = state.firstInsn
    last = state.lastInsn
  }
}

function lost(walk: Walk, from: State, changed: boolean): boolean {
  allPrecise(walk, from)
  return changed
}

/**
 * Marks in a checkpoint what is wanted; what was marked before, or is no scalar, needs no more tracing.
 * @returns whether any mark was new
 */
function markIn(state: State, wanted: Wanted): boolean {
  let changed = false
  for (let f = 0; f <= wanted.frame; f++) {
    const frame = state.frames[f]
    for (let i = 0; i < 10; i++) {
      if (((wanted.regs[f] as number) & (1 << i)) === 0) continue
      const reg = frame?.regs[i]
      if (reg === undefined || reg.kind !== 'scalar' || reg.precise) wanted.drop(i, f)
      else {
        ;(frame as Frame).regs[i] = preciseCopy(reg)
        changed = true
      }
    }
    if (!wanted.hasSlots(f)) continue
    for (let i = 0; i < 64; i++) {
      if (!wanted.hasSlot(i, f)) continue
      const slot = frame?.stack[i]
      if (slot === undefined || !slot.spilled || slot.reg === null || slot.reg.kind !== 'scalar' || slot.reg.precise) {
        wanted.dropSlot(i, f)
      } else {
        ;(frame as Frame).stack[i] = new Slot(slot.bytes, preciseCopy(slot.reg))
        changed = true
      }
    }
  }
  return changed
}

function followLinks(entry: HistoryEntry | null, wanted: Wanted): void {
  const linked = entry?.linked
  if (linked === null || linked === undefined) return
  const any = linked.some((l) =>
    l.reg >= 0 ? ((wanted.regs[l.frame] as number) & (1 << l.reg)) !== 0 : wanted.hasSlot(l.slot, l.frame),
  )
  if (!any) return
  for (const l of linked) {
    if (l.reg >= 0) wanted.add(l.reg, l.frame)
    else wanted.addSlot(l.slot, l.frame)
  }
}

/** Undoes one instruction: what must be known before it, given what must be known after. False: cannot tell. */
function stepBack(walk: Walk, at: number, following: number, entry: HistoryEntry | null, wanted: Wanted): boolean {
  const op = walk.facts.ops[at]
  if (op === null || op === undefined) return true
  traceOf(walk)?.log.write(
    `mark_precise: frame${wanted.frame}: regs=${wanted.regList(wanted.frame)} ` +
      `stack=${wanted.slotList(wanted.frame)} before ${at}: ${walk.trace?.insnText(at)}\n`,
  )
  followLinks(entry, wanted)
  const done = undo(walk, op, at, following, entry, wanted)
  followLinks(entry, wanted)
  return done
}

function undo(
  walk: Walk,
  op: Operation,
  at: number,
  following: number,
  entry: HistoryEntry | null,
  wanted: Wanted,
): boolean {
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- all others are treated alike below
  switch (op.kind) {
    case 'alu':
      if (!wanted.has(op.dst) || op.op === 'neg') return true
      if (op.op === 'mov' || op.op.startsWith('movsx')) wanted.drop(op.dst)
      if (op.src !== null && op.src !== 10) wanted.add(op.src)
      return true
    case 'addrSpaceCast':
      if (!wanted.has(op.dst)) return true
      wanted.drop(op.dst)
      wanted.add(op.src)
      return true
    case 'load':
    case 'loadAcquire':
      if (!wanted.has(op.dst)) return true
      wanted.drop(op.dst)
      if (entry !== null && entry.slot >= 0) wanted.addSlot(entry.slot, entry.frame)
      return true
    case 'atomic':
    case 'store':
    case 'storeRelease':
      return undoStore(op.dst, op.src, entry, wanted)
    case 'loadImm64':
      wanted.drop(op.dst)
      return true
    case 'loadAbs':
    case 'loadInd':
      return !wanted.has(0) && (following === at + 1 || enterCallee(wanted))
    case 'branch':
      if (op.src !== null && (wanted.has(op.dst) || wanted.has(op.src))) {
        // Pointers to the stack are compared as well, but they have no bounds to be exact.
        const pointers = entry?.stackPointers ?? 0
        if ((pointers & 1) === 0) wanted.add(op.src)
        if ((pointers & 2) === 0) wanted.add(op.dst)
      }
      return true
    case 'call':
      return undoCall(walk, op, at, following, wanted)
    case 'exit':
      return undoExit(walk, following, wanted)
    default:
      return true
  }
}

function undoStore(dst: number, src: number | null, entry: HistoryEntry | null, wanted: Wanted): boolean {
  // A pointer cannot be wanted; that it is means that the way was lost.
  if (wanted.has(dst)) return false
  if (entry === null || entry.slot < 0 || !wanted.hasSlot(entry.slot, entry.frame)) return true
  wanted.dropSlot(entry.slot, entry.frame)
  if (src !== null) wanted.add(src)
  return true
}

function undoCall(
  walk: Walk,
  op: Extract<Operation, { kind: 'call' }>,
  at: number,
  following: number,
  wanted: Wanted,
): boolean {
  if (op.call === 'local') {
    const callee = walk.facts.subprograms.find((s) => s.start === op.target)
    if (callee?.global === true) {
      if (((wanted.regs[wanted.frame] as number) & ARGS) !== 0) return false
      wanted.drop(0)
      return true
    }
    const regs = wanted.regs[wanted.frame] as number
    if ((regs & ~ARGS) !== 0 || wanted.hasSlots(wanted.frame) || wanted.frame === 0) return false
    wanted.regs[wanted.frame] = 0
    wanted.frame--
    wanted.regs[wanted.frame] = (wanted.regs[wanted.frame] as number) | regs
    return true
  }
  if (isSyncCallbackCall(walk.facts, at) && at !== following - 1) {
    // Out of the callback, into the helper's caller; the helper made the arguments.
    const regs = wanted.regs[wanted.frame] as number
    if ((regs & ~ARGS) !== 0 || wanted.hasSlots(wanted.frame) || wanted.frame === 0) return false
    wanted.regs[wanted.frame] = 0
    wanted.frame--
    return true
  }
  wanted.drop(0)
  if (((wanted.regs[wanted.frame] as number) & ARGS) !== 0) return false
  const isTailCall = op.call === 'helper' && op.imm === HelperId.tail_call
  return !isTailCall || following === at + 1 || enterCallee(wanted)
}

/** The instruction after was in the caller: this one left its function. */
function enterCallee(wanted: Wanted): boolean {
  if (wanted.frame + 1 >= MAX_FRAMES) return false
  wanted.frame++
  return true
}

function undoExit(walk: Walk, following: number, wanted: Wanted): boolean {
  if (following >= 0 && isSyncCallbackCall(walk.facts, following)) {
    wanted.regs[wanted.frame] = (wanted.regs[wanted.frame] as number) & ~ARGS
  }
  if (((wanted.regs[wanted.frame] as number) & ARGS) !== 0) return false
  const before = walk.facts.ops[following - 1]
  const returned = before?.kind === 'call' && before.call === 'local' && wanted.has(0)
  wanted.drop(0)
  if (!enterCallee(wanted)) return false
  if (returned) wanted.add(0)
  return true
}
