import { Errno, HelperId } from '../../../uapi/index.ts'
import { csumAdd, csumFold, csumPartial, replaceByDiff, replaceHalf, replaceWord } from '../checksum.ts'
import { skbOf, type Helper, type HelperGroup } from './helper.ts'

/** Low flag bits: size of the changed field, 0 for a ready-made difference. */
const FIELD_SIZE = 0xf
const PSEUDO_HEADER = 0x10
const MARK_MANGLED_0 = 0x20
const MARK_ENFORCE = 0x40
const IPV6 = 0x80
/** A checksum of 0 means none in UDP; this is 0 too. */
const MANGLED_ZERO = 0xffff

/** bpf_csum_diff(from, from_size, to, to_size, seed), as since Linux 6.13: any sizes, the sum folded to 16 bits. */
const csumDiff: Helper = (rt, _from, fromSize, _to, toSize, seed) => {
  const from = fromSize > 0 ? rt.pointer(1, fromSize, 'data') : 0
  const to = toSize > 0 ? rt.pointer(3, toSize, 'data') : 0
  const removed = csumPartial(rt.memory, from, fromSize, 0)
  if (toSize > 0 && fromSize > 0) {
    return csumFold(csumAdd(csumPartial(rt.memory, to, toSize, seed), ~removed))
  }
  if (toSize > 0) return csumFold(csumPartial(rt.memory, to, toSize, seed))
  if (fromSize > 0) return csumFold(~csumPartial(rt.memory, from, fromSize, ~seed) >>> 0)
  return csumFold(seed)
}

/** bpf_l3_csum_replace(skb, offset, from, to, flags). */
const l3Replace: Helper = (rt, _skb, offset, from, to) => {
  const flags = rt.flags(5)
  if ((flags & ~FIELD_SIZE) !== 0) return -Errno.EINVAL
  const at = checksumAt(rt, offset)
  if (at === 0) return -Errno.EFAULT
  const stored = rt.memory.view.getUint16(at, true)
  let next: number
  if (flags === 0) {
    if (rt.arg64(3) !== 0n) return -Errno.EINVAL
    next = replaceByDiff(stored, to)
  } else if (flags === 2) {
    next = replaceHalf(stored, from, to)
  } else if (flags === 4) {
    next = replaceWord(stored, from, to)
  } else {
    return -Errno.EINVAL
  }
  rt.memory.view.setUint16(at, next, true)
  return 0
}

/** bpf_l4_csum_replace(skb, offset, from, to, flags). */
const l4Replace: Helper = (rt, _skb, offset, from, to) => {
  const flags = rt.flags(5)
  if ((flags & ~(FIELD_SIZE | PSEUDO_HEADER | MARK_MANGLED_0 | MARK_ENFORCE | IPV6)) !== 0) return -Errno.EINVAL
  const at = checksumAt(rt, offset)
  if (at === 0) return -Errno.EFAULT
  const stored = rt.memory.view.getUint16(at, true)
  const mangled = (flags & MARK_MANGLED_0) !== 0
  if (mangled && (flags & MARK_ENFORCE) === 0 && stored === 0) return 0
  const size = flags & FIELD_SIZE
  let next: number
  if (size === 0) {
    if (rt.arg64(3) !== 0n) return -Errno.EINVAL
    next = replaceByDiff(stored, to)
  } else if (size === 2) {
    next = replaceWord(stored, from & 0xffff, to & 0xffff)
  } else if (size === 4) {
    next = replaceWord(stored, from, to)
  } else {
    return -Errno.EINVAL
  }
  rt.memory.view.setUint16(at, mangled && next === 0 ? MANGLED_ZERO : next, true)
  return 0
}

function checksumAt(rt: Parameters<Helper>[0], offset: number): number {
  return offset > 0xffff || (offset & 1) !== 0 ? 0 : skbOf(rt).at(offset, 2)
}

export const CHECKSUM_HELPERS: HelperGroup = {
  [HelperId.csum_diff]: csumDiff,
  [HelperId.l3_csum_replace]: l3Replace,
  [HelperId.l4_csum_replace]: l4Replace,
}
