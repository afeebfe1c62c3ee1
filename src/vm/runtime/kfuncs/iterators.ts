import { Errno } from '../../../uapi/index.ts'
import type { Helper } from '../helpers/helper.ts'

/** Words that bpf_iter_bits takes at most. */
const MAX_WORDS = 511

/** struct bpf_iter_bits, 16 bytes: u32 address of the copied words, u32 words, u32 bit, u32 number of bits. */
const SIZE = 16

const bitsNew: Helper = (rt, _it, from, words) => {
  const it = rt.pointer(1, SIZE, 'an iterator')
  rt.memory.fill(it, 0, SIZE)
  if (from === 0 || words === 0) return -Errno.EINVAL
  if (words > MAX_WORDS) return -Errno.E2BIG
  if (rt.high(2) !== 0 || !rt.isMemory(from, words * 8)) return -Errno.EFAULT
  const copy = rt.memory.allocate(words * 8)
  rt.memory.copy(copy, from, words * 8)
  rt.memory.setU32(it, copy)
  rt.memory.setU32(it + 4, words)
  rt.memory.view.setInt32(it + 8, -1, true)
  rt.memory.setU32(it + 12, words * 64)
  return 0
}

const bitsNext: Helper = (rt) => {
  const it = rt.pointer(1, SIZE, 'an iterator')
  const { memory } = rt
  const words = memory.u32(it)
  const count = memory.u32(it + 12)
  if (words === 0) return 0
  for (let bit = memory.view.getInt32(it + 8, true) + 1; bit < count; bit++) {
    if (((memory.u8[words + (bit >>> 3)] as number) & (1 << (bit & 7))) === 0) continue
    memory.setU32(it + 8, bit)
    return it + 8
  }
  memory.setU32(it + 8, count)
  return 0
}

const bitsDestroy: Helper = (rt) => {
  const it = rt.pointer(1, SIZE, 'an iterator')
  if (rt.memory.u32(it) !== 0) rt.memory.free(rt.memory.u32(it), rt.memory.u32(it + 4) * 8)
  rt.memory.fill(it, 0, SIZE)
  return 0
}

/** Open-coded iterators, by name. */
export const ITERATOR_KFUNCS: Readonly<Record<string, Helper>> = {
  bpf_iter_bits_new: bitsNew,
  bpf_iter_bits_next: bitsNext,
  bpf_iter_bits_destroy: bitsDestroy,
}
