import { Errno, HelperId, XdpAction } from '../../../uapi/index.ts'
import { RedirectArrayMap, RedirectHashMap } from '../maps/redirect-map.ts'
import { xdpOf, type HelperGroup } from './helper.ts'

/** Longest XDP packet in fragments. */
const MAX_OFFSET = 0xffff

/** XDP packets. */
export const XDP_HELPERS: HelperGroup = {
  [HelperId.xdp_adjust_head]: (rt, _ctx, by) => xdpOf(rt).adjustHead(by | 0),
  [HelperId.xdp_adjust_tail]: (rt, _ctx, by) => xdpOf(rt).adjustTail(by | 0),
  [HelperId.xdp_adjust_meta]: (rt, _ctx, by) => xdpOf(rt).adjustMeta(by | 0),
  [HelperId.xdp_get_buff_len]: (rt) => xdpOf(rt).length,
  [HelperId.xdp_load_bytes]: (rt, _ctx, offset, _buffer, size) => {
    const buffer = rt.pointer(3, size, 'a buffer')
    if (offset > MAX_OFFSET || size > MAX_OFFSET) return -Errno.EFAULT
    const bytes = xdpOf(rt).read(offset, size)
    if (bytes === null) return -Errno.EINVAL
    rt.memory.write(buffer, bytes)
    return 0
  },
  [HelperId.xdp_store_bytes]: (rt, _ctx, offset, _buffer, size) => {
    const buffer = rt.pointer(3, size, 'a buffer')
    if (offset > MAX_OFFSET || size > MAX_OFFSET) return -Errno.EFAULT
    return xdpOf(rt).write(offset, rt.memory.read(buffer, size)) ? 0 : -Errno.EINVAL
  },
  [HelperId.redirect_map]: (rt) => {
    const map = rt.map(1)
    const flags = rt.flags(3)
    const devmap = map instanceof RedirectHashMap || map.type === 14
    // BPF_F_BROADCAST and BPF_F_EXCLUDE_INGRESS go to every target of a devmap.
    const broadcast = devmap ? 8 | 16 : 0
    if ((flags & ~(3 | broadcast)) !== 0) return XdpAction.ABORTED
    if (!(map instanceof RedirectArrayMap || map instanceof RedirectHashMap)) return XdpAction.ABORTED
    if ((flags & 8) !== 0 && devmap) return XdpAction.REDIRECT
    const key = rt.memory.allocate(4)
    rt.memory.setU32(key, rt.low(2))
    const found = map.hasTarget(key)
    rt.memory.free(key, 4)
    return found ? XdpAction.REDIRECT : flags & 3
  },
}
