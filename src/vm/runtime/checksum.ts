import type { LinearMemory } from './memory.ts'

/** Internet checksums (RFC 1071) on little-endian words, as the kernel does them on x86 and arm. */

/** Sum with end-around carry (csum_add). */
export function csumAdd(a: number, b: number): number {
  const sum = (a >>> 0) + (b >>> 0)
  return sum > 0xffffffff ? (sum + 1) % 4294967296 : sum
}

/** Folds to 16 bits, not inverted (csum_from32to16). */
export function csumFold(sum: number): number {
  const once = (sum >>> 16) + (sum & 0xffff)
  return ((once >>> 16) + once) & 0xffff
}

/** Sum over bytes, an odd last one padded with zero (csum_partial); the result may differ by multiples of 0xffff. */
export function csumPartial(memory: LinearMemory, address: number, size: number, seed: number): number {
  let sum = seed >>> 0
  const view = memory.view
  let at = 0
  for (; at + 4 <= size; at += 4) sum = csumAdd(sum, view.getUint32(address + at, true))
  if (size - at >= 2) {
    sum = csumAdd(sum, view.getUint16(address + at, true))
    at += 2
  }
  if (at < size) sum = csumAdd(sum, view.getUint8(address + at))
  return sum
}

/** A stored checksum after the sum of what it covers has changed by `difference` (csum_replace_by_diff). */
export function replaceByDiff(stored: number, difference: number): number {
  return ~csumFold(csumAdd(difference, ~stored)) & 0xffff
}

/** A stored checksum after one word has changed (csum_replace4). */
export function replaceWord(stored: number, from: number, to: number): number {
  return ~csumFold(csumAdd(csumAdd(~stored, ~from), to)) & 0xffff
}

/** A stored checksum after one 16-bit word has changed (csum_replace2, which adds in 16 bits). */
export function replaceHalf(stored: number, from: number, to: number): number {
  return ~add16(add16(~stored & 0xffff, ~from & 0xffff), to & 0xffff) & 0xffff
}

function add16(a: number, b: number): number {
  const sum = a + b
  return (sum + (sum >>> 16)) & 0xffff
}
