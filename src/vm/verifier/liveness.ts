import type { Log } from './log/log.ts'
import type { Flow } from './program/flow.ts'
import type { Subprogram } from './program/layout.ts'
import type { State } from './state/state.ts'

/** Bit sets of stack slots, one of 64 bits as two halves for each instruction of a function. */
class Marks {
  /** Slots that the instruction may read. */
  readonly read: Int32Array
  /** Slots that the instruction certainly overwrites. */
  readonly written: Int32Array
  /** Slots that are overwritten for certain from here to the end of the function. */
  readonly writtenAfter: Int32Array
  /** Slots that may be read from here on, before they are overwritten. */
  readonly live: Int32Array

  constructor(count: number) {
    this.read = new Int32Array(2 * count)
    this.written = new Int32Array(2 * count)
    this.writtenAfter = new Int32Array(2 * count)
    this.live = new Int32Array(2 * count)
  }
}

/** A function called through one chain of calls; its marks cover the stacks of all frames of the chain. */
class Instance {
  /** Call slots that lead here, and the function's own first slot. */
  readonly chain: readonly number[]
  readonly outer: Instance | null
  readonly sub: Subprogram
  readonly frames: (Marks | null)[]
  /** Instructions whose writes are known: later visits can only take some away. */
  readonly seen: Uint8Array
  /** Instructions that the walk executed, on paths that the program itself can take. */
  readonly met: Uint8Array
  changed = false
  dropped = false

  constructor(chain: readonly number[], outer: Instance | null, sub: Subprogram) {
    this.chain = chain
    this.outer = outer
    this.sub = sub
    this.frames = Array.from<null>({ length: chain.length }).fill(null)
    this.seen = new Uint8Array(sub.end - sub.start)
    this.met = new Uint8Array(sub.end - sub.start)
  }

  get depth(): number {
    return this.chain.length - 1
  }

  marks(frame: number): Marks {
    return (this.frames[frame] ??= new Marks(this.seen.length))
  }

  get name(): string {
    return `(${this.chain.join(',')})`
  }
}

/** What the analysis needs to know of the program. */
export interface LivenessProgram {
  readonly subprograms: readonly Subprogram[]
  readonly flow: Flow
  /** Slots after which control goes on, by slot. */
  readonly successors: (at: number) => readonly number[]
  /** Slots of a function, each after the slots it leads to. */
  readonly postorder: (sub: Subprogram) => readonly number[]
}

const MAX_FRAMES = 8

/**
 * Which stack slots may still be read, as 6.18 finds out: the walk reports reads and writes of the instructions that it
 * meets, for each chain of calls; when a path ends, they are spread backwards over the function's control flow. States
 * are compared only in slots that are alive.
 */
export class StackLiveness {
  readonly #program: LivenessProgram
  readonly #log: Log | null
  readonly #instances: Map<number, Instance[]> = new Map()
  #current: Instance | null = null
  /** Writes of the instruction at `#at` so far, by frame. */
  readonly #low: Int32Array = new Int32Array(MAX_FRAMES)
  readonly #high: Int32Array = new Int32Array(MAX_FRAMES)
  #any = false
  #at = 0

  constructor(program: LivenessProgram, log: Log | null) {
    this.#program = program
    this.#log = log !== null && log.all ? log : null
  }

  /** Whether the walk met an instruction at all. */
  seen(at: number): boolean {
    const sub = this.#program.subprograms.findLast((s) => s.start <= at)
    const instances = sub === undefined ? undefined : this.#instances.get(sub.start)
    return instances?.some((instance) => instance.met[at - instance.sub.start] === 1) ?? false
  }

  /** Before an instruction of the innermost frame. */
  begin(state: State, at: number): void {
    const instance = (this.#current ??= this.#find(state, state.frames.length - 1))
    if (!state.speculative) instance.met[at - instance.sub.start] = 1
    this.#begin(at)
  }

  #begin(at: number): void {
    this.#at = at
    if (!this.#any) return
    this.#low.fill(0)
    this.#high.fill(0)
    this.#any = false
  }

  /** The current instruction may read a slot. */
  read(state: State, frame: number, slot: number): void {
    const instance = (this.#current ??= this.#find(state, state.frames.length - 1))
    if (slot < 32) this.#read(instance, this.#at, frame, 1 << slot, 0)
    else this.#read(instance, this.#at, frame, 0, 1 << (slot & 31))
  }

  #read(instance: Instance, at: number, frame: number, low: number, high: number): void {
    const marks = instance.marks(frame)
    const i = 2 * (at - instance.sub.start)
    const nowLow = (marks.read[i] as number) | low
    const nowHigh = (marks.read[i + 1] as number) | high
    if (nowLow === marks.read[i] && nowHigh === marks.read[i + 1]) return
    if ((nowLow & ~(marks.live[i] as number)) !== 0 || (nowHigh & ~(marks.live[i + 1] as number)) !== 0) {
      instance.changed = true
    }
    marks.read[i] = nowLow
    marks.read[i + 1] = nowHigh
  }

  /** The current instruction overwrites all of a slot. */
  write(frame: number, slot: number): void {
    this.#any = true
    if (slot < 32) this.#low[frame] = (this.#low[frame] as number) | (1 << slot)
    else this.#high[frame] = (this.#high[frame] as number) | (1 << (slot & 31))
  }

  /** After the instruction was found to be allowed; a call's marks come from its callee. */
  commit(): void {
    if (this.#current !== null) this.#commit(this.#current)
  }

  #commit(instance: Instance): void {
    const relative = this.#at - instance.sub.start
    const isFirst = instance.seen[relative] === 0
    if (!this.#any && isFirst) {
      instance.seen[relative] = 1
      return
    }
    const i = 2 * relative
    for (let f = 0; f <= instance.depth; f++) {
      let low = this.#low[f] as number
      let high = this.#high[f] as number
      if (low === 0 && high === 0 && instance.frames[f] === null) continue
      const marks = instance.marks(f)
      const oldLow = marks.written[i] as number
      const oldHigh = marks.written[i + 1] as number
      if (!isFirst) {
        low &= oldLow
        high &= oldHigh
      }
      if (low === oldLow && high === oldHigh) continue
      marks.written[i] = low
      marks.written[i + 1] = high
      instance.changed = true
      if ((oldLow & ~low) !== 0 || (oldHigh & ~high) !== 0) instance.dropped = true
    }
    instance.seen[relative] = 1
  }

  /** The frames of the current state have changed. */
  reset(): void {
    this.#current = null
  }

  /** Spreads what was collected for the functions of a state, when its path or its innermost function ends. */
  update(state: State): void {
    this.#current = null
    for (let f = state.frames.length - 1; f >= 0; f--) {
      const instance = this.#find(state, f)
      if (!instance.changed) continue
      this.#spread(instance)
      instance.changed = false
      instance.dropped = false
    }
  }

  #spread(instance: Instance): void {
    const { sub } = instance
    if (instance.dropped) for (const marks of instance.frames) marks?.writtenAfter.fill(0)
    const order = this.#program.postorder(sub)
    let rounds = 0
    for (let changed = true; changed;) {
      changed = false
      rounds++
      for (let f = 0; f <= instance.depth; f++) {
        const marks = instance.frames[f]
        if (marks === null || marks === undefined) continue
        for (const at of order) changed = this.#step(instance, marks, f, at) || changed
      }
    }
    this.#log?.write(`${instance.name} live stack update done in ${rounds} iterations\n`)
    const { outer } = instance
    if (outer === null) return
    this.#begin(instance.chain[instance.depth - 1] as number)
    for (let f = 0; f < instance.depth; f++) {
      const marks = instance.frames[f]
      if (marks === null || marks === undefined) continue
      this.#any = true
      this.#low[f] = (this.#low[f] as number) | (marks.writtenAfter[0] as number)
      this.#high[f] = (this.#high[f] as number) | (marks.writtenAfter[1] as number)
      this.#read(outer, this.#at, f, marks.live[0] as number, marks.live[1] as number)
    }
    this.#commit(outer)
  }

  #step(instance: Instance, marks: Marks, frame: number, at: number): boolean {
    const next = this.#program.successors(at)
    if (next.length === 0) return false
    const { start } = instance.sub
    const i = 2 * (at - start)
    let liveLow = 0
    let liveHigh = 0
    let writtenLow = -1
    let writtenHigh = -1
    for (const to of next) {
      const j = 2 * (to - start)
      liveLow |= marks.live[j] as number
      liveHigh |= marks.live[j + 1] as number
      writtenLow &= marks.writtenAfter[j] as number
      writtenHigh &= marks.writtenAfter[j + 1] as number
    }
    const overLow = marks.written[i] as number
    const overHigh = marks.written[i + 1] as number
    writtenLow |= overLow
    writtenHigh |= overHigh
    liveLow = (liveLow & ~overLow) | (marks.read[i] as number)
    liveHigh = (liveHigh & ~overHigh) | (marks.read[i + 1] as number)
    const { live, writtenAfter } = marks
    const same =
      live[i] === liveLow &&
      live[i + 1] === liveHigh &&
      writtenAfter[i] === writtenLow &&
      writtenAfter[i + 1] === writtenHigh
    if (same) return false
    if (this.#log !== null) {
      const isShown =
        ((marks.read[i] as number) | (marks.read[i + 1] as number) | overLow | overHigh) !== 0 ||
        at === start ||
        this.#program.flow.prune[at] === 1
      if (isShown) {
        const place = `${instance.name} frame ${frame} insn ${at} `
        this.#logChange(place, 'live', live[i] as number, live[i + 1] as number, liveLow, liveHigh)
        const old = [writtenAfter[i] as number, writtenAfter[i + 1] as number] as const
        this.#logChange(place, 'written', old[0], old[1], writtenLow, writtenHigh)
      }
    }
    live[i] = liveLow
    live[i + 1] = liveHigh
    writtenAfter[i] = writtenLow
    writtenAfter[i + 1] = writtenHigh
    return true
  }

  #logChange(place: string, what: string, low: number, high: number, nowLow: number, nowHigh: number): void {
    if (low === nowLow && high === nowHigh) return
    let text = place
    const added = slotList(nowLow & ~low, nowHigh & ~high)
    const removed = slotList(low & ~nowLow, high & ~nowHigh)
    if (added !== '') text += `+${what} ${added} `
    if (removed !== '') text += `-${what} ${removed}`
    this.#log?.write(`${text}\n`)
  }

  /** Marks of a frame of a state, for {@link isAlive}. */
  #find(state: State, frame: number): Instance {
    const top = state.frames[frame]
    const sub = this.#program.subprograms[top?.subprog ?? 0] as Subprogram
    let list = this.#instances.get(sub.start)
    if (list === undefined) {
      list = []
      this.#instances.set(sub.start, list)
    }
    for (const instance of list) {
      if (instance.depth === frame && sameChain(instance.chain, state)) return instance
    }
    const outer = frame === 0 ? null : this.#find(state, frame - 1)
    const chain = [...state.frames.slice(1, frame + 1).map((f) => f.callsite), sub.start]
    const made = new Instance(chain, outer, sub)
    list.push(made)
    return made
  }

  /**
   * Slots of a state's frame that may still be read, as two halves.
   * @param insn slot at which the innermost frame goes on
   * @param callsBack whether the call at a slot runs callbacks, so that it is executed again after its callee
   */
  alive(state: State, frame: number, insn: number, callsBack: (at: number) => boolean): readonly [number, number] {
    let low = 0
    let high = 0
    const last = state.frames.length - 1
    for (let f = frame; f <= last; f++) {
      const instance = this.#find(state, f)
      const marks = instance.frames[frame]
      if (marks === null || marks === undefined) continue
      let at = insn
      if (f < last) {
        const callsite = state.frames[f + 1]?.callsite as number
        at = callsBack(callsite) ? callsite : callsite + 1
      }
      const i = 2 * (at - instance.sub.start)
      low |= marks.live[i] as number
      high |= marks.live[i + 1] as number
    }
    return [low, high]
  }
}

function sameChain(chain: readonly number[], state: State): boolean {
  for (let i = 0; i < chain.length - 1; i++) {
    if (chain[i] !== state.frames[i + 1]?.callsite) return false
  }
  return true
}

/** `-8,-24`: offsets of slots. */
export function slotList(low: number, high: number): string {
  const offsets: number[] = []
  for (let i = 0; i < 32; i++) if ((low & (1 << i)) !== 0) offsets.push(-(i + 1) * 8)
  for (let i = 0; i < 32; i++) if ((high & (1 << i)) !== 0) offsets.push(-(i + 33) * 8)
  return offsets.join(',')
}
