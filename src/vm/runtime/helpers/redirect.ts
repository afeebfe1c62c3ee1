import { Errno, HelperId, TcAction, XdpAction } from '../../../uapi/index.ts'
import { skbOf, type HelperGroup } from './helper.ts'

const INGRESS = 1
/** The vm has one device, the loopback device. */
const LOOPBACK = 1
const FIB_LOOKUP_SIZE = 64
const FIB_FLAGS = 0x3f
/** Neither a local route nor one to forward by (BPF_FIB_LKUP_RET_NOT_FWDED). */
const FIB_NOT_FORWARDED = 4

/** Where packets go. Nothing is sent in the vm; programs get the verdict that the kernel would give. */
export const REDIRECT_HELPERS: HelperGroup = {
  [HelperId.redirect]: (rt) => {
    const flags = rt.flags(2)
    rt.effect('bpf_redirect', { ifindex: rt.low(1), flags })
    if (rt.run?.context.kind === 'xdp') return flags === 0 ? XdpAction.REDIRECT : XdpAction.ABORTED
    return (flags & ~INGRESS) === 0 ? TcAction.REDIRECT : TcAction.SHOT
  },
  [HelperId.redirect_peer]: (rt, ifindex) => {
    if (rt.flags(2) !== 0) return TcAction.SHOT
    rt.effect('bpf_redirect_peer', { ifindex })
    return TcAction.REDIRECT
  },
  [HelperId.redirect_neigh]: (rt, ifindex, _params, size) => {
    if (rt.flags(4) !== 0 || (size !== 0 && size < 20)) return TcAction.SHOT
    rt.effect('bpf_redirect_neigh', { ifindex })
    return TcAction.REDIRECT
  },
  [HelperId.clone_redirect]: (rt, _skb, ifindex) => {
    const skb = skbOf(rt)
    if ((rt.flags(3) & ~INGRESS) !== 0) return -Errno.EINVAL
    if (skb.isGso) return -Errno.EBADMSG
    if (ifindex !== LOOPBACK) return -Errno.EINVAL
    rt.effect('bpf_clone_redirect', { ifindex, data: rt.memory.read(skb.data, skb.length) })
    return 0
  },
  [HelperId.fib_lookup]: (rt, _ctx, _params, size) => {
    rt.pointer(2, size, 'struct bpf_fib_lookup')
    if (size < FIB_LOOKUP_SIZE || (rt.flags(4) & ~FIB_FLAGS) !== 0) return -Errno.EINVAL
    return FIB_NOT_FORWARDED
  },
}
