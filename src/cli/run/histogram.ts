import { BtfKind, readValue, type Btf } from '../../btf/index.ts'

const BAR_WIDTH = 40
/** Member that holds the buckets. */
export const SLOTS_MEMBER = 'slots'
const MAX_SLOTS = 64

/** Power-of-two buckets: slot i counts values from 2^i to 2^(i+1) - 1, slot 0 also zero. */
export interface Log2Histogram {
  readonly counts: readonly bigint[]
}

/**
 * The histogram in a map value, by the convention of the libbpf tools: a struct with an array `slots` of unsigned
 * integers, or null.
 */
export function histogramOf(btf: Btf, typeId: number, bytes: Uint8Array): Log2Histogram | null {
  const type = btf.type(btf.skipModifiersAndTypedefs(typeId))
  if (type.kind !== BtfKind.STRUCT) return null
  const slots = type.members.find((member) => member.name === SLOTS_MEMBER)
  if (slots === undefined || slots.bitSize > 0) return null
  const array = btf.type(btf.skipModifiersAndTypedefs(slots.type))
  if (array.kind !== BtfKind.ARRAY || array.length < 2 || array.length > MAX_SLOTS) return null
  const element = btf.type(btf.skipModifiersAndTypedefs(array.elementType))
  if (element.kind !== BtfKind.INT || (element.size !== 4 && element.size !== 8)) return null
  const values = readValue(btf, slots.type, bytes.subarray(slots.bitOffset >> 3))
  if (!Array.isArray(values)) return null
  return { counts: values.map((value) => BigInt(value as number | bigint)) }
}

/** Whether an array of counters is a histogram, which only its name can say. */
export function isHistogramName(name: string): boolean {
  return /hist/i.test(name)
}

/**
 * The buckets as bars, in the form of bcc's and libbpf's tools; nothing for an empty one. Buckets behind the last one
 * that counts are left out.
 */
export function histogramLines(histogram: Log2Histogram): string[] {
  const { counts } = histogram
  let last = counts.length - 1
  while (last >= 0 && counts[last] === 0n) last--
  if (last < 0) return []
  const most = counts.reduce((a, b) => (b > a ? b : a), 0n)
  const rangeWidth = last < 32 ? 10 : 20
  const lines = [`${'value'.padStart(rangeWidth + 7)}${' '.repeat(rangeWidth - 3)}: count     distribution`]
  for (let i = 0; i <= last; i++) {
    const count = counts[i] as bigint
    const low = i === 0 ? 0n : 1n << BigInt(i)
    const high = (1n << BigInt(i + 1)) - 1n
    const bar = '*'.repeat(Number((count * BigInt(BAR_WIDTH)) / most))
    const range = `${String(low).padStart(rangeWidth)} -> ${String(high).padEnd(rangeWidth)}`
    lines.push(`${range} : ${String(count).padEnd(8)} |${bar.padEnd(BAR_WIDTH)}|`)
  }
  return lines
}
