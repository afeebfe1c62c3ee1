import { slotsAt, type Block, type Cfg, type Operation } from '../../isa/index.ts'
import { writesFramePointer } from '../frame-pointer.ts'
import type { ProgramCode } from './program.ts'

/** r0 to r9. */
const ALL = 0x3ff
/** What calls take from the wide locals or leave there: r0 to r5. */
export const CALL_REGISTERS = 0x3f

/** What decides on the form of results, beside the operations. */
export interface Unwritten {
  readonly start: number
  readonly unused: Uint8Array
  readonly wideResults: ReadonlyMap<number, unknown>
}

/**
 * Whether an operation on 64 bits gives the same on the low halves, and 0 above; `narrow` are bits of the registers
 * whose upper half is 0.
 */
export function fitsNarrow(op: Extract<Operation, { kind: 'alu' }>, narrow: number): boolean {
  const isNarrow = (register: number): boolean => ((narrow >> register) & 1) === 1
  const source = op.src === null ? op.imm >= 0 : isNarrow(op.src)
  switch (op.op) {
    case 'mov':
      return source
    case 'and':
      return source || isNarrow(op.dst)
    case 'or':
    case 'xor':
    case 'div':
    case 'mod':
      return source && isNarrow(op.dst)
    case 'rsh':
      return op.src === null && op.imm >= 0 && op.imm < 32 && isNarrow(op.dst)
    case 'add':
    case 'sub':
    case 'mul':
    case 'sdiv':
    case 'smod':
    case 'lsh':
    case 'arsh':
    case 'neg':
    case 'movsx8':
    case 'movsx16':
    case 'movsx32':
  }
  return false
}

/**
 * Registers that are in their i32 local after an operation, given those that are before: values whose upper half is 0.
 * All others are in their i64 local.
 */
export function narrowAfter(
  op: Operation,
  at: number,
  narrow: number,
  { start, unused, wideResults }: Unwritten,
): number {
  if (unused[at - start] === 1 || writesFramePointer(op)) return narrow
  switch (op.kind) {
    case 'alu': {
      const isNarrow = !wideResults.has(at) && (!op.wide || fitsNarrow(op, narrow))
      return isNarrow ? narrow | (1 << op.dst) : narrow & ~(1 << op.dst)
    }
    case 'endian':
      if (op.bits < 64) return narrow | (1 << op.dst)
      return op.op === 'le' ? narrow : narrow & ~(1 << op.dst)
    case 'addrSpaceCast':
      return narrow | (1 << op.dst)
    case 'load':
      return op.size < 8 && !op.signed ? narrow | (1 << op.dst) : narrow & ~(1 << op.dst)
    // In an arena it may leave its register alone.
    case 'loadAcquire':
    case 'loadImm64':
      return narrow & ~(1 << op.dst)
    case 'atomic':
      if (!op.fetch) return narrow
      return op.op === 'cmpxchg' ? narrow & ~1 : narrow & ~(1 << op.src)
    case 'loadAbs':
    case 'loadInd':
      return narrow & ~1
    case 'call':
      return narrow & ~CALL_REGISTERS
    case 'store':
    case 'storeRelease':
    case 'jump':
    case 'branch':
    case 'mayGoto':
    case 'gotox':
    case 'exit':
  }
  return narrow
}

/** Forms of registers at the ends of blocks. */
export interface Widths {
  /** Bits of the registers that are in their i32 locals where a block starts. */
  readonly entry: Uint16Array
  /** Bits of those that have to be in their i64 locals as well where it ends. */
  readonly widen: Uint16Array
}

/** Finds where values stay in i32 locals: where all ways bring them there. `live`: registers read after each block. */
export function findWidths(program: ProgramCode, cfg: Cfg, live: Uint16Array, unwritten: Unwritten): Widths {
  const { blocks, reversePostorder } = cfg
  const { operations, code } = program
  const entry = new Uint16Array(blocks.length).fill(ALL)
  const exit = new Uint16Array(blocks.length).fill(ALL)
  entry[0] = 0
  const waiting = new Uint8Array(blocks.length).fill(1)
  for (let again = true; again;) {
    again = false
    for (const b of reversePostorder) {
      if (waiting[b] === 0) continue
      waiting[b] = 0
      const { start, end, succs } = blocks[b] as Block
      let narrow = entry[b] as number
      for (let at = start; at < end; at += slotsAt(code.insns, at)) {
        narrow = narrowAfter(operations[at] as Operation, at, narrow, unwritten)
      }
      exit[b] = narrow
      for (const s of succs) {
        const known = entry[s] as number
        if ((known & narrow) === known) continue
        entry[s] = known & narrow
        waiting[s] = 1
        again = true
      }
    }
  }
  const widen = new Uint16Array(blocks.length)
  for (const b of reversePostorder) {
    let bits = 0
    for (const s of (blocks[b] as Block).succs) bits |= (exit[b] as number) & ~(entry[s] as number)
    widen[b] = bits & (live[b] as number)
  }
  return { entry, widen }
}
