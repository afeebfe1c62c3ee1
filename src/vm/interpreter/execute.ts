import { FRAME_SIZE, GUARD_SIZE, REGS_ADDRESS, STACK_TOP_ADDRESS } from '../engine.ts'
import type { Machine } from '../engine.ts'
import { Trap } from '../trap.ts'
import { divide, divideSigned, high as upper, modulo, moduloSigned, multiply } from './int64.ts'
import type { Decoded } from './predecode.ts'

/** What of a run outlives a call of execute(). */
export interface State {
  /** Start; afterwards, and when it throws, the instruction that was last run. */
  pc: number
  /** Calls and backward jumps that are left. */
  fuel: number
  /** No frame may go below. */
  stackLimit: number
}

/** Iterations that a function may do through may_goto (BPF_MAX_LOOPS). */
const MAY_GOTO_BUDGET = 8_388_608
/** Values that a call keeps: return slot, may_goto budget, r6 to r9. */
const SAVED = 10

/**
 * Runs from `state.pc` to the exit of that function, on the register file of `program`. Case numbers are those of
 * predecode.ts.
 * @throws Trap
 */
export function execute(program: Decoded, machine: Machine, state: State, faultReadsZero: boolean): void {
  const { op, dst, src, arg, extra, low, high } = program
  const memory = machine.memory
  const calls: number[] = []
  let buffer = memory.buffer
  let view = new DataView(buffer)
  let size = buffer.byteLength
  let mayGoto = MAY_GOTO_BUDGET
  /** Set by what returns from the current function. */
  let leaving = false
  let pc = state.pc
  try {
    for (;;) {
      const d = dst[pc] as number
      const s = src[pc] as number
      switch (op[pc] as number) {
        case 0: {
          // add64
          const a = low[d] as number
          const sum = (a + (low[s] as number)) | 0
          high[d] = (high[d] as number) + (high[s] as number) + (sum >>> 0 < a >>> 0 ? 1 : 0)
          low[d] = sum
          break
        }
        case 1: {
          // sub64
          const a = low[d] as number
          const b = low[s] as number
          high[d] = (high[d] as number) - (high[s] as number) - (a >>> 0 < b >>> 0 ? 1 : 0)
          low[d] = a - b
          break
        }
        case 2: // mul64
          low[d] = multiply(low[d] as number, high[d] as number, low[s] as number, high[s] as number)
          high[d] = upper.value
          break
        case 3: // div64
          low[d] = divide(low[d] as number, high[d] as number, low[s] as number, high[s] as number)
          high[d] = upper.value
          break
        case 4: // sdiv64
          low[d] = divideSigned(low[d] as number, high[d] as number, low[s] as number, high[s] as number)
          high[d] = upper.value
          break
        case 5: // mod64
          low[d] = modulo(low[d] as number, high[d] as number, low[s] as number, high[s] as number)
          high[d] = upper.value
          break
        case 6: // smod64
          low[d] = moduloSigned(low[d] as number, high[d] as number, low[s] as number, high[s] as number)
          high[d] = upper.value
          break
        case 7: // or64
          low[d] = (low[d] as number) | (low[s] as number)
          high[d] = (high[d] as number) | (high[s] as number)
          break
        case 8: // and64
          low[d] = (low[d] as number) & (low[s] as number)
          high[d] = (high[d] as number) & (high[s] as number)
          break
        case 9: // xor64
          low[d] = (low[d] as number) ^ (low[s] as number)
          high[d] = (high[d] as number) ^ (high[s] as number)
          break
        case 10: {
          // lsh64
          const by = (low[s] as number) & 63
          const a = low[d] as number
          if (by >= 32) {
            high[d] = a << (by - 32)
            low[d] = 0
          } else if (by > 0) {
            high[d] = ((high[d] as number) << by) | (a >>> (32 - by))
            low[d] = a << by
          }
          break
        }
        case 11: {
          // rsh64
          const by = (low[s] as number) & 63
          const a = high[d] as number
          if (by >= 32) {
            low[d] = a >>> (by - 32)
            high[d] = 0
          } else if (by > 0) {
            low[d] = ((low[d] as number) >>> by) | (a << (32 - by))
            high[d] = a >>> by
          }
          break
        }
        case 12: {
          // arsh64
          const by = (low[s] as number) & 63
          const a = high[d] as number
          if (by >= 32) {
            low[d] = a >> (by - 32)
            high[d] = a >> 31
          } else if (by > 0) {
            low[d] = ((low[d] as number) >>> by) | (a << (32 - by))
            high[d] = a >> by
          }
          break
        }
        case 13: {
          // neg64
          const a = low[d] as number
          low[d] = -a
          high[d] = a === 0 ? -(high[d] as number) : ~(high[d] as number)
          break
        }
        case 14: // mov64
          low[d] = low[s] as number
          high[d] = high[s] as number
          break
        case 15: {
          // movsx8
          const a = ((low[s] as number) << 24) >> 24
          low[d] = a
          high[d] = a >> 31
          break
        }
        case 16: {
          // movsx16
          const a = ((low[s] as number) << 16) >> 16
          low[d] = a
          high[d] = a >> 31
          break
        }
        case 17: {
          // movsx32
          const a = low[s] as number
          low[d] = a
          high[d] = a >> 31
          break
        }
        case 20: // add32
          low[d] = (low[d] as number) + (low[s] as number)
          high[d] = 0
          break
        case 21: // sub32
          low[d] = (low[d] as number) - (low[s] as number)
          high[d] = 0
          break
        case 22: // mul32
          low[d] = Math.imul(low[d] as number, low[s] as number)
          high[d] = 0
          break
        case 23: {
          // div32
          const b = (low[s] as number) >>> 0
          low[d] = b === 0 ? 0 : ((low[d] as number) >>> 0) / b
          high[d] = 0
          break
        }
        case 24: {
          // sdiv32
          const b = low[s] as number
          low[d] = b === 0 ? 0 : (low[d] as number) / b
          high[d] = 0
          break
        }
        case 25: {
          // mod32
          const b = (low[s] as number) >>> 0
          if (b !== 0) low[d] = ((low[d] as number) >>> 0) % b
          high[d] = 0
          break
        }
        case 26: {
          // smod32
          const b = low[s] as number
          if (b !== 0) low[d] = (low[d] as number) % b
          high[d] = 0
          break
        }
        case 27: // or32
          low[d] = (low[d] as number) | (low[s] as number)
          high[d] = 0
          break
        case 28: // and32
          low[d] = (low[d] as number) & (low[s] as number)
          high[d] = 0
          break
        case 29: // xor32
          low[d] = (low[d] as number) ^ (low[s] as number)
          high[d] = 0
          break
        case 30: // lsh32
          low[d] = (low[d] as number) << (low[s] as number)
          high[d] = 0
          break
        case 31: // rsh32
          low[d] = (low[d] as number) >>> (low[s] as number)
          high[d] = 0
          break
        case 32: // arsh32
          low[d] = (low[d] as number) >> (low[s] as number)
          high[d] = 0
          break
        case 33: // neg32
          low[d] = -(low[d] as number)
          high[d] = 0
          break
        case 34: // mov32
          low[d] = low[s] as number
          high[d] = 0
          break
        case 35: // movsx8 to 32 bits
          low[d] = ((low[s] as number) << 24) >> 24
          high[d] = 0
          break
        case 36: // movsx16 to 32 bits
          low[d] = ((low[s] as number) << 16) >> 16
          high[d] = 0
          break
        case 40: // le16
          low[d] = (low[d] as number) & 0xffff
          high[d] = 0
          break
        case 41: // le32
          high[d] = 0
          break
        case 42: // le64
          break
        case 43: {
          // be16, bswap16
          const a = low[d] as number
          low[d] = ((a & 0xff) << 8) | ((a >>> 8) & 0xff)
          high[d] = 0
          break
        }
        case 44: // be32, bswap32
          low[d] = swap32(low[d] as number)
          high[d] = 0
          break
        case 45: {
          // be64, bswap64
          const a = swap32(low[d] as number)
          low[d] = swap32(high[d] as number)
          high[d] = a
          break
        }
        case 46: // ld_imm64
          low[d] = low[s] as number
          high[d] = high[s] as number
          pc++
          break
        case 50: {
          // ldxb
          const at = address(low[s] as number, high[s] as number, arg[pc] as number)
          if (at < GUARD_SIZE || at > size - 1) {
            if (!faultReadsZero) throw badAccess('read', at, 1)
            low[d] = 0
          } else {
            low[d] = view.getUint8(at)
          }
          high[d] = 0
          break
        }
        case 51: {
          // ldxh
          const at = address(low[s] as number, high[s] as number, arg[pc] as number)
          if (at < GUARD_SIZE || at > size - 2) {
            if (!faultReadsZero) throw badAccess('read', at, 2)
            low[d] = 0
          } else {
            low[d] = view.getUint16(at, true)
          }
          high[d] = 0
          break
        }
        case 52: {
          // ldxw
          const at = address(low[s] as number, high[s] as number, arg[pc] as number)
          if (at < GUARD_SIZE || at > size - 4) {
            if (!faultReadsZero) throw badAccess('read', at, 4)
            low[d] = 0
          } else {
            low[d] = view.getInt32(at, true)
          }
          high[d] = 0
          break
        }
        case 53: {
          // ldxdw
          const at = address(low[s] as number, high[s] as number, arg[pc] as number)
          if (at < GUARD_SIZE || at > size - 8) {
            if (!faultReadsZero) throw badAccess('read', at, 8)
            low[d] = high[d] = 0
          } else {
            low[d] = view.getInt32(at, true)
            high[d] = view.getInt32(at + 4, true)
          }
          break
        }
        case 54: {
          // ldxsb
          const at = address(low[s] as number, high[s] as number, arg[pc] as number)
          let value = 0
          if (at >= GUARD_SIZE && at <= size - 1) value = view.getInt8(at)
          else if (!faultReadsZero) throw badAccess('read', at, 1)
          low[d] = value
          high[d] = value >> 31
          break
        }
        case 55: {
          // ldxsh
          const at = address(low[s] as number, high[s] as number, arg[pc] as number)
          let value = 0
          if (at >= GUARD_SIZE && at <= size - 2) value = view.getInt16(at, true)
          else if (!faultReadsZero) throw badAccess('read', at, 2)
          low[d] = value
          high[d] = value >> 31
          break
        }
        case 56: {
          // ldxsw
          const at = address(low[s] as number, high[s] as number, arg[pc] as number)
          let value = 0
          if (at >= GUARD_SIZE && at <= size - 4) value = view.getInt32(at, true)
          else if (!faultReadsZero) throw badAccess('read', at, 4)
          low[d] = value
          high[d] = value >> 31
          break
        }
        case 60: {
          // stb
          const at = address(low[d] as number, high[d] as number, arg[pc] as number)
          if (at < GUARD_SIZE || at > size - 1) throw badAccess('write', at, 1)
          view.setInt8(at, low[s] as number)
          break
        }
        case 61: {
          // sth
          const at = address(low[d] as number, high[d] as number, arg[pc] as number)
          if (at < GUARD_SIZE || at > size - 2) throw badAccess('write', at, 2)
          view.setInt16(at, low[s] as number, true)
          break
        }
        case 62: {
          // stw
          const at = address(low[d] as number, high[d] as number, arg[pc] as number)
          if (at < GUARD_SIZE || at > size - 4) throw badAccess('write', at, 4)
          view.setInt32(at, low[s] as number, true)
          break
        }
        case 63: {
          // stdw
          const at = address(low[d] as number, high[d] as number, arg[pc] as number)
          if (at < GUARD_SIZE || at > size - 8) throw badAccess('write', at, 8)
          view.setInt32(at, low[s] as number, true)
          view.setInt32(at + 4, high[s] as number, true)
          break
        }
        case 70: {
          // jeq
          const taken = low[d] === low[s] && high[d] === high[s]
          if (taken) {
            const target = arg[pc] as number
            if (target <= pc && --state.fuel < 0) throw outOfFuel()
            pc = target
            continue
          }
          break
        }
        case 71: {
          // jne
          const taken = low[d] !== low[s] || high[d] !== high[s]
          if (taken) {
            const target = arg[pc] as number
            if (target <= pc && --state.fuel < 0) throw outOfFuel()
            pc = target
            continue
          }
          break
        }
        case 72: {
          // jgt
          const a = high[d] as number
          const b = high[s] as number
          const taken = a === b ? (low[d] as number) >>> 0 > (low[s] as number) >>> 0 : a >>> 0 > b >>> 0
          if (taken) {
            const target = arg[pc] as number
            if (target <= pc && --state.fuel < 0) throw outOfFuel()
            pc = target
            continue
          }
          break
        }
        case 73: {
          // jge
          const a = high[d] as number
          const b = high[s] as number
          const taken = a === b ? (low[d] as number) >>> 0 >= (low[s] as number) >>> 0 : a >>> 0 > b >>> 0
          if (taken) {
            const target = arg[pc] as number
            if (target <= pc && --state.fuel < 0) throw outOfFuel()
            pc = target
            continue
          }
          break
        }
        case 74: {
          // jlt
          const a = high[d] as number
          const b = high[s] as number
          const taken = a === b ? (low[d] as number) >>> 0 < (low[s] as number) >>> 0 : a >>> 0 < b >>> 0
          if (taken) {
            const target = arg[pc] as number
            if (target <= pc && --state.fuel < 0) throw outOfFuel()
            pc = target
            continue
          }
          break
        }
        case 75: {
          // jle
          const a = high[d] as number
          const b = high[s] as number
          const taken = a === b ? (low[d] as number) >>> 0 <= (low[s] as number) >>> 0 : a >>> 0 < b >>> 0
          if (taken) {
            const target = arg[pc] as number
            if (target <= pc && --state.fuel < 0) throw outOfFuel()
            pc = target
            continue
          }
          break
        }
        case 76: {
          // jset
          const taken = (((low[d] as number) & (low[s] as number)) | ((high[d] as number) & (high[s] as number))) !== 0
          if (taken) {
            const target = arg[pc] as number
            if (target <= pc && --state.fuel < 0) throw outOfFuel()
            pc = target
            continue
          }
          break
        }
        case 77: {
          // jsgt
          const a = high[d] as number
          const b = high[s] as number
          const taken = a === b ? (low[d] as number) >>> 0 > (low[s] as number) >>> 0 : a > b
          if (taken) {
            const target = arg[pc] as number
            if (target <= pc && --state.fuel < 0) throw outOfFuel()
            pc = target
            continue
          }
          break
        }
        case 78: {
          // jsge
          const a = high[d] as number
          const b = high[s] as number
          const taken = a === b ? (low[d] as number) >>> 0 >= (low[s] as number) >>> 0 : a > b
          if (taken) {
            const target = arg[pc] as number
            if (target <= pc && --state.fuel < 0) throw outOfFuel()
            pc = target
            continue
          }
          break
        }
        case 79: {
          // jslt
          const a = high[d] as number
          const b = high[s] as number
          const taken = a === b ? (low[d] as number) >>> 0 < (low[s] as number) >>> 0 : a < b
          if (taken) {
            const target = arg[pc] as number
            if (target <= pc && --state.fuel < 0) throw outOfFuel()
            pc = target
            continue
          }
          break
        }
        case 80: {
          // jsle
          const a = high[d] as number
          const b = high[s] as number
          const taken = a === b ? (low[d] as number) >>> 0 <= (low[s] as number) >>> 0 : a < b
          if (taken) {
            const target = arg[pc] as number
            if (target <= pc && --state.fuel < 0) throw outOfFuel()
            pc = target
            continue
          }
          break
        }
        case 90: {
          // jeq32
          const taken = low[d] === low[s]
          if (taken) {
            const target = arg[pc] as number
            if (target <= pc && --state.fuel < 0) throw outOfFuel()
            pc = target
            continue
          }
          break
        }
        case 91: {
          // jne32
          const taken = low[d] !== low[s]
          if (taken) {
            const target = arg[pc] as number
            if (target <= pc && --state.fuel < 0) throw outOfFuel()
            pc = target
            continue
          }
          break
        }
        case 92: {
          // jgt32
          const taken = (low[d] as number) >>> 0 > (low[s] as number) >>> 0
          if (taken) {
            const target = arg[pc] as number
            if (target <= pc && --state.fuel < 0) throw outOfFuel()
            pc = target
            continue
          }
          break
        }
        case 93: {
          // jge32
          const taken = (low[d] as number) >>> 0 >= (low[s] as number) >>> 0
          if (taken) {
            const target = arg[pc] as number
            if (target <= pc && --state.fuel < 0) throw outOfFuel()
            pc = target
            continue
          }
          break
        }
        case 94: {
          // jlt32
          const taken = (low[d] as number) >>> 0 < (low[s] as number) >>> 0
          if (taken) {
            const target = arg[pc] as number
            if (target <= pc && --state.fuel < 0) throw outOfFuel()
            pc = target
            continue
          }
          break
        }
        case 95: {
          // jle32
          const taken = (low[d] as number) >>> 0 <= (low[s] as number) >>> 0
          if (taken) {
            const target = arg[pc] as number
            if (target <= pc && --state.fuel < 0) throw outOfFuel()
            pc = target
            continue
          }
          break
        }
        case 96: {
          // jset32
          const taken = ((low[d] as number) & (low[s] as number)) !== 0
          if (taken) {
            const target = arg[pc] as number
            if (target <= pc && --state.fuel < 0) throw outOfFuel()
            pc = target
            continue
          }
          break
        }
        case 97: {
          // jsgt32
          const taken = (low[d] as number) > (low[s] as number)
          if (taken) {
            const target = arg[pc] as number
            if (target <= pc && --state.fuel < 0) throw outOfFuel()
            pc = target
            continue
          }
          break
        }
        case 98: {
          // jsge32
          const taken = (low[d] as number) >= (low[s] as number)
          if (taken) {
            const target = arg[pc] as number
            if (target <= pc && --state.fuel < 0) throw outOfFuel()
            pc = target
            continue
          }
          break
        }
        case 99: {
          // jslt32
          const taken = (low[d] as number) < (low[s] as number)
          if (taken) {
            const target = arg[pc] as number
            if (target <= pc && --state.fuel < 0) throw outOfFuel()
            pc = target
            continue
          }
          break
        }
        case 100: {
          // jsle32
          const taken = (low[d] as number) <= (low[s] as number)
          if (taken) {
            const target = arg[pc] as number
            if (target <= pc && --state.fuel < 0) throw outOfFuel()
            pc = target
            continue
          }
          break
        }
        case 101: {
          // ja, gotol
          const target = arg[pc] as number
          if (target <= pc && --state.fuel < 0) throw outOfFuel()
          pc = target
          continue
        }
        case 102: // may_goto
          if (mayGoto === 0) {
            pc = arg[pc] as number
            continue
          }
          mayGoto--
          break
        case 103: // call of a helper
        case 122: // call of a kernel function
          if (--state.fuel < 0) throw outOfFuel()
          passArguments(view, low, high)
          view.setUint32(STACK_TOP_ADDRESS, (low[10] as number) - FRAME_SIZE, true)
          state.pc = pc
          if (op[pc] === 103) machine.callHelper(extra[pc] as number)
          else machine.callKfunc(extra[pc] as number)
          if (memory.buffer !== buffer) {
            buffer = memory.buffer
            view = new DataView(buffer)
            size = buffer.byteLength
          }
          low[0] = view.getInt32(REGS_ADDRESS, true)
          high[0] = view.getInt32(REGS_ADDRESS + 4, true)
          break
        case 104: {
          // call of a subprogram
          if (--state.fuel < 0) throw outOfFuel()
          const frame = (low[10] as number) - FRAME_SIZE
          if (frame - FRAME_SIZE < state.stackLimit) throw new Trap('stack', 'calls are nested too deep')
          calls.push(pc + 1, mayGoto)
          for (let r = 6; r < 10; r++) calls.push(low[r] as number, high[r] as number)
          low[10] = frame
          mayGoto = MAY_GOTO_BUDGET
          pc = arg[pc] as number
          continue
        }
        case 106: // tail call
          if (--state.fuel < 0) throw outOfFuel()
          passArguments(view, low, high)
          view.setUint32(STACK_TOP_ADDRESS, low[10] as number, true)
          state.pc = pc
          if (machine.tailCall()) {
            low[0] = new DataView(memory.buffer).getInt32(REGS_ADDRESS, true)
            high[0] = new DataView(memory.buffer).getInt32(REGS_ADDRESS + 4, true)
            leaving = true
            break
          }
          break
        case 105: // exit
          leaving = true
          break
        case 107: // ld_abs
        case 108: {
          // ld_ind
          const base = op[pc] === 108 ? (low[s] as number) : 0
          view.setUint32(STACK_TOP_ADDRESS, (low[10] as number) - FRAME_SIZE, true)
          if (!machine.loadPacket((base + (arg[pc] as number)) | 0, extra[pc] as number)) {
            low[0] = high[0] = 0
            leaving = true
            break
          }
          low[0] = view.getInt32(REGS_ADDRESS, true)
          high[0] = view.getInt32(REGS_ADDRESS + 4, true)
          break
        }
        case 110: // atomic add, 32 bits
        case 111: // or
        case 112: // and
        case 113: // xor
        case 114: // xchg
        case 115: {
          // cmpxchg
          const at = address(low[d] as number, high[d] as number, arg[pc] as number)
          if (at < GUARD_SIZE || at > size - 4) throw badAccess('write', at, 4)
          const old = view.getInt32(at, true)
          const operand = low[s] as number
          if (op[pc] === 115) {
            if (old === low[0]) view.setInt32(at, operand, true)
            low[0] = old
            high[0] = 0
          } else {
            view.setInt32(at, combine((op[pc] as number) - 110, old, operand), true)
            if (extra[pc] !== 0) {
              low[s] = old
              high[s] = 0
            }
          }
          break
        }
        case 116: // atomic add, 64 bits
        case 117: // or
        case 118: // and
        case 119: // xor
        case 120: // xchg
        case 121: {
          // cmpxchg
          const at = address(low[d] as number, high[d] as number, arg[pc] as number)
          if (at < GUARD_SIZE || at > size - 8) throw badAccess('write', at, 8)
          const oldLow = view.getInt32(at, true)
          const oldHigh = view.getInt32(at + 4, true)
          const operand = low[s] as number
          const operandHigh = high[s] as number
          if (op[pc] === 121) {
            if (oldLow === low[0] && oldHigh === high[0]) {
              view.setInt32(at, operand, true)
              view.setInt32(at + 4, operandHigh, true)
            }
            low[0] = oldLow
            high[0] = oldHigh
          } else {
            const what = (op[pc] as number) - 116
            const sum = combine(what, oldLow, operand)
            const carry = what === 0 && sum >>> 0 < oldLow >>> 0 ? 1 : 0
            view.setInt32(at, sum, true)
            view.setInt32(at + 4, combine(what, oldHigh, operandHigh) + carry, true)
            if (extra[pc] !== 0) {
              low[s] = oldLow
              high[s] = oldHigh
            }
          }
          break
        }
        default:
          throw new Trap('instruction', `control reached slot ${pc}, which is no instruction`)
      }
      if (leaving) {
        leaving = false
        if (calls.length === 0) return
        const at = calls.length - SAVED
        pc = calls[at] as number
        mayGoto = calls[at + 1] as number
        for (let r = 6; r < 10; r++) {
          low[r] = calls[at + 2 + (r - 6) * 2] as number
          high[r] = calls[at + 3 + (r - 6) * 2] as number
        }
        calls.length = at
        low[10] = (low[10] as number) + FRAME_SIZE
        continue
      }
      pc++
    }
  } finally {
    state.pc = pc
  }
}

/** A register plus an offset as an address; -1 when it is outside of 32 bits. */
function address(low: number, high: number, offset: number): number {
  if (high === 0) return (low >>> 0) + offset
  // A negative offset from a register, or one that carries into the upper half.
  const at = high * 4294967296 + (low >>> 0) + offset
  return at >= 0 && at < 4294967296 ? at : -1
}

function swap32(value: number): number {
  return ((value & 0xff) << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)
}

function combine(what: number, old: number, operand: number): number {
  switch (what) {
    case 0:
      return (old + operand) | 0
    case 1:
      return old | operand
    case 2:
      return old & operand
    case 3:
      return old ^ operand
    default:
      return operand
  }
}

function passArguments(view: DataView, low: Int32Array, high: Int32Array): void {
  for (let r = 1; r < 6; r++) {
    view.setInt32(REGS_ADDRESS + r * 8, low[r] as number, true)
    view.setInt32(REGS_ADDRESS + r * 8 + 4, high[r] as number, true)
  }
}

function badAccess(what: 'read' | 'write', at: number, size: number): Trap {
  const where = at === -1 ? 'an address above 4 GiB' : `address 0x${at.toString(16)}`
  return new Trap('memory', `invalid ${what} of ${size} bytes at ${where}`)
}

function outOfFuel(): Trap {
  return new Trap('fuel', 'the program ran too long (option fuel)')
}
