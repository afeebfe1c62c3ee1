import { BpfError } from '../../bytes/index.ts'
import { buildCfg, decode, slotsAt, type AluOp, type AtomicOp, type BranchOp, type Operation } from '../../isa/index.ts'
import { HelperId } from '../../uapi/index.ts'
import type { Machine, VmCode } from '../engine.ts'
import { writesFramePointer } from '../frame-pointer.ts'
import { NOWHERE, targetsOf, type IndirectJump } from '../indirect.ts'

/**
 * Numbers of the interpreter's operations. They are written as literals in execute.ts, because V8 makes a jump table
 * of a switch over small literals only.
 */
const ALU: readonly AluOp[] = [
  'add',
  'sub',
  'mul',
  'div',
  'sdiv',
  'mod',
  'smod',
  'or',
  'and',
  'xor',
  'lsh',
  'rsh',
  'arsh',
  'neg',
  'mov',
  'movsx8',
  'movsx16',
  'movsx32',
]
const BRANCH: readonly BranchOp[] = ['eq', 'ne', 'gt', 'ge', 'lt', 'le', 'set', 'sgt', 'sge', 'slt', 'sle']
const ATOMIC: readonly AtomicOp[] = ['add', 'or', 'and', 'xor', 'xchg', 'cmpxchg']
const ALU64 = 0
const ALU32 = 20
const ENDIAN = 40
const LOAD_IMM64 = 46
const LOAD = 50
const STORE = 60
const BRANCH64 = 70
const BRANCH32 = 90
const JUMP = 101
const MAY_GOTO = 102
const CALL_HELPER = 103
const CALL_LOCAL = 104
const EXIT = 105
const TAIL_CALL = 106
const LOAD_ABS = 107
const LOAD_IND = 108
const ATOMIC32 = 110
const ATOMIC64 = 116
const CALL_KFUNC = 122
/** The second slot of a 64-bit immediate, which control must not reach. */
const NOTHING = 123
/** Call of the helper whose id a register holds; Linux refuses it, other runtimes have it. */
const CALL_REGISTER = 124
/** Any instruction that writes r10. */
const WRITES_R10 = 125
const GOTOX = 126
/** Where pages may be absent; an ordinary load elsewhere. */
const LOAD_ACQUIRE = 127

/** Registers r0 to r10; constants follow in the register file, so that an immediate is read like a register. */
export const REGISTERS = 11

/** A program in the form that the interpreter runs: columns, one entry a slot. */
export interface Decoded {
  readonly op: Uint8Array
  readonly dst: Uint8Array
  /** Source register, or the place of a constant in the register file. */
  readonly src: Uint32Array
  /** Memory offset, jump target, or place in `jumps`. */
  readonly arg: Int32Array
  /** Helper id, kernel function, size of a packet load or load-acquire, or whether an atomic operation fetches. */
  readonly extra: Int32Array
  /** Indirect jumps. */
  readonly jumps: readonly IndirectJump[]
  /** First contents of the register file, low and high halves. */
  readonly low: Int32Array
  readonly high: Int32Array
}

/** @throws BpfError `malformed`, `unsupported` with the instruction */
export function predecode(code: VmCode, machine: Machine): Decoded {
  const { insns } = code
  const n = insns.length
  const op = new Uint8Array(n).fill(NOTHING)
  const dst = new Uint8Array(n)
  const src = new Uint32Array(n)
  const arg = new Int32Array(n)
  const extra = new Int32Array(n)
  const constants = new Constants()
  const jumps: IndirectJump[] = []
  const starts = new Map(code.functions.map((f, index) => [f.start, index]))

  // Jumps stay inside of their function, and its end is not run over.
  code.functions.forEach(({ start }, index) => {
    buildCfg(insns, start, code.functions[index + 1]?.start ?? n, targetsOf(null))
  })

  const put = (at: number, number: number, to: number, from: number, argument: number): void => {
    op[at] = number
    dst[at] = to
    src[at] = from
    arg[at] = argument
  }
  const fail = (at: number, kind: 'malformed' | 'unsupported', message: string): never => {
    throw new BpfError(kind, message, { where: { program: code.name, insn: at } })
  }
  const operand = (o: { src: number | null; imm: number }): number => o.src ?? constants.of(o.imm, o.imm >> 31)

  for (let at = 0; at < n; at += slotsAt(insns, at)) {
    const o: Operation = decode(insns, at)
    if (writesFramePointer(o)) {
      put(at, WRITES_R10, 0, 0, 0)
      continue
    }
    switch (o.kind) {
      case 'alu':
        put(at, (o.wide ? ALU64 : ALU32) + ALU.indexOf(o.op), o.dst, operand(o), 0)
        break
      case 'endian': {
        const swap = o.op !== 'le' ? 3 : 0
        put(at, ENDIAN + swap + (o.bits === 16 ? 0 : o.bits === 32 ? 1 : 2), o.dst, 0, 0)
        break
      }
      case 'addrSpaceCast':
        // Both address spaces are this memory: the cast keeps the 32-bit address.
        put(at, ALU32 + ALU.indexOf('mov'), o.dst, o.src, 0)
        break
      case 'loadImm64': {
        let low = o.low
        let high = o.high
        if (o.pseudo === 4) {
          const index = starts.get(at + 1 + o.low)
          if (index === undefined) return fail(at, 'malformed', `no function starts at slot ${at + 1 + o.low}`)
          low = index
          high = 0
        } else if (o.pseudo !== 0) {
          fail(at, 'unsupported', `ld_imm64 with pseudo source ${o.pseudo} was not resolved`)
        }
        put(at, LOAD_IMM64, o.dst, constants.of(low, high), 0)
        break
      }
      case 'load': {
        const size = o.size === 1 ? 0 : o.size === 2 ? 1 : o.size === 4 ? 2 : 3
        put(at, LOAD + (o.signed ? 4 : 0) + size, o.dst, o.src, o.off)
        break
      }
      case 'loadAcquire':
        put(at, code.arena ? LOAD_ACQUIRE : LOAD + Math.log2(o.size), o.dst, o.src, o.off)
        extra[at] = o.size
        break
      case 'store':
        put(at, STORE + Math.log2(o.size), o.dst, operand(o), o.off)
        break
      case 'storeRelease':
        put(at, STORE + Math.log2(o.size), o.dst, o.src, o.off)
        break
      case 'loadAbs':
        put(at, LOAD_ABS, 0, 0, o.imm)
        extra[at] = o.size
        break
      case 'loadInd':
        put(at, LOAD_IND, 0, o.src, o.imm)
        extra[at] = o.size
        break
      case 'atomic':
        put(at, (o.size === 8 ? ATOMIC64 : ATOMIC32) + ATOMIC.indexOf(o.op), o.dst, o.src, o.off)
        extra[at] = o.fetch ? 1 : 0
        break
      case 'jump':
        put(at, JUMP, 0, 0, o.target)
        break
      case 'branch':
        put(at, (o.wide ? BRANCH64 : BRANCH32) + BRANCH.indexOf(o.op), o.dst, operand(o), o.target)
        break
      case 'mayGoto':
        put(at, MAY_GOTO, 0, 0, o.target)
        break
      case 'exit':
        put(at, EXIT, 0, 0, 0)
        break
      case 'gotox':
        put(at, GOTOX, o.dst, 0, jumps.push(code.jumps?.get(at) ?? NOWHERE) - 1)
        break
      case 'call':
        switch (o.call) {
          case 'helper':
            if (o.imm === HelperId.tail_call) {
              put(at, TAIL_CALL, 0, 0, 0)
              break
            }
            if (!machine.hasHelper(o.imm) && code.facts?.reached[at] !== 0) {
              fail(at, 'unsupported', machine.whyNoHelper?.(o.imm) ?? `there is no helper ${o.imm}`)
            }
            put(at, CALL_HELPER, 0, 0, 0)
            extra[at] = o.imm
            break
          case 'local':
            if (!starts.has(o.target)) fail(at, 'malformed', `no function starts at slot ${o.target}`)
            put(at, CALL_LOCAL, 0, 0, o.target)
            break
          case 'kfunc':
            put(at, CALL_KFUNC, 0, 0, 0)
            extra[at] = o.imm
            break
          case 'register':
            put(at, CALL_REGISTER, 0, o.src, 0)
            break
        }
        break
    }
  }
  return { op, dst, src, arg, extra, jumps, low: constants.low(), high: constants.high() }
}

/** Distinct 64-bit constants, numbered from REGISTERS on. */
class Constants {
  readonly #places: Map<number, Map<number, number>> = new Map()
  readonly #low: number[] = []
  readonly #high: number[] = []

  of(low: number, high: number): number {
    let byHigh = this.#places.get(low)
    if (byHigh === undefined) this.#places.set(low, (byHigh = new Map()))
    let place = byHigh.get(high)
    if (place === undefined) {
      place = REGISTERS + this.#low.length
      byHigh.set(high, place)
      this.#low.push(low)
      this.#high.push(high)
    }
    return place
  }

  low(): Int32Array {
    return registerFile(this.#low)
  }

  high(): Int32Array {
    return registerFile(this.#high)
  }
}

function registerFile(constants: readonly number[]): Int32Array {
  const file = new Int32Array(REGISTERS + constants.length)
  file.set(constants, REGISTERS)
  return file
}
