import { type Scalar, sminOf, umaxOf } from '../domain/bounds.ts'
import { deny, Reject } from '../reject.ts'
import type { Reg } from '../state/register.ts'
import { isPacketPointer } from '../state/register.ts'

/** Offsets and sizes of pointers stay below this. */
export const MAX_OFFSET: number = 1 << 29

/** Whether an access of `size` bytes at `off` lies inside of `limit` bytes. */
export function inside(off: number, size: number, limit: number, zeroAllowed: boolean): boolean {
  return off >= 0 && (size > 0 || (zeroAllowed && size === 0)) && off + size <= limit
}

/** The words with which the kernel says that a fixed-offset access is outside of its object. */
function outside(reg: Reg, regno: number, off: number, size: number, limit: number): string {
  if (!reg.mayBeNull) {
    if (reg.kind === 'map_key') return `invalid access to map key, key_size=${limit} off=${off} size=${size}`
    if (reg.kind === 'map_value') return `invalid access to map value, value_size=${limit} off=${off} size=${size}`
  }
  if (isPacketPointer(reg.kind) || reg.kind === 'pkt_end') {
    return `invalid access to packet, off=${off} size=${size}, R${regno}(id=${reg.id},off=${off},r=${reg.range})`
  }
  return `invalid access to memory, mem_size=${limit} off=${off} size=${size}`
}

function s32(x: number): boolean {
  return x === (x | 0)
}

/** An access to an object of known size, through a pointer with fixed and variable offset. */
export function checkRegion(
  reg: Reg,
  regno: number,
  off: number,
  size: number,
  limit: number,
  zeroAllowed: boolean,
): void {
  const value: Scalar = reg.value
  const min = sminOf(value)
  if (min < 0 && (!s32(off + min) || min + off < 0)) {
    deny(`R${regno} min value is negative, either use unsigned index or do a if (index >=0) check.`)
  }
  if (!inside(min + off, size, limit, zeroAllowed)) {
    deny(`${outside(reg, regno, min + off, size, limit)}\nR${regno} min value is outside of the allowed memory range`)
  }
  const max = umaxOf(value)
  if (max >= MAX_OFFSET) {
    deny(`R${regno} unbounded memory access, make sure to bounds check any such access`)
  }
  if (!inside(max + off, size, limit, zeroAllowed)) {
    deny(`${outside(reg, regno, max + off, size, limit)}\nR${regno} max value is outside of the allowed memory range`)
  }
}

/** An access to a packet: only the fixed part of the offset is compared with the range that was discovered. */
export function checkPacket(reg: Reg, regno: number, off: number, size: number, zeroAllowed: boolean): void {
  if (sminOf(reg.value) < 0) {
    deny(`R${regno} min value is negative, either use unsigned index or do a if (index >=0) check.`)
  }
  const message = `R${regno} offset is outside of the packet`
  if (reg.range < 0) throw new Reject('EINVAL', message)
  if (!inside(off, size, reg.range, zeroAllowed)) deny(`${outside(reg, regno, off, size, reg.range)}\n${message}`)
}
