import { slotsAt, type Block, type Cfg, type Operation } from '../../isa/index.ts'
import { writes } from '../writes.ts'
import type { ProgramCode } from './program.ts'

/** r0 to r9. */
export const ALL_REGISTERS = 0x3ff
/** What calls may read: r1 to r5. */
const ARGUMENTS = 0x3e

const bit = (register: number | null): number => (register === null ? 0 : 1 << register)

/** Bits of the registers that an operation reads. */
export function reads(op: Operation): number {
  switch (op.kind) {
    case 'alu':
      return op.op.startsWith('mov') ? bit(op.src) : bit(op.dst) | bit(op.src)
    case 'endian':
    case 'gotox':
      return bit(op.dst)
    case 'addrSpaceCast':
    case 'load':
    case 'loadInd':
      return bit(op.src)
    case 'loadAcquire':
      // In an arena it may leave its register alone; see ArenaLayout.
      return bit(op.src) | bit(op.dst)
    case 'store':
    case 'storeRelease':
    case 'branch':
      return bit(op.dst) | bit(op.src)
    case 'atomic':
      return bit(op.dst) | bit(op.src) | (op.op === 'cmpxchg' ? 1 : 0)
    case 'call':
      return op.call === 'register' ? ALL_REGISTERS : ARGUMENTS
    case 'exit':
      return 1
    case 'loadImm64':
    case 'loadAbs':
    case 'jump':
    case 'mayGoto':
  }
  return 0
}

/** For each block, bits of the registers that may still be read after it. */
export function liveAtEnd(program: ProgramCode, cfg: Cfg): Uint16Array {
  const { blocks, reversePostorder } = cfg
  const { operations, code } = program
  const read = new Uint16Array(blocks.length)
  const written = new Uint16Array(blocks.length)
  for (const b of reversePostorder) {
    const { start, end } = blocks[b] as Block
    let readBits = 0
    let writtenBits = 0
    for (let at = start; at < end; at += slotsAt(code.insns, at)) {
      const op = operations[at] as Operation
      readBits |= reads(op) & ~writtenBits
      writtenBits |= writes(op)
    }
    read[b] = readBits & ALL_REGISTERS
    written[b] = writtenBits & ALL_REGISTERS
  }
  const live = new Uint16Array(blocks.length)
  for (let again = true; again;) {
    again = false
    for (let i = reversePostorder.length - 1; i >= 0; i--) {
      const b = reversePostorder[i] as number
      let bits = 0
      for (const s of (blocks[b] as Block).succs) {
        bits |= (read[s] as number) | ((live[s] as number) & ~(written[s] as number))
      }
      if (bits === live[b]) continue
      live[b] = bits
      again = true
    }
  }
  return live
}

/** Bits of the registers that may still be read where a block starts; `after` are those after it. */
export function liveAtStart(program: ProgramCode, { start, end }: Block, after: number): number {
  let live = after
  for (let at = end - 1; at >= start; at--) {
    const op = program.operations[at]
    if (op) live = (live & ~writes(op)) | reads(op)
  }
  return live & ALL_REGISTERS
}
