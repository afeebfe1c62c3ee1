import { slotsAt, type Block, type Cfg, type Operation } from '../../isa/index.ts'
import { FRAME_SIZE } from '../engine.ts'
import { accessOf, type Access } from './places.ts'
import type { ProgramCode } from './program.ts'
import type { BlockValues } from './values.ts'
import { ValueType, type CodeSink } from './wasm/index.ts'

/** Bytes of the frame that are kept in a local: at most 8, all of whose accesses are within. */
export interface FrameSlot {
  /** First byte, counted from the frame's bottom. */
  readonly base: number
  readonly size: number
  /** i64 when `size` is above 4, otherwise i32; bits above `size` are 0. */
  local: number
}

const WORDS = FRAME_SIZE / 32
/** The most locals for slots, as V8 takes time for each of them at each place where blocks join. */
const LOCALS_TIMES_BLOCKS = 100_000

/** Bits of registers that may point into the frame after an operation. */
function derived(op: Operation, bits: number): number {
  const has = (register: number | null): boolean =>
    register !== null && (register === 10 || ((bits >> register) & 1) === 1)
  const put = (register: number, from: boolean): number => (from ? bits | (1 << register) : bits & ~(1 << register))
  switch (op.kind) {
    case 'alu':
      return put(op.dst, op.op.startsWith('mov') ? has(op.src) : has(op.dst) || has(op.src))
    case 'addrSpaceCast':
      return put(op.dst, has(op.src))
    case 'loadImm64':
    case 'load':
    case 'loadAcquire':
      return put(op.dst, false)
    case 'atomic':
      // What it reads is no address of the frame, since none is ever stored while slots are in locals.
      if (!op.fetch) return bits
      return op.op === 'cmpxchg' ? bits & ~1 : put(op.src, false)
    case 'loadAbs':
    case 'loadInd':
      return bits & ~1
    case 'call':
      // Programs may not use what a call leaves in r1 to r5.
      return bits & ~0x3f
    case 'endian':
    case 'store':
    case 'storeRelease':
    case 'jump':
    case 'branch':
    case 'mayGoto':
    case 'gotox':
    case 'exit':
  }
  return bits
}

/**
 * Finds the bytes of a function's frame that only its own loads and stores at known places use, so that nobody can
 * tell when they are not in memory. The address of a frame comes from r10 alone; wherever it goes that is not followed
 * (calls, memory, unknown sums) what can be reached from it stays in memory, and so does what may be read before it is
 * written. (Programs that make up addresses of their own stack, which no verifier lets through, are not considered.)
 */
export class SlotFinder {
  readonly #program: ProgramCode
  readonly #cfg: Cfg
  /** Registers that may point into the frame where a block starts. */
  readonly #entries: Uint16Array
  /** Registers that may do so now. */
  #bits: number = 0
  #allEscape: boolean
  readonly #escaped: Uint8Array = new Uint8Array(FRAME_SIZE)
  /** Block, first byte, bytes, and 1 for writes of each access at a known place. */
  readonly #accesses: number[] = []

  constructor(program: ProgramCode, cfg: Cfg) {
    this.#program = program
    this.#cfg = cfg
    this.#allEscape = !cfg.reducible
    this.#entries = new Uint16Array(cfg.blocks.length)
    if (!this.#allEscape && this.#takesAddress()) this.#follow()
  }

  #takesAddress(): boolean {
    const { operations } = this.#program
    for (let at = this.#cfg.start; at < this.#cfg.end; at++) {
      const op = operations[at]
      if (op?.kind === 'alu' && op.src === 10) return true
    }
    return false
  }

  /** Where addresses may be, as far as they get through all of the function. */
  #follow(): void {
    const { blocks, reversePostorder } = this.#cfg
    const { operations, code } = this.#program
    const waiting = new Uint8Array(blocks.length).fill(1)
    for (let again = true; again;) {
      again = false
      for (const b of reversePostorder) {
        if (waiting[b] === 0) continue
        waiting[b] = 0
        const { start, end, succs } = blocks[b] as Block
        let bits = this.#entries[b] as number
        for (let at = start; at < end; at += slotsAt(code.insns, at)) bits = derived(operations[at] as Operation, bits)
        for (const s of succs) {
          const known = this.#entries[s] as number
          if ((known | bits) === known) continue
          this.#entries[s] = known | bits
          waiting[s] = 1
          again = true
        }
      }
    }
  }

  enter(block: number): void {
    this.#bits = this.#entries[block] as number
  }

  /** Takes in an operation; `values` is what is known before it. */
  step(op: Operation, block: number, values: BlockValues): void {
    if (this.#allEscape) return
    const access = accessOf(op)
    if (access !== null) this.#access(op, access, block, values)
    else if (op.kind === 'call') this.#call(op, values)
    this.#bits = derived(op, this.#bits)
  }

  #isAddress(register: number): boolean {
    return register === 10 || ((this.#bits >> register) & 1) === 1
  }

  #access(op: Operation, { register, off, size, verb }: Access, block: number, values: BlockValues): void {
    const stored = op.kind === 'store' || op.kind === 'storeRelease' || op.kind === 'atomic' ? op.src : null
    if (stored !== null && this.#isAddress(stored)) this.#allEscape = true
    const value = values.get(register)
    if (value?.kind !== 'frame' && !this.#isAddress(register)) return
    const at = value?.kind === 'frame' ? FRAME_SIZE + value.offset + off : -1
    if (at < 0 || at + size > FRAME_SIZE) this.#allEscape = true
    else if (op.kind === 'atomic') this.#escaped.fill(1, at, at + size)
    else this.#accesses.push(block, at, size, verb === 'write' ? 1 : 0)
  }

  #call(op: Extract<Operation, { kind: 'call' }>, values: BlockValues): void {
    for (let r = 1; r <= 5; r++) {
      if (!this.#isAddress(r)) continue
      const value = values.get(r)
      // A function of the program may go down from what it is given, all others only go up.
      if (op.call === 'local' || op.call === 'register' || this.#program.hasCallbacks || value?.kind !== 'frame') {
        this.#allEscape = true
        return
      }
      this.#escaped.fill(1, Math.max(0, Math.min(FRAME_SIZE, FRAME_SIZE + value.offset)))
    }
  }

  /** The slots, after all reachable blocks were stepped through in reverse postorder. */
  finish(): FrameSlots {
    if (this.#allEscape || this.#accesses.length === 0) return NO_SLOTS
    this.#readsBeforeWrites()
    const slots: FrameSlot[] = []
    const uses: number[] = []
    for (const { base, size, count } of this.#ranges()) {
      if (size > 8 || this.#escaped.subarray(base, base + size).includes(1)) continue
      slots.push({ base, size, local: -1 })
      uses.push(count)
    }
    // The most used ones, when these are too many.
    const most = Math.max(4, Math.floor(LOCALS_TIMES_BLOCKS / this.#cfg.blocks.length))
    const chosen = slots
      .map((slot, i) => ({ slot, count: uses[i] as number }))
      .sort((a, b) => b.count - a.count)
      .slice(0, most)
      .map(({ slot }) => slot)
    const slotOf = new Int16Array(FRAME_SIZE).fill(-1)
    chosen.forEach(({ base, size }, i) => slotOf.fill(i, base, base + size))
    return new FrameSlots(chosen, slotOf)
  }

  /** Ranges of bytes that overlapping accesses make up. */
  #ranges(): { base: number; size: number; count: number }[] {
    /** Whether the byte belongs to the range of the byte before. */
    const goesOn = new Uint8Array(FRAME_SIZE + 1)
    const counts = new Int32Array(FRAME_SIZE)
    const accesses = this.#accesses
    for (let i = 0; i < accesses.length; i += 4) {
      const at = accesses[i + 1] as number
      goesOn.fill(1, at + 1, at + (accesses[i + 2] as number))
      counts[at] = (counts[at] as number) + 1
    }
    const ranges = []
    for (let base = 0; base < FRAME_SIZE;) {
      let end = base + 1
      while (goesOn[end] === 1) end++
      let count = 0
      for (let at = base; at < end; at++) count += counts[at] as number
      if (count > 0) ranges.push({ base, size: end - base, count })
      base = end
    }
    return ranges
  }

  /** Marks what is read where it may not have been written, whatever was in memory before. */
  #readsBeforeWrites(): void {
    const { blocks, reversePostorder, order } = this.#cfg
    const accesses = this.#accesses
    const written = new Int32Array(blocks.length * WORDS)
    let next = 0
    for (const b of reversePostorder) {
      const now = written.subarray(b * WORDS, (b + 1) * WORDS)
      // What was written before a loop still is when it comes round: back edges take nothing away.
      let first = true
      for (const p of (blocks[b] as Block).preds) {
        const from = order[p] as number
        if (from === -1 || from >= (order[b] as number)) continue
        for (let w = 0; w < WORDS; w++) {
          const bits = written[p * WORDS + w] as number
          now[w] = first ? bits : (now[w] as number) & bits
        }
        first = false
      }
      // A jump may lead to the entry as well.
      if (b === 0) now.fill(0)
      for (; accesses[next] === b; next += 4) {
        const at = accesses[next + 1] as number
        const end = at + (accesses[next + 2] as number)
        const writes = accesses[next + 3] === 1
        for (let byte = at; byte < end; byte++) {
          const bit = 1 << (byte & 31)
          if (writes) now[byte >> 5] = (now[byte >> 5] as number) | bit
          else if (((now[byte >> 5] as number) & bit) === 0) this.#escaped[byte] = 1
        }
      }
    }
  }
}

/** The parts of a frame that are kept in locals. */
export class FrameSlots {
  readonly all: readonly FrameSlot[]
  readonly #slotOf: Int16Array

  constructor(slots: readonly FrameSlot[], slotOf: Int16Array) {
    this.all = slots
    this.#slotOf = slotOf
  }

  declare(code: CodeSink): void {
    for (const slot of this.all) slot.local = code.addLocal(slot.size > 4 ? ValueType.I64 : ValueType.I32)
  }

  /** The slot of a byte of the frame, counted from its bottom; null when the byte is in memory. */
  at(offset: number): FrameSlot | null {
    return this.all[this.#slotOf[offset] as number] ?? null
  }
}

/** Every byte in memory. */
export const NO_SLOTS: FrameSlots = new FrameSlots([], new Int16Array(FRAME_SIZE).fill(-1))
