import { Errno, HelperId, MapType, XdpAction } from '../../../uapi/index.ts'
import { Trap } from '../../trap.ts'
import { RedirectMap } from '../maps/redirect-map.ts'
import { xdpOf, type HelperGroup } from './helper.ts'

/** Flags of bpf_redirect_map; broadcasts go to all targets of a devmap. */
const VERDICT = 3
const BROADCAST = 8
const EXCLUDE_INGRESS = 16
const DEVICES: ReadonlySet<number> = new Set<number>([MapType.DEVMAP, MapType.DEVMAP_HASH])
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
  /** The two low bits of the flags are the verdict when there is no target. */
  [HelperId.redirect_map]: (rt, _map, index) => {
    const map = rt.map(1)
    const flags = rt.flags(3)
    if (!(map instanceof RedirectMap)) throw new Trap('call', `map ${map.name} is none to redirect by`)
    const everywhere = DEVICES.has(map.type) ? BROADCAST | EXCLUDE_INGRESS : 0
    if ((flags & ~(VERDICT | everywhere)) !== 0) return XdpAction.ABORTED
    return map.hasTarget(index) || (flags & BROADCAST) !== 0 ? XdpAction.REDIRECT : flags & VERDICT
  },
}
