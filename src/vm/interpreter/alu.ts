import { divide, divideSigned, high as upper, modulo, moduloSigned, multiply } from './int64.ts'

/** 64-bit arithmetic: `dst = dst op src` on halves of registers. Numbers are those of predecode.ts. */
export function alu64(op: number, d: number, s: number, low: Int32Array, high: Int32Array): void {
  switch (op) {
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
  }
}

/** 32-bit arithmetic and byte swaps; the upper half becomes zero. */
export function alu32(op: number, d: number, s: number, low: Int32Array, high: Int32Array): void {
  switch (op) {
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
  }
}

function swap32(value: number): number {
  return ((value & 0xff) << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)
}
