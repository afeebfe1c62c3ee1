import { slotsAt, type Block, type Operation } from '../../isa/index.ts'
import { writes } from '../writes.ts'
import { ALL_REGISTERS, liveAtEnd, liveAtStart, reads } from './liveness.ts'
import { PieceTracker, type WideLoad } from './pieces.ts'
import { placeOf, type Access, accessOf } from './places.ts'
import type { FunctionCode, ProgramCode } from './program.ts'
import { NO_SLOTS, SlotFinder, type FrameSlots } from './slots.ts'
import { Registers, REGISTERS } from './registers.ts'
import { findWidths, type Widths } from './width.ts'
import { BlockValues, type Value } from './values.ts'

/** How an access is checked. */
export const Check = { OWN: 0, NONE: 1, GROUP: 2 } as const

/**
 * Accesses through one address, of which the first one's check covers all. Only loads come before the last one, so when
 * the check fails, it makes no difference that those which are good have not been done.
 */
export interface Group {
  readonly members: readonly { readonly at: number; readonly access: Access }[]
  /** Lowest and highest address of all, counted from the register of the first. */
  readonly low: number
  readonly high: number
}

/** A wide load and which of the locals for them it goes to. */
export interface Wide extends WideLoad {
  readonly temporary: number
}

/** What is known of a function before it is translated. */
export interface FunctionFacts {
  /** Sets what is known where a block starts. */
  enter(block: number, values: BlockValues): void
  /** Bits of the registers that may be read after a block's start. */
  liveAtStart(block: number): number
  /** By slot from the function's start. */
  readonly checks: Uint8Array
  /** By the slot of the first member. */
  readonly groups: ReadonlyMap<number, Group>
  readonly slots: FrameSlots
  /** By slot from the function's start: 1 when nobody reads the result, so that only a check is left of the operation. */
  readonly unused: Uint8Array
  /** Wide loads by the slots where they are done, and by those of the operations whose results they are. */
  readonly wideLoads: ReadonlyMap<number, readonly Wide[]>
  readonly wideResults: ReadonlyMap<number, Wide>
  /** Locals that wide loads need. */
  readonly temporaries: number
  /** Null when values are not kept in i32 locals. */
  readonly widths: Widths | null
}

/** Most wide loads that are on their way at the same time. */
const MAX_TEMPORARIES = 8

/** What reaches a block's end. */
interface Exit {
  readonly registers: Registers
  readonly values: readonly (Value | null)[]
}

/** A register that has the same value at a block's start, however it is reached. */
interface Assumption {
  readonly block: number
  readonly register: number
  readonly value: Value
}

class Analysis implements FunctionFacts {
  readonly checks: Uint8Array
  readonly groups: Map<number, Group> = new Map()
  readonly slots: FrameSlots
  readonly unused: Uint8Array
  readonly wideLoads: Map<number, Wide[]> = new Map()
  readonly wideResults: Map<number, Wide> = new Map()
  temporaries: number = 0
  readonly widths: Widths
  /** First slot of the function. */
  readonly start: number
  readonly #program: ProgramCode
  readonly #func: FunctionCode
  readonly #memorySize: number
  readonly #entries: ((Value | null)[] | null)[]
  readonly #exits: (Exit | null)[]
  readonly #registers: Registers = new Registers()
  readonly #values: BlockValues = new BlockValues()
  /** Lookups that are taken to be the same each time round a loop: checked in the end. */
  #assumed: Assumption[] = []
  readonly #slotFinder: SlotFinder
  #ids = 1
  /** The group that is being collected. */
  #group: { at: number; access: Access; delta: number }[] = []
  #groupId = 0
  readonly #pieces: PieceTracker = new PieceTracker()
  /** Wide loads that the results of operations of the block are, by slot. */
  readonly #combined: Map<number, WideLoad> = new Map()
  readonly #live: Uint16Array

  constructor(program: ProgramCode, func: FunctionCode, memorySize: number) {
    this.#program = program
    this.#func = func
    this.#memorySize = memorySize
    const { cfg } = func
    this.start = cfg.start
    this.checks = new Uint8Array(cfg.end - cfg.start)
    this.#entries = Array<null>(cfg.blocks.length).fill(null)
    this.#exits = Array<null>(cfg.blocks.length).fill(null)
    // With several entries to a cycle, nothing holds where it starts.
    this.unused = new Uint8Array(cfg.end - cfg.start)
    this.#slotFinder = new SlotFinder(program, cfg)
    this.#live = liveAtEnd(program, cfg)
    if (cfg.reducible) this.#analyse()
    this.slots = this.#slotFinder.finish()
    this.widths = findWidths(program, cfg, this.#live, this)
  }

  #analyse(): void {
    const { cfg } = this.#func
    const changed = this.#changedInLoops()
    for (const assume of [true, false]) {
      this.#assumed = []
      this.groups.clear()
      this.checks.fill(Check.OWN)
      this.unused.fill(0)
      this.wideLoads.clear()
      this.wideResults.clear()
      this.#exits.fill(null)
      for (const block of cfg.reversePostorder) this.#block(block, changed, assume)
      if (this.#assumed.every((assumption) => this.#holds(assumption))) return
    }
  }

  #holds({ block, register, value }: Assumption): boolean {
    const { blocks } = this.#func.cfg
    return (blocks[block] as Block).preds.every((p) => {
      const exit = this.#exits[p]
      return !exit || sameValue(exit.values[register] ?? null, value)
    })
  }

  enter(block: number, values: BlockValues): void {
    values.reset(this.#entries[block] ?? null)
  }

  liveAtStart(block: number): number {
    return liveAtStart(this.#program, this.#func.cfg.blocks[block] as Block, this.#live[block] as number)
  }

  /** For each loop header, bits of the registers that the loop may change. */
  #changedInLoops(): Uint16Array {
    const { blocks, reversePostorder, loopOf, outerLoop, isLoopHeader } = this.#func.cfg
    const changed = new Uint16Array(blocks.length)
    for (const b of reversePostorder) {
      const header = loopOf[b] as number
      if (header === -1) continue
      const { start, end } = blocks[b] as Block
      let bits = changed[header] as number
      for (let at = start; at < end; at++) {
        const op = this.#program.operations[at]
        if (op) bits |= writes(op)
      }
      changed[header] = bits
    }
    // Inner headers come later than those around them.
    for (let i = reversePostorder.length - 1; i >= 0; i--) {
      const header = reversePostorder[i] as number
      const outer = isLoopHeader[header] === 1 ? (outerLoop[header] as number) : -1
      if (outer !== -1) changed[outer] = (changed[outer] as number) | (changed[header] as number)
    }
    return changed
  }

  #block(block: number, changed: Uint16Array, assume: boolean): void {
    const { cfg } = this.#func
    const { start, end } = cfg.blocks[block] as Block
    const { insns } = this.#program.code
    this.#enterBlock(block, changed, assume)
    this.#pieces.reset()
    // What is assumed of lookups says nothing of the frame: once is enough.
    if (assume) this.#slotFinder.enter(block)
    for (let at = start; at < end; at += slotsAt(insns, at)) {
      const op = this.#program.operations[at] as Operation
      this.#access(op, at)
      if (assume) this.#slotFinder.step(op, block, this.#values)
      this.#bytes(op, at)
      this.#step(op)
      this.#values.step(op, at)
    }
    this.#closeGroup()
    this.#findUnused(block)
    const registers = new Registers()
    registers.assign(this.#registers)
    this.#exits[block] = { registers, values: this.#values.snapshot() }
  }

  /** Joins what comes in; what a loop changes is unknown at its header. */
  #enterBlock(block: number, changed: Uint16Array, assume: boolean): void {
    const { cfg } = this.#func
    const registers = this.#registers
    const { preds } = cfg.blocks[block] as Block
    const reaching = preds.filter((p) => cfg.order[p] !== -1)
    const exits = reaching.map((p) => this.#exits[p] ?? null)
    const first = exits.find((exit) => exit !== null)
    const values: (Value | null)[] =
      first === undefined || first === null ? Array<null>(REGISTERS).fill(null) : [...first.values]
    if (first === undefined || first === null || block === 0) {
      // The entry, which a jump may lead to as well.
      values.fill(null)
      for (let r = 0; r < REGISTERS; r++) registers.set(r, this.#ids++)
    } else {
      registers.assign(first.registers)
      for (const exit of exits) {
        if (exit === null || exit === first) continue
        for (let r = 0; r < REGISTERS; r++) this.#join(r, exit, values)
      }
      const loop = cfg.isLoopHeader[block] === 1 ? (changed[block] as number) : 0
      for (let r = 0; r < REGISTERS; r++) {
        if (((loop >> r) & 1) === 0) continue
        registers.set(r, this.#ids++)
        const value = values[r] ?? null
        if (assume && value?.kind === 'lookup') this.#assumed.push({ block, register: r, value })
        else values[r] = null
      }
    }
    this.#entries[block] = values
    this.#values.reset(values)
  }

  #join(r: number, exit: Exit, values: (Value | null)[]): void {
    const registers = this.#registers
    const other = exit.registers
    if (registers.id[r] !== other.id[r] || registers.offset[r] !== other.offset[r]) {
      registers.id[r] = this.#ids++
      registers.offset[r] = 0
    }
    registers.low[r] = Math.max(registers.low[r] as number, other.low[r] as number)
    registers.high[r] = Math.min(registers.high[r] as number, other.high[r] as number)
    if (registers.high[r] <= registers.low[r]) registers.low[r] = registers.high[r] = 0
    if (!sameValue(values[r] ?? null, exit.values[r] ?? null)) values[r] = null
  }

  #access(op: Operation, at: number): void {
    if (op.kind === 'call' || op.kind === 'loadAbs' || op.kind === 'loadInd') return this.#closeGroup()
    const access = accessOf(op)
    if (access === null) return
    const place = placeOf(this.#values, access, this.#memorySize)
    // The frame is gone when a later access traps.
    if (place?.kind === 'frame') return
    if (place === null && access.register !== 10) this.#checked(access, at)
    // What a write did must be there when a later access traps.
    if (access.verb === 'write') this.#closeGroup()
  }

  /** An access whose place is not known. */
  #checked(access: Access, at: number): void {
    const registers = this.#registers
    const slot = at - this.#func.cfg.start
    if (this.#program.code.facts?.goodAccess[at] === 1) {
      this.checks[slot] = Check.NONE
      return registers.accessed(access)
    }
    // A read that faults gives 0 and says nothing of the address.
    if (this.#program.code.faultReadsZero) return
    if (registers.covers(access)) {
      this.checks[slot] = Check.NONE
      return
    }
    // In an arena each access looks by itself whether its page is there.
    if (this.#program.code.arena) return registers.accessed(access)
    const id = registers.id[access.register] as number
    if (this.#group.length > 0 && id !== this.#groupId) this.#closeGroup()
    this.#groupId = id
    this.#group.push({ at, access, delta: registers.offset[access.register] as number })
    registers.accessed(access)
  }

  /** Looks for bytes that are loaded one by one. */
  #bytes(op: Operation, at: number): void {
    if (op.kind === 'load' && !op.signed && op.size < 8 && op.src < REGISTERS && op.dst < REGISTERS) {
      // A load that may read 0 where there is no memory stays what it is.
      const { faultReadsZero, arena, facts } = this.#program.code
      const isThere = !arena || facts?.goodAccess[at] === 1
      const isGood = isThere && (!faultReadsZero || this.checks[at - this.#func.cfg.start] === Check.NONE)
      if (isGood && this.#values.get(op.src)?.kind !== 'frame') {
        const { id, offset } = this.#registers
        return this.#pieces.loaded(op, at, id[op.src] as number, offset[op.src] as number)
      }
    }
    const isWrite =
      accessOf(op)?.verb === 'write' || op.kind === 'call' || op.kind === 'loadAbs' || op.kind === 'loadInd'
    if (isWrite) return this.#pieces.reset()
    const wide = this.#pieces.step(op, writes(op))
    if (wide !== null) this.#combined.set(at, wide)
  }

  /** Goes back through a block: what nobody reads is not computed, and what is left of it is loaded at once. */
  #findUnused(block: number): void {
    const { cfg } = this.#func
    const { start, end } = cfg.blocks[block] as Block
    let live = this.#live[block] as number
    let busy = 0
    for (let at = end - 1; at >= start; at--) {
      const op = this.#program.operations[at]
      if (op === null || op === undefined) continue
      const done = this.wideLoads.get(at)
      if (done !== undefined) for (const { temporary } of done) busy &= ~(1 << temporary)
      const written = writes(op)
      if ((live & written) === 0 && isPure(op) && op.dst < REGISTERS) {
        this.unused[at - cfg.start] = 1
        // The check of a load needs its address.
        if (op.kind === 'load') live |= reads(op)
        continue
      }
      live &= ~written
      const wide = this.#combined.get(at)
      const temporary = wide === undefined ? -1 : lowestZero(busy)
      if (wide === undefined || temporary >= MAX_TEMPORARIES) {
        live |= reads(op)
        continue
      }
      busy |= 1 << temporary
      this.temporaries = Math.max(this.temporaries, temporary + 1)
      const result = { ...wide, temporary }
      this.wideResults.set(at, result)
      const others = this.wideLoads.get(wide.load)
      if (others === undefined) this.wideLoads.set(wide.load, [result])
      else others.push(result)
    }
    this.#combined.clear()
  }

  #closeGroup(): void {
    const group = this.#group
    const first = group[0]
    this.#group = []
    if (first === undefined || group.length < 2) return
    const members = group.map(({ at, access, delta }) => ({
      at,
      access: { ...access, register: first.access.register, off: access.off + delta - first.delta },
    }))
    members.forEach(({ at }, i) => {
      this.checks[at - this.#func.cfg.start] = i === 0 ? Check.GROUP : Check.NONE
    })
    const low = Math.min(...members.map(({ access }) => access.off))
    const high = Math.max(...members.map(({ access }) => access.off + access.size))
    this.groups.set(first.at, { members, low, high })
  }

  #step(op: Operation): void {
    const registers = this.#registers
    if (op.kind === 'alu' && op.wide && op.dst < REGISTERS) {
      if (op.op === 'mov' && op.src !== null && op.src < REGISTERS) return registers.copy(op.dst, op.src)
      if (op.op === 'add' && op.src === null && registers.add(op.dst, op.imm)) return
    }
    const bits = writes(op)
    if (bits === 0) return
    for (let r = 0; r < REGISTERS; r++) if (((bits >> r) & 1) === 1) registers.set(r, this.#ids++)
  }
}

/** Whether an operation does nothing but to compute its result, if it does not trap. */
function isPure(
  op: Operation,
): op is Extract<Operation, { kind: 'alu' | 'endian' | 'addrSpaceCast' | 'loadImm64' | 'load' }> {
  return (
    op.kind === 'alu' ||
    op.kind === 'endian' ||
    op.kind === 'addrSpaceCast' ||
    op.kind === 'loadImm64' ||
    op.kind === 'load'
  )
}

const lowestZero = (bits: number): number => 31 - Math.clz32(~bits & (bits + 1))

function sameValue(a: Value | null, b: Value | null): boolean {
  if (a === b) return true
  if (a?.kind === 'constant' && b?.kind === 'constant') return a.low === b.low && a.high === b.high
  if (a?.kind === 'frame' && b?.kind === 'frame') return a.offset === b.offset
  if (a?.kind === 'lookup' && b?.kind === 'lookup') return a.map === b.map
  return a?.kind === 'function' && b?.kind === 'function' && a.slot === b.slot
}

/** Finds out what holds in a function, in time linear in its size. */
export function analyseFunction(program: ProgramCode, func: FunctionCode, memorySize: number): FunctionFacts {
  return new Analysis(program, func, memorySize)
}

/** What holds in any function. */
export function nothingKnown({ cfg }: FunctionCode): FunctionFacts {
  return {
    enter: (_, values) => values.reset(null),
    liveAtStart: () => ALL_REGISTERS,
    checks: new Uint8Array(cfg.end - cfg.start),
    groups: new Map(),
    slots: NO_SLOTS,
    unused: new Uint8Array(cfg.end - cfg.start),
    wideLoads: new Map(),
    wideResults: new Map(),
    temporaries: 0,
    widths: null,
  }
}
