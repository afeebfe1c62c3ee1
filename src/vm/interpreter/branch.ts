/** Whether a branch is taken. Numbers are those of predecode.ts. */
export function taken(op: number, d: number, s: number, low: Int32Array, high: Int32Array): boolean {
  switch (op) {
    case 70: // jeq
      return low[d] === low[s] && high[d] === high[s]
    case 71: // jne
      return low[d] !== low[s] || high[d] !== high[s]
    case 72: {
      // jgt
      const a = high[d] as number
      const b = high[s] as number
      return a === b ? (low[d] as number) >>> 0 > (low[s] as number) >>> 0 : a >>> 0 > b >>> 0
    }
    case 73: {
      // jge
      const a = high[d] as number
      const b = high[s] as number
      return a === b ? (low[d] as number) >>> 0 >= (low[s] as number) >>> 0 : a >>> 0 > b >>> 0
    }
    case 74: {
      // jlt
      const a = high[d] as number
      const b = high[s] as number
      return a === b ? (low[d] as number) >>> 0 < (low[s] as number) >>> 0 : a >>> 0 < b >>> 0
    }
    case 75: {
      // jle
      const a = high[d] as number
      const b = high[s] as number
      return a === b ? (low[d] as number) >>> 0 <= (low[s] as number) >>> 0 : a >>> 0 < b >>> 0
    }
    case 76: // jset
      return (((low[d] as number) & (low[s] as number)) | ((high[d] as number) & (high[s] as number))) !== 0
    case 77: {
      // jsgt
      const a = high[d] as number
      const b = high[s] as number
      return a === b ? (low[d] as number) >>> 0 > (low[s] as number) >>> 0 : a > b
    }
    case 78: {
      // jsge
      const a = high[d] as number
      const b = high[s] as number
      return a === b ? (low[d] as number) >>> 0 >= (low[s] as number) >>> 0 : a > b
    }
    case 79: {
      // jslt
      const a = high[d] as number
      const b = high[s] as number
      return a === b ? (low[d] as number) >>> 0 < (low[s] as number) >>> 0 : a < b
    }
    case 80: {
      // jsle
      const a = high[d] as number
      const b = high[s] as number
      return a === b ? (low[d] as number) >>> 0 <= (low[s] as number) >>> 0 : a < b
    }
    case 90: // jeq32
      return low[d] === low[s]
    case 91: // jne32
      return low[d] !== low[s]
    case 92: // jgt32
      return (low[d] as number) >>> 0 > (low[s] as number) >>> 0
    case 93: // jge32
      return (low[d] as number) >>> 0 >= (low[s] as number) >>> 0
    case 94: // jlt32
      return (low[d] as number) >>> 0 < (low[s] as number) >>> 0
    case 95: // jle32
      return (low[d] as number) >>> 0 <= (low[s] as number) >>> 0
    case 96: // jset32
      return ((low[d] as number) & (low[s] as number)) !== 0
    case 97: // jsgt32
      return (low[d] as number) > (low[s] as number)
    case 98: // jsge32
      return (low[d] as number) >= (low[s] as number)
    case 99: // jslt32
      return (low[d] as number) < (low[s] as number)
    case 100: // jsle32
      return (low[d] as number) <= (low[s] as number)
    default:
      return false
  }
}
