import { Errno, HelperId } from '../../../uapi/index.ts'
import type { Runtime } from '../runtime.ts'
import type { HelperGroup } from './helper.ts'

/** Kernel addresses of x86-64 with 48-bit virtual addresses start here. */
const KERNEL_START = 0xffff800000000000n

/** Failure of a read at the address in r3. */
type Fault = (address: bigint) => number
const userFault: Fault = () => -Errno.EFAULT
/** Reads of kernel memory refuse what cannot be a kernel address before they try. */
const kernelFault: Fault = (address) => (address < KERNEL_START ? -Errno.ERANGE : -Errno.EFAULT)

/**
 * bpf_probe_read and its variants. There is one memory, so kernel and user addresses are the same; what is no memory
 * is a fault: an error and zeros, as in the kernel.
 */
function read(rt: Runtime, size: number, fault: Fault): number {
  const to = rt.pointer(1, size, 'a buffer')
  if (size === 0) return 0
  const from = rt.low(3)
  if (rt.high(3) !== 0 || !rt.isMemory(from, size)) {
    rt.memory.fill(to, 0, size)
    return fault(rt.arg64(3))
  }
  rt.memory.copy(to, from, size)
  return 0
}

/** Copies up to the zero byte, which is always written; gives the length with the zero. */
function readString(rt: Runtime, size: number, fault: Fault): number {
  const to = rt.pointer(1, size, 'a buffer')
  if (size === 0) return 0
  const from = rt.low(3)
  const text = rt.high(3) === 0 && rt.isMemory(from, 1) ? rt.memory.cString(from, size - 1) : null
  if (text === null) {
    rt.memory.fill(to, 0, size)
    return fault(rt.arg64(3))
  }
  rt.memory.write(to, text)
  rt.memory.fill(to + text.length, 0, 1)
  return text.length + 1
}

export const MEMORY_HELPERS: HelperGroup = {
  [HelperId.probe_read]: (rt, _to, size) => read(rt, size, userFault),
  [HelperId.probe_read_kernel]: (rt, _to, size) => read(rt, size, kernelFault),
  [HelperId.probe_read_user]: (rt, _to, size) => read(rt, size, userFault),
  [HelperId.probe_read_str]: (rt, _to, size) => readString(rt, size, userFault),
  [HelperId.probe_read_kernel_str]: (rt, _to, size) => readString(rt, size, kernelFault),
  [HelperId.probe_read_user_str]: (rt, _to, size) => readString(rt, size, userFault),
  [HelperId.copy_from_user]: (rt, _to, size) => read(rt, size, userFault),
  [HelperId.copy_from_user_task]: (rt, _to, size) =>
    // r4 is the task, r5 the flags.
    rt.flags(5) === 0 ? read(rt, size, userFault) : -Errno.EINVAL,
  [HelperId.probe_write_user]: (rt, to, _from, size) => {
    const from = rt.pointer(2, size, 'a buffer')
    if (rt.high(1) !== 0 || !rt.isMemory(to, size)) return -Errno.EFAULT
    rt.memory.copy(to, from, size)
    return 0
  },
  [HelperId.per_cpu_ptr]: (rt, address, cpu) => (cpu < rt.cpus ? rt.objects.perCpu(address, cpu) : 0),
  [HelperId.this_cpu_ptr]: (rt, address) => rt.objects.perCpu(address, rt.cpu),
}
