import { Errno } from '../../../uapi/index.ts'
import type { Helper } from '../helpers/helper.ts'
import type { Runtime } from '../runtime.ts'

/** Longest string that these functions read (XATTR_SIZE_MAX). */
const LIMIT = 65_536

/** Bytes of the string in a register; a negative errno when it cannot be read or has no end. */
function text(rt: Runtime, register: number, limit: number = LIMIT): Uint8Array | number {
  const address = rt.low(register)
  if (rt.high(register) !== 0 || !rt.isMemory(address, 1)) return -Errno.EFAULT
  const room = Math.min(limit, rt.memory.size - address)
  const end = rt.memory.u8.subarray(address, address + room).indexOf(0)
  if (end >= 0) return rt.memory.read(address, end)
  if (room < limit) return -Errno.EFAULT
  return limit < LIMIT ? rt.memory.read(address, limit) : -Errno.E2BIG
}

function lower(byte: number): number {
  return byte >= 65 && byte <= 90 ? byte + 32 : byte
}
const asIs = (byte: number): number => byte

/** (s1, s2): -1, 0 or 1; `bounded`: a third argument limits the length. */
function compare(fold: (byte: number) => number, bounded: boolean): Helper {
  return (rt) => {
    const limit = bounded ? Math.min(rt.low(3), LIMIT) : LIMIT
    const [a, b] = [text(rt, 1, limit), text(rt, 2, limit)]
    if (typeof a === 'number') return a
    if (typeof b === 'number') return b
    for (let i = 0; i < limit; i++) {
      const [left, right] = [fold(a[i] ?? 0), fold(b[i] ?? 0)]
      if (left !== right) return left < right ? -1 : 1
      if (left === 0) return 0
    }
    return 0
  }
}

/** (s, c) or (s, count, c): where a character is first or last; the end of the string counts as one. */
function find(last: boolean, orEnd: boolean, bounded: boolean): Helper {
  return (rt) => {
    const limit = bounded ? Math.min(rt.low(2), LIMIT) : LIMIT
    const s = text(rt, 1, limit)
    if (typeof s === 'number') return s
    const c = rt.low(bounded ? 3 : 2) & 0xff
    if (c === 0) return s.length < limit ? s.length : -Errno.ENOENT
    const at = last ? s.lastIndexOf(c) : s.indexOf(c)
    return at >= 0 ? at : orEnd ? s.length : -Errno.ENOENT
  }
}

/** (s, set): characters at the start of s that are (`inside`) or are not in the set. */
function span(inside: boolean): Helper {
  return (rt) => {
    const [s, set] = [text(rt, 1), text(rt, 2)]
    if (typeof s === 'number') return s
    if (typeof set === 'number') return set
    const end = s.findIndex((byte) => set.includes(byte) !== inside)
    return end < 0 ? s.length : end
  }
}

/** (s1, s2): where s2 is in s1; `bounded`: in its first so many characters. */
function search(fold: (byte: number) => number, bounded: boolean): Helper {
  return (rt) => {
    const limit = bounded ? Math.min(rt.low(3), LIMIT) : LIMIT
    const [s, part] = [text(rt, 1, limit), text(rt, 2)]
    if (typeof s === 'number') return s
    if (typeof part === 'number') return part
    for (let at = 0; at + part.length <= s.length; at++) {
      if (part.every((byte, i) => fold(byte) === fold(s[at + i] as number))) return at
    }
    return -Errno.ENOENT
  }
}

const length: Helper = (rt) => {
  const s = text(rt, 1)
  return typeof s === 'number' ? s : s.length
}

const boundedLength: Helper = (rt, _s, count) => {
  const s = text(rt, 1, Math.min(count, LIMIT))
  return typeof s === 'number' ? s : s.length
}

/** Kernel functions on strings (Linux 6.17), by name. */
export const STRING_KFUNCS: Readonly<Record<string, Helper>> = {
  bpf_strcmp: compare(asIs, false),
  bpf_strcasecmp: compare(lower, false),
  bpf_strncasecmp: compare(lower, true),
  bpf_strchr: find(false, false, false),
  bpf_strchrnul: find(false, true, false),
  bpf_strnchr: find(false, false, true),
  bpf_strrchr: find(true, false, false),
  bpf_strlen: length,
  bpf_strnlen: boundedLength,
  bpf_strspn: span(true),
  bpf_strcspn: span(false),
  bpf_strstr: search(asIs, false),
  bpf_strnstr: search(asIs, true),
  bpf_strcasestr: search(lower, false),
  bpf_strncasestr: search(lower, true),
}
