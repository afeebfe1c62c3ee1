import { Errno, HelperId } from '../../../uapi/index.ts'
import { ETH_HLEN, ETH_P_8021AD, ETH_P_8021Q, SkbField, VLAN_HLEN, type SkbContext } from '../context/skb.ts'
import { readBigEndian } from '../context/context.ts'
import { skbOf, type HelperGroup } from './helper.ts'

/** Both addresses of an Ethernet header, which stay in front of a tag. */
const ADDRESSES = 12

function isVlan(protocol: number): boolean {
  return protocol === ETH_P_8021Q || protocol === ETH_P_8021AD
}

function swap16(value: number): number {
  return ((value & 0xff) << 8) | ((value >>> 8) & 0xff)
}

/** Takes the tag at the Ethernet header out of the packet; its control information, or a negative errno. */
function removeTag(skb: SkbContext): number {
  if (skb.data !== skb.mac) return -Errno.EINVAL
  if (skb.length < ETH_HLEN + VLAN_HLEN) return -Errno.ENOMEM
  const tag = readBigEndian(skb.memory, skb.data + ETH_HLEN, 2)
  const inner = skb.protocolAt(skb.data + ETH_HLEN + 2)
  const net = skb.net
  skb.remove(ADDRESSES, VLAN_HLEN)
  // The network header stays where it was, unless that is inside of the new link layer header.
  skb.net = Math.max(net, skb.mac + ETH_HLEN)
  skb.protocol = inner
  return tag
}

/** VLAN tags: one is kept beside the packet, as by a network card; more are in it. */
export const VLAN_HELPERS: HelperGroup = {
  [HelperId.skb_vlan_push]: (rt, _skb, proto, tci) => {
    const skb = skbOf(rt)
    const given = swap16(proto & 0xffff)
    const protocol = isVlan(given) ? given : ETH_P_8021Q
    if (skb.field(SkbField.VLAN_PRESENT) !== 0) {
      if (skb.data !== skb.mac) return -Errno.EINVAL
      const outer = swap16(skb.field(SkbField.VLAN_PROTO))
      const tag = skb.field(SkbField.VLAN_TCI)
      const net = skb.net
      if (!skb.insert(ADDRESSES, VLAN_HLEN)) return -Errno.ENOMEM
      skb.net = net
      const view = skb.memory.view
      view.setUint16(skb.data + ADDRESSES, outer, false)
      view.setUint16(skb.data + ADDRESSES + 2, tag, false)
      skb.protocol = outer
    }
    skb.setField(SkbField.VLAN_PRESENT, 1)
    skb.setField(SkbField.VLAN_PROTO, swap16(protocol))
    skb.setField(SkbField.VLAN_TCI, tci & 0xffff)
    skb.publish()
    return 0
  },
  [HelperId.skb_vlan_pop]: (rt) => {
    const skb = skbOf(rt)
    if (skb.field(SkbField.VLAN_PRESENT) !== 0) {
      clearTag(skb)
    } else {
      if (!isVlan(skb.protocol)) return 0
      const removed = removeTag(skb)
      if (removed < 0) return removed
    }
    // The next tag moves to the side.
    if (isVlan(skb.protocol)) {
      const protocol = skb.protocol
      const tag = removeTag(skb)
      if (tag < 0) return tag
      skb.setField(SkbField.VLAN_PRESENT, 1)
      skb.setField(SkbField.VLAN_PROTO, swap16(protocol))
      skb.setField(SkbField.VLAN_TCI, tag)
    }
    skb.publish()
    return 0
  },
}

function clearTag(skb: SkbContext): void {
  skb.setField(SkbField.VLAN_PRESENT, 0)
  skb.setField(SkbField.VLAN_PROTO, 0)
  skb.setField(SkbField.VLAN_TCI, 0)
}
