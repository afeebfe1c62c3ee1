import { Errno, HelperId } from '../../../uapi/index.ts'
import type { Runtime } from '../runtime.ts'
import type { HelperGroup } from './helper.ts'

/**
 * bpf_probe_read and its variants. There is one memory, so kernel and user addresses are the same; what is no memory
 * is a fault: -EFAULT and zeros, as in the kernel.
 */
function read(rt: Runtime, _to: number, size: number, _from: number): number {
  const to = rt.pointer(1, size, 'a buffer')
  if (size === 0) return 0
  const from = rt.low(3)
  if (rt.high(3) !== 0 || !rt.isMemory(from, size)) {
    rt.memory.fill(to, 0, size)
    return -Errno.EFAULT
  }
  rt.memory.copy(to, from, size)
  return 0
}

/** Copies up to the zero byte, which is always written; gives the length with the zero. */
function readString(rt: Runtime, _to: number, size: number, _from: number): number {
  const to = rt.pointer(1, size, 'a buffer')
  if (size === 0) return 0
  const from = rt.low(3)
  const text = rt.high(3) === 0 && rt.isMemory(from, 1) ? rt.memory.cString(from, size - 1) : null
  if (text === null) {
    rt.memory.fill(to, 0, size)
    return -Errno.EFAULT
  }
  rt.memory.write(to, text)
  rt.memory.fill(to + text.length, 0, 1)
  return text.length + 1
}

export const MEMORY_HELPERS: HelperGroup = {
  [HelperId.probe_read]: read,
  [HelperId.probe_read_kernel]: read,
  [HelperId.probe_read_user]: read,
  [HelperId.probe_read_str]: readString,
  [HelperId.probe_read_kernel_str]: readString,
  [HelperId.probe_read_user_str]: readString,
  [HelperId.copy_from_user]: read,
  [HelperId.copy_from_user_task]: (rt, to, size, from) => {
    // r4 is the task, r5 the flags.
    return rt.flags(5) === 0 ? read(rt, to, size, from) : -Errno.EINVAL
  },
  [HelperId.probe_write_user]: (rt, to, _from, size) => {
    const from = rt.pointer(2, size, 'a buffer')
    if (rt.high(1) !== 0 || !rt.isMemory(to, size)) return -Errno.EFAULT
    rt.memory.copy(to, from, size)
    return 0
  },
  [HelperId.per_cpu_ptr]: (rt, address, cpu) => (cpu < rt.cpus ? address : 0),
  [HelperId.this_cpu_ptr]: (_rt, address) => address,
}
