import { buildCfg, decode, slotsAt, type Block, type Cfg, type InsnBuffer } from '../isa/index.ts'
import type { ProgramFunction } from '../loader/index.ts'
import { HelperId } from '../uapi/index.ts'
import { targetsOf, type IndirectJumps } from './indirect.ts'

/** Where a program notes what it ran. */
export interface Probes {
  /** A byte that is set to 1, or a u64 that is counted up. */
  readonly kind: 'flag' | 'counter'
  /** Address of the first one in the machine's memory. */
  readonly address: number
  /** By slot: number of the probe that comes before the instruction, -1 for none. */
  readonly at: Int32Array
  readonly count: number
}

/** What instructions cost of a budget, when it is counted in instructions. */
export interface Charges {
  /** By slot where a function starts: instructions of the function outside of loops. */
  readonly entry: Int32Array
  /** By slot where a block starts that a loop comes back to: instructions of the loop, but for loops inside of it. */
  readonly loop: Int32Array
}

/** Sees every instruction before it runs; registers r0 to r10 in two halves. */
export type Recorder = (insn: number, low: Int32Array, high: Int32Array) => void

/** What a program does beside running; all of it is paid for only by programs that were loaded with it. */
export interface Instrumentation {
  readonly probes: Probes | null
  readonly charges: Charges | null
  /** In the interpreter only. */
  readonly recorder: Recorder | null
}

/** The instructions of a program, as far as control flow goes. */
export interface FlowCode {
  readonly insns: InsnBuffer
  readonly functions: readonly ProgramFunction[]
  readonly jumps: IndirectJumps
}

function graphsOf({ insns, functions, jumps }: FlowCode): Cfg[] {
  return functions.map(({ start }, i) =>
    buildCfg(insns, start, functions[i + 1]?.start ?? insns.length, targetsOf(jumps)),
  )
}

/** Places of probes: where blocks start, and behind instructions that may be a block's last one. */
export function probePlaces(program: FlowCode): Omit<Probes, 'kind' | 'address'> {
  const { insns } = program
  const at = new Int32Array(insns.length).fill(-1)
  let count = 0
  for (const cfg of graphsOf(program)) {
    for (const index of cfg.reversePostorder) {
      const { start, end } = cfg.blocks[index] as Block
      let isStart = true
      for (let slot = start; slot < end; slot += slotsAt(insns, slot)) {
        if (isStart) at[slot] = count++
        isStart = mayLeave(insns, slot)
      }
    }
  }
  return { at, count }
}

/** Instructions that a program may not come back from: tail calls, and legacy packet loads, which may end it. */
function mayLeave(insns: InsnBuffer, slot: number): boolean {
  const op = decode(insns, slot)
  if (op.kind === 'loadAbs' || op.kind === 'loadInd') return true
  return op.kind === 'call' && op.call === 'helper' && op.imm === HelperId.tail_call
}

/** By slot, how often the instruction ran; second slots of wide instructions have the number of the first. */
export function hitsOf(program: FlowCode, probes: Probes, read: (probe: number) => number): Float64Array {
  const hits = new Float64Array(program.insns.length)
  for (const cfg of graphsOf(program)) {
    for (const index of cfg.reversePostorder) {
      const { start, end } = cfg.blocks[index] as Block
      let current = 0
      for (let slot = start; slot < end; slot++) {
        const probe = probes.at[slot] as number
        if (probe !== -1) current = read(probe)
        hits[slot] = current
      }
    }
  }
  return hits
}

/**
 * What functions and rounds of loops cost: all instructions that they could run, whichever path is taken. Every cycle
 * has a place that is charged.
 */
export function chargesOf(program: FlowCode): Charges {
  const { insns } = program
  const entry = new Int32Array(insns.length)
  const loop = new Int32Array(insns.length)
  for (const cfg of graphsOf(program)) {
    const tangled = new Set(cfg.irreducible.flatMap((blocks) => [...blocks]))
    for (const index of cfg.reversePostorder) {
      const { start, end } = cfg.blocks[index] as Block
      let size = 0
      for (let slot = start; slot < end; slot += slotsAt(insns, slot)) size++
      const header = tangled.has(index) ? index : (cfg.loopOf[index] as number)
      const to = header === -1 ? entry : loop
      const place = header === -1 ? cfg.start : (cfg.blocks[header] as Block).start
      to[place] = (to[place] as number) + size
    }
  }
  return { entry, loop }
}
