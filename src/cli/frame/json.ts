import { toHex } from '../../bytes/index.ts'

/**
 * Any value as JSON text. bigint: a number when it is a safe integer, decimal digits in a string otherwise, so that
 * no reader loses digits. Bytes: a string of hex digits. NaN and infinities: strings. Maps: arrays of pairs.
 */
export function jsonText(value: unknown, pretty: boolean): string {
  return JSON.stringify(value, replace, pretty ? 4 : 0) + '\n'
}

function replace(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') {
    const safe = value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER)
    return safe ? Number(value) : String(value)
  }
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value)
  if (value instanceof Uint8Array) return toHex(value)
  if (value instanceof Map) return [...value]
  return value
}
