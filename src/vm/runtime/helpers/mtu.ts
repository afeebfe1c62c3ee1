import { Errno, HelperId } from '../../../uapi/index.ts'
import type { SkbContext } from '../context/skb.ts'
import type { XdpContext } from '../context/xdp.ts'
import { Trap } from '../../trap.ts'
import type { Helper, HelperGroup } from './helper.ts'

/** BPF_MTU_CHK_SEGS. */
const CHECK_SEGMENTS = 1
const SUCCESS = 0
const FRAGMENTATION_NEEDED = 1
/** The loopback device: 0 means the packet's own. */
const LOOPBACK = 1
const MTU = 65536
const HARD_HEADER = 14

/** bpf_check_mtu(ctx, ifindex, mtu_len, len_diff, flags) against the loopback device. */
const checkMtu: Helper = (rt, _ctx, ifindex, _mtu, difference) => {
  const at = rt.pointer(3, 4, 'a length')
  const given = rt.memory.u32(at)
  const by = difference | 0
  const flags = rt.flags(5)
  const context = rt.run?.context
  if (context === undefined || context.kind === 'raw') throw new Trap('call', 'this helper needs a packet')
  if ((flags & ~(context.kind === 'skb' ? CHECK_SEGMENTS : 0)) !== 0) return -Errno.EINVAL
  if (flags !== 0 && (by !== 0 || given !== 0)) return -Errno.EINVAL
  if (ifindex > LOOPBACK) return -Errno.ENODEV
  const skb = context.kind === 'skb' ? (context as SkbContext) : null
  const own = skb === null ? (context as XdpContext).linearLength : skb.length
  const length = ((given === 0 ? own : given + HARD_HEADER) + by) | 0
  let result: number = length > MTU + HARD_HEADER ? FRAGMENTATION_NEEDED : SUCCESS
  if (result !== SUCCESS && skb?.isGso === true) {
    // Segments are not looked at without a transport header, which test runs have not.
    if (flags !== 0) return -Errno.EINVAL
    result = SUCCESS
  }
  rt.memory.setU32(at, MTU)
  return result
}

export const MTU_HELPERS: HelperGroup = {
  [HelperId.check_mtu]: checkMtu,
}
