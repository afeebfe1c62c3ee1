import type { Scalar } from './domain/bounds.ts'
import { bigU } from './domain/int64.ts'

/** Numbers in the kernel's log: small ones in decimal, others in hexadecimal. */
export function unsignedText(value: bigint): string {
  return value <= 0xffffn ? value.toString() : `0x${value.toString(16)}`
}

export function signedText(value: bigint): string {
  return value >= -0x8000n && value <= 0x7fffn ? value.toString() : `0x${BigInt.asUintN(64, value).toString(16)}`
}

/** The tnum of a value: `4` or `(0x0; 0xff)`. */
export function tnumText(s: Scalar): string {
  const value = bigU(s.vh, s.vl)
  const mask = bigU(s.mh, s.ml)
  if (mask === 0n) return unsignedText(value)
  return `(0x${value.toString(16)}; 0x${mask.toString(16)})`
}
