import type { InsnBuffer, JumpTargets } from '../isa/index.ts'
import { decode, slotsAt, type Operation } from '../isa/index.ts'
import { writes } from './writes.ts'
import { Trap } from './trap.ts'

/**
 * High half of the address of an instruction, which is what entries of instruction arrays are and indirect jumps take.
 * No memory lies there. The low half is the number of the instruction among all those that the program's arrays name,
 * in their order, so that an engine makes a small table of them; any other value ends the run.
 */
export const CODE_ADDRESS_HIGH = -1

/** Where one indirect jump may lead to. */
export interface IndirectJump {
  /** Number of the first instruction in `slots`. */
  readonly first: number
  /** By number, counted from `first`: the slot, -1 for one that this jump does not lead to. */
  readonly slots: readonly number[]
  /** The slots, without gaps. */
  readonly targets: readonly number[]
}

/** The indirect jumps of a program by slot. */
export type IndirectJumps = ReadonlyMap<number, IndirectJump>

const NO_TARGETS: readonly number[] = []

/** The jump of a program without tables. */
export const NOWHERE: IndirectJump = { first: 0, slots: [], targets: [] }

/** What control-flow graphs ask for. */
export function targetsOf(jumps: IndirectJumps | null | undefined): JumpTargets {
  return (at) => jumps?.get(at)?.targets ?? NO_TARGETS
}

/** Slot that a jump to the address leads to; -1 when that is none of its targets. */
export function jumpTarget(jump: IndirectJump, low: number, high: number): number {
  return high === CODE_ADDRESS_HIGH ? (jump.slots[(low >>> 0) - jump.first] ?? -1) : -1
}

/** An indirect jump to what is none of its targets. */
export function wildJump(register: number, low: number, high: number): Trap {
  const value = ((BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)).toString(16)
  return new Trap('instruction', `r${register} is 0x${value}, which is no target of this indirect jump (gotox)`)
}

/** An instruction array that a 64-bit immediate of the program points into. */
export interface JumpTable {
  /** Slot of the immediate. */
  readonly insn: number
  /** Slots of the program; the same array for the same instruction array. */
  readonly targets: readonly number[]
}

/** All instructions that the tables name, in order: the number of each is its place here. */
export function numberTargets(tables: readonly JumpTable[]): number[] {
  const slots = new Set<number>()
  for (const targets of new Set(tables.map((table) => table.targets))) for (const slot of targets) slots.add(slot)
  return [...slots].sort((a, b) => a - b)
}

/**
 * Where the indirect jumps of a program lead to. What a register holds is followed through each basic block: a jump to an
 * entry of a table that the same block loads leads to that table's targets, any other one to all those in its function.
 * @param starts slots where functions start, in order
 */
export function findIndirectJumps(
  insns: InsnBuffer,
  starts: readonly number[],
  tables: readonly JumpTable[],
): IndirectJumps {
  const jumps = new Map<number, IndirectJump>()
  if (!insns.code.includes(GOTOX)) return jumps
  const numbers = new Map(numberTargets(tables).map((slot, number) => [slot, number]))
  const loads = new Map(tables.map((table) => [table.insn, table]))
  const entered = entries(insns, starts, numbers)
  const known: (Known | null)[] = Array<null>(11).fill(null)
  /** Jumps of the current function by the targets of their table, null for all tables. */
  const made = new Map<readonly number[] | null, IndirectJump>()
  let next = 0
  let start = 0
  for (let at = 0; at < insns.length; at += slotsAt(insns, at)) {
    if (entered[at] === 1) known.fill(null)
    if (at === starts[next]) {
      start = at
      next++
      made.clear()
    }
    const op = decode(insns, at)
    if (op.kind !== 'gotox') {
      follow(known, op, loads.get(at) ?? null)
      continue
    }
    const value = known[op.dst] ?? null
    const table = value?.kind === 'entry' ? value.table.targets : null
    let jump = made.get(table)
    if (jump === undefined) {
      const end = starts[next] ?? insns.length
      jump = jumpTo(
        [...(table ?? numbers.keys())].filter((slot) => slot >= start && slot < end),
        numbers,
      )
      made.set(table, jump)
    }
    jumps.set(at, jump)
  }
  return jumps
}

const GOTOX = 0x0d

/** A register that points into a table, or holds an entry of it. */
interface Known {
  readonly kind: 'table' | 'entry'
  readonly table: JumpTable
}

function jumpTo(slots: readonly number[], numbers: ReadonlyMap<number, number>): IndirectJump {
  const targets = [...new Set(slots)].sort((a, b) => a - b)
  const first = numbers.get(targets[0] ?? -1) ?? 0
  const last = numbers.get(targets.at(-1) ?? -1) ?? -1
  const bySlot: number[] = Array<number>(last - first + 1).fill(-1)
  for (const slot of targets) bySlot[(numbers.get(slot) as number) - first] = slot
  return { first, slots: bySlot, targets }
}

/** Marks slots that control may come to other than from the slot before. */
function entries(insns: InsnBuffer, starts: readonly number[], targets: ReadonlyMap<number, unknown>): Uint8Array {
  const entered = new Uint8Array(insns.length + 1)
  for (const start of starts) entered[start] = 1
  for (const target of targets.keys()) entered[target] = 1
  for (let at = 0; at < insns.length; at += slotsAt(insns, at)) {
    const op = decode(insns, at)
    if (op.kind === 'jump' || op.kind === 'branch' || op.kind === 'mayGoto') entered[op.target] = 1
  }
  return entered
}

/** What is known of registers after an operation; `table` is what a 64-bit immediate points into. */
function follow(known: (Known | null)[], op: Operation, table: JumpTable | null): void {
  const result = resultOf(known, op, table)
  const written = writes(op)
  for (let r = 0; r < known.length; r++) if (((written >> r) & 1) === 1) known[r] = result
}

function resultOf(known: readonly (Known | null)[], op: Operation, table: JumpTable | null): Known | null {
  if (op.kind === 'loadImm64') return table === null ? null : { kind: 'table', table }
  if (op.kind === 'alu') return op.wide ? computed(known, op) : null
  const base = op.kind === 'load' && op.size === 8 ? known[op.src] : null
  return base?.kind === 'table' ? { kind: 'entry', table: base.table } : null
}

/** Tables with something added, and copies. */
function computed(known: readonly (Known | null)[], op: Extract<Operation, { kind: 'alu' }>): Known | null {
  const own = known[op.dst] ?? null
  const other = op.src === null ? null : (known[op.src] ?? null)
  if (op.op === 'mov') return other
  if (op.op !== 'add') return null
  const [table, offset] = own?.kind === 'table' ? [own, other] : [other, own]
  return table?.kind === 'table' && offset === null ? table : null
}
