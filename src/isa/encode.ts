import { BpfError } from '../bytes/index.ts'
import type { InsnBuffer } from './insns.ts'
import type { AccessSize, Operation } from './operation.ts'
import { ALU_OPS, ALU_VARIANTS, ADDR_SPACE_CAST, ATOMIC_OPS, BRANCH_OPS, LOAD_ACQ, SIZES, STORE_REL } from './table.ts'

function refuse(at: number, message: string): never {
  throw new BpfError('limit', message, { where: { insn: at } })
}

function sizeCode(size: AccessSize): number {
  return SIZES.find((s) => s.size === size)?.code ?? 0
}

/** Distance from the slot after `at` to `target`, checked against `bits`. */
function distance(at: number, target: number, bits: 16 | 32): number {
  const delta = target - at - 1
  const limit = 2 ** (bits - 1)
  if (!(Number.isInteger(delta) && delta >= -limit && delta < limit)) {
    refuse(at, `jump of ${delta} slots to ${target} does not fit ${bits} bits`)
  }
  return delta
}

function aluCode(op: string): { code: number; off: number } {
  const variant = ALU_VARIANTS.find((v) => v.op === op)
  const base = ALU_OPS.find((o) => o.op === (variant?.of ?? op))
  return { code: base?.code ?? 0, off: variant?.off ?? 0 }
}

/**
 * Writes `op` at slot `at` of `into`; the inverse of decode(). A `jump` becomes `ja` where the distance fits 16 bits
 * and it is not marked `long`, otherwise `gotol`.
 * @returns slots written: 2 for a 64-bit immediate, otherwise 1
 * @throws BpfError `limit` when a jump distance or the slot itself does not fit
 */
export function encode(op: Operation, into: InsnBuffer, at: number): number {
  const slots = op.kind === 'loadImm64' ? 2 : 1
  if (!(at >= 0 && at + slots <= into.length)) {
    refuse(at, `instruction ${at} needs ${slots} slots, the buffer has ${into.length}`)
  }
  const put = (code: number, dst: number, src: number, off: number, imm: number): void => {
    into.code[at] = code
    into.dst[at] = dst
    into.src[at] = src
    into.off[at] = off
    into.imm[at] = imm
  }
  switch (op.kind) {
    case 'alu': {
      const { code, off } = aluCode(op.op)
      put((op.wide ? 0x07 : 0x04) | code | (op.src === null ? 0 : 8), op.dst, op.src ?? 0, off, op.imm)
      break
    }
    case 'endian':
      put(op.op === 'le' ? 0xd4 : op.op === 'be' ? 0xdc : 0xd7, op.dst, 0, 0, op.bits)
      break
    case 'addrSpaceCast':
      put(0xbf, op.dst, op.src, ADDR_SPACE_CAST, (op.to << 16) | op.from)
      break
    case 'loadImm64':
      put(0x18, op.dst, op.pseudo, 0, op.low)
      into.code[at + 1] = 0
      into.dst[at + 1] = 0
      into.src[at + 1] = 0
      into.off[at + 1] = 0
      into.imm[at + 1] = op.high
      break
    case 'load':
      put((op.signed ? 0x81 : 0x61) | sizeCode(op.size), op.dst, op.src, op.off, 0)
      break
    case 'store':
      put((op.src === null ? 0x62 : 0x63) | sizeCode(op.size), op.dst, op.src ?? 0, op.off, op.imm)
      break
    case 'loadAbs':
      put(0x20 | sizeCode(op.size), 0, 0, 0, op.imm)
      break
    case 'loadInd':
      put(0x40 | sizeCode(op.size), 0, op.src, 0, op.imm)
      break
    case 'atomic': {
      const imm = ATOMIC_OPS.find((a) => a.op === op.op && a.fetch === op.fetch)?.imm
      if (imm === undefined) refuse(at, `atomic ${op.op} exists only with fetch`)
      put(0xc3 | sizeCode(op.size), op.dst, op.src, op.off, imm)
      break
    }
    case 'loadAcquire':
      put(0xc3 | sizeCode(op.size), op.dst, op.src, op.off, LOAD_ACQ)
      break
    case 'storeRelease':
      put(0xc3 | sizeCode(op.size), op.dst, op.src, op.off, STORE_REL)
      break
    case 'jump': {
      const delta = distance(at, op.target, 32)
      if (op.long === true || delta < -0x8000 || delta > 0x7fff) put(0x06, 0, 0, 0, delta)
      else put(0x05, 0, 0, delta, 0)
      break
    }
    case 'gotox':
      put(0x0d, op.dst, 0, 0, 0)
      break
    case 'branch': {
      const code = BRANCH_OPS.find((b) => b.op === op.op)?.code ?? 0
      const off = distance(at, op.target, 16)
      put((op.wide ? 0x05 : 0x06) | code | (op.src === null ? 0 : 8), op.dst, op.src ?? 0, off, op.imm)
      break
    }
    case 'mayGoto':
      put(0xe5, 0, 0, distance(at, op.target, 16), 0)
      break
    case 'call':
      switch (op.call) {
        case 'helper':
          put(0x85, 0, 0, op.off, op.imm)
          break
        case 'local':
          put(0x85, 0, 1, op.off, distance(at, op.target, 32))
          break
        case 'kfunc':
          put(0x85, 0, 2, op.off, op.imm)
          break
        case 'register':
          put(0x8d, op.src, 0, op.off, op.imm)
          break
      }
      break
    case 'exit':
      put(0x95, 0, 0, 0, 0)
      break
  }
  return slots
}
