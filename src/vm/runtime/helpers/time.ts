import { HelperId } from '../../../uapi/index.ts'
import type { HelperGroup } from './helper.ts'

/** Ticks a second of the kernel that the vm plays (CONFIG_HZ). */
const HZ = 250n
const SECOND = 1_000_000_000n
/** Jiffies start five minutes before they overflow 32 bits. */
const INITIAL_JIFFIES = 0x1_0000_0000n - 300n * HZ

/** Clocks, random numbers, and the processor. */
export const TIME_HELPERS: HelperGroup = {
  [HelperId.ktime_get_ns]: (rt) => rt.options.clock(),
  [HelperId.ktime_get_boot_ns]: (rt) => rt.options.clock(),
  [HelperId.ktime_get_tai_ns]: (rt) => rt.options.clock(),
  [HelperId.ktime_get_coarse_ns]: (rt) => {
    const now = rt.options.clock()
    return now - (now % (SECOND / HZ))
  },
  [HelperId.jiffies64]: (rt) => INITIAL_JIFFIES + (rt.options.clock() * HZ) / SECOND,
  [HelperId.get_prandom_u32]: (rt) => rt.random(),
  [HelperId.get_smp_processor_id]: (rt) => rt.cpu,
  [HelperId.get_numa_node_id]: () => 0,
}
