import { Errno, HelperId } from '../../../uapi/index.ts'
import { ETH_HLEN, ETH_P_IP, ETH_P_IPV6, SKB_MAX_LEN, type SkbContext } from '../context/skb.ts'
import { skbOf, type Helper, type HelperGroup } from './helper.ts'

/** BPF_F_ADJ_ROOM_* (include/uapi/linux/bpf.h). */
const FIXED_GSO = 1
const ENCAP_L3_IPV4 = 2
const ENCAP_L3_IPV6 = 4
const ENCAP_L4_GRE = 8
const ENCAP_L4_UDP = 16
const NO_CSUM_RESET = 32
const ENCAP_L2_ETH = 64
const DECAP_L3_IPV4 = 128
const DECAP_L3_IPV6 = 256
const ENCAP_L3 = ENCAP_L3_IPV4 | ENCAP_L3_IPV6
const DECAP_L3 = DECAP_L3_IPV4 | DECAP_L3_IPV6
const LOW_FLAGS = 0x1ff
/** The length of an inner link layer header is in the top byte of the flags. */
const INNER_MAC_SHIFT = 24
const MODE_NET = 0
const MODE_MAC = 1
const MAX_DIFFERENCE = 0xfff

function baseLength(skb: SkbContext): number {
  return skb.protocol === ETH_P_IP ? 20 : 40
}

/** bpf_skb_adjust_room(skb, len_diff, mode, flags). */
const adjustRoom: Helper = (rt, _skb, difference, mode) => {
  const skb = skbOf(rt)
  const by = difference | 0
  const size = Math.abs(by)
  const flags = rt.low(4)
  const innerMac = rt.high(4) >>> INNER_MAC_SHIFT
  if ((flags & ~LOW_FLAGS) !== 0 || (rt.high(4) & 0xffffff) !== 0) return -Errno.EINVAL
  if (size > MAX_DIFFERENCE) return -Errno.EFAULT
  if (skb.protocol !== ETH_P_IP && skb.protocol !== ETH_P_IPV6) return -Errno.ENOTSUPP
  if (mode !== MODE_NET && mode !== MODE_MAC) return -Errno.ENOTSUPP
  const at = skb.net - skb.mac + (mode === MODE_NET ? baseLength(skb) : 0)
  let least = baseLength(skb)
  const decap = flags & DECAP_L3
  if (decap !== 0) {
    if (by >= 0 || decap === DECAP_L3) return -Errno.EINVAL
    least = decap === DECAP_L3_IPV4 ? 20 : 40
  }
  const current = skb.length - (skb.net - skb.data)
  if (by < 0) {
    if (size >= current || current - size < least) return -Errno.ENOTSUPP
    if ((flags & ~(FIXED_GSO | DECAP_L3 | NO_CSUM_RESET)) !== 0 || innerMac !== 0) return -Errno.EINVAL
    if (skb.isGso) return -Errno.ENOTSUPP
    if (skb.length < at + size) return -Errno.ENOMEM
    skb.remove(at, size)
    if (decap === DECAP_L3_IPV6) skb.protocol = ETH_P_IPV6
    else if (decap === DECAP_L3_IPV4) skb.protocol = ETH_P_IP
  } else {
    if (skb.length + size > SKB_MAX_LEN || skb.isGso) return -Errno.ENOTSUPP
    const error = checkEncapsulation(skb, flags, innerMac, size)
    if (error !== 0) return error
    if (!skb.insert(at, size)) return -Errno.ENOMEM
    if ((flags & ENCAP_L3) !== 0) {
      skb.encapsulated = true
      skb.protocol = (flags & ENCAP_L3_IPV6) !== 0 ? ETH_P_IPV6 : ETH_P_IP
    }
  }
  skb.publish()
  return 0
}

function checkEncapsulation(skb: SkbContext, flags: number, innerMac: number, size: number): number {
  if ((flags & ENCAP_L3) === 0) return 0
  if ((flags & ENCAP_L3) === ENCAP_L3) return -Errno.EINVAL
  if ((flags & ENCAP_L4_GRE) !== 0 && (flags & ENCAP_L4_UDP) !== 0) return -Errno.EINVAL
  if ((flags & ENCAP_L2_ETH) !== 0 && innerMac < ETH_HLEN) return -Errno.EINVAL
  if (skb.encapsulated) return -Errno.EALREADY
  return innerMac > size ? -Errno.EINVAL : 0
}

export const ADJUST_ROOM_HELPERS: HelperGroup = {
  [HelperId.skb_adjust_room]: adjustRoom,
}
