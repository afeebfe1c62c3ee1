import { Errno, HelperId, ProgType, TcAction, XdpAction } from '../../../uapi/index.ts'
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
    if (rt.run?.context.kind === 'xdp') return flags === 0 ? XdpAction.REDIRECT : XdpAction.ABORTED
    return (flags & ~INGRESS) === 0 ? TcAction.REDIRECT : TcAction.SHOT
  },
  [HelperId.redirect_peer]: (rt) => (rt.flags(2) === 0 ? TcAction.REDIRECT : TcAction.SHOT),
  [HelperId.redirect_neigh]: (rt, _ifindex, _params, size) =>
    rt.flags(4) === 0 && (size === 0 || size >= 20) ? TcAction.REDIRECT : TcAction.SHOT,
  [HelperId.clone_redirect]: (rt, _skb, ifindex) => {
    const skb = skbOf(rt)
    if ((rt.flags(3) & ~INGRESS) !== 0) return -Errno.EINVAL
    if (skb.isGso) return -Errno.EBADMSG
    return ifindex === LOOPBACK ? 0 : -Errno.EINVAL
  },
  [HelperId.fib_lookup]: (rt, _ctx, _params, size) => {
    rt.pointer(2, size, 'struct bpf_fib_lookup')
    if (size < FIB_LOOKUP_SIZE || (rt.flags(4) & ~FIB_FLAGS) !== 0) return -Errno.EINVAL
    return FIB_NOT_FORWARDED
  },
  // There are no sockets in the vm.
  [HelperId.sk_lookup_tcp]: () => 0,
  [HelperId.sk_lookup_udp]: () => 0,
  [HelperId.skc_lookup_tcp]: () => 0,
  [HelperId.sk_release]: () => 0,
  [HelperId.sk_fullsock]: () => 0,
  [HelperId.tcp_sock]: () => 0,
  [HelperId.get_listener_sock]: () => 0,
  [HelperId.skc_to_tcp_sock]: () => 0,
  [HelperId.skc_to_tcp6_sock]: () => 0,
  [HelperId.skc_to_tcp_timewait_sock]: () => 0,
  [HelperId.skc_to_tcp_request_sock]: () => 0,
  [HelperId.skc_to_udp6_sock]: () => 0,
  [HelperId.skc_to_unix_sock]: () => 0,
  [HelperId.sock_from_file]: () => 0,
  [HelperId.get_netns_cookie]: () => 1,
  [HelperId.sk_assign]: (rt) => (rt.run?.programs[0]?.type === ProgType.SK_LOOKUP ? 0 : -Errno.ENOENT),
}
