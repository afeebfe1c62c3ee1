import { Errno, HelperId } from '../../../uapi/index.ts'
import { ETH_P_IP, ETH_P_IPV6, SKB_MAX_LEN, SkbField, type SkbContext } from '../context/skb.ts'
import { PACKET_START } from '../layout.ts'
import { skbOf, type Helper, type HelperGroup } from './helper.ts'

const INT_MAX = 0x7fffffff
/** Flags of bpf_skb_store_bytes. */
const RECOMPUTE_CSUM = 1
const INVALIDATE_HASH = 2
/** Highest packet type that may be set (PACKET_OTHERHOST). */
const MAX_PKT_TYPE = 3
/** IP_TUNNEL_OPTS_MAX. */
const MAX_TUNNEL_OPTIONS = 255
/** Bytes that an IPv6 header is longer than an IPv4 one. */
const HEADER_DIFFERENCE = 20

/** bpf_skb_load_bytes(skb, offset, to, len): zeros and -EFAULT when the packet has no such bytes. */
const loadBytes: Helper = (rt, _skb, offset, _to, size) => {
  const to = rt.pointer(3, size, 'a buffer')
  const at = offset > INT_MAX ? 0 : skbOf(rt).at(offset, size)
  if (at === 0) {
    rt.memory.fill(to, 0, size)
    return -Errno.EFAULT
  }
  rt.memory.copy(to, at, size)
  return 0
}

const loadBytesRelative: Helper = (rt, _skb, offset, _to, size, header) => {
  const to = rt.pointer(3, size, 'a buffer')
  const skb = skbOf(rt)
  const start = header === 0 ? skb.mac : header === 1 ? skb.net : 0
  if (offset > 0xffff || start === 0 || start + offset + size > skb.tail) {
    rt.memory.fill(to, 0, size)
    return -Errno.EFAULT
  }
  rt.memory.copy(to, start + offset, size)
  return 0
}

const storeBytes: Helper = (rt, _skb, offset, _from, size) => {
  const from = rt.pointer(3, size, 'a buffer')
  const flags = rt.flags(5)
  if ((flags & ~(RECOMPUTE_CSUM | INVALIDATE_HASH)) !== 0) return -Errno.EINVAL
  const skb = skbOf(rt)
  const at = offset > INT_MAX ? 0 : skb.at(offset, size)
  if (at === 0) return -Errno.EFAULT
  rt.memory.copy(at, from, size)
  if ((flags & INVALIDATE_HASH) !== 0) skb.setField(SkbField.HASH, 0)
  return 0
}

function networkOffset(skb: SkbContext): number {
  return skb.net - skb.data
}

const changeTail: Helper = (rt, _skb, length) => {
  const skb = skbOf(rt)
  if (rt.flags(3) !== 0 || length > SKB_MAX_LEN || length < Math.max(0, networkOffset(skb))) return -Errno.EINVAL
  if (skb.encapsulated) return -Errno.ENOTSUPP
  if (length > skb.length) rt.memory.fill(skb.tail, 0, length - skb.length)
  skb.tail = skb.data + length
  if (skb.isGso) {
    skb.setField(SkbField.GSO_SIZE, 0)
    skb.setField(SkbField.GSO_SEGS, 0)
  }
  skb.publish()
  return 0
}

const changeHead: Helper = (rt, _skb, size) => {
  const skb = skbOf(rt)
  const length = skb.length + size
  if (rt.flags(3) !== 0 || (!skb.isGso && length > SKB_MAX_LEN)) return -Errno.EINVAL
  if (skb.data - size < PACKET_START) return -Errno.ENOMEM
  skb.data -= size
  rt.memory.fill(skb.data, 0, size)
  skb.mac = skb.data
  skb.publish()
  return 0
}

const changeProto: Helper = (rt, _skb, proto) => {
  const skb = skbOf(rt)
  if (rt.flags(3) !== 0) return -Errno.EINVAL
  // The argument is in network order, as skb->protocol.
  const to = ((proto & 0xff) << 8) | ((proto >>> 8) & 0xff)
  const macLength = skb.net - skb.mac
  if (skb.protocol === ETH_P_IP && to === ETH_P_IPV6) {
    if (!skb.insert(macLength, HEADER_DIFFERENCE)) return -Errno.ENOMEM
  } else if (skb.protocol === ETH_P_IPV6 && to === ETH_P_IP) {
    if (skb.length < macLength + HEADER_DIFFERENCE) return -Errno.ENOMEM
    skb.remove(macLength, HEADER_DIFFERENCE)
  } else {
    return -Errno.ENOTSUPP
  }
  skb.protocol = to
  skb.setField(SkbField.HASH, 0)
  skb.publish()
  return 0
}

/** bpf_skb_set_tstamp(skb, time, clock): clock 0 is real time, 1 monotonic, 2 TAI; only real time may be 0. */
const setTimestamp: Helper = (rt) => {
  const skb = skbOf(rt)
  const time = rt.arg64(2)
  const clock = rt.low(3)
  if (skb.protocol !== ETH_P_IP && skb.protocol !== ETH_P_IPV6) return -Errno.EOPNOTSUPP
  if (clock > 2 || (clock !== 0 && time === 0n)) return -Errno.EINVAL
  rt.memory.setU64(skb.address + SkbField.TSTAMP, time)
  return 0
}

/** Socket buffers: reading, writing and resizing. */
export const SKB_HELPERS: HelperGroup = {
  [HelperId.skb_load_bytes]: loadBytes,
  [HelperId.skb_load_bytes_relative]: loadBytesRelative,
  [HelperId.skb_store_bytes]: storeBytes,
  [HelperId.skb_pull_data]: (rt, _skb, size) => (size > skbOf(rt).length ? -Errno.ENOMEM : 0),
  [HelperId.skb_change_tail]: changeTail,
  [HelperId.skb_change_head]: changeHead,
  [HelperId.skb_change_proto]: changeProto,
  [HelperId.skb_change_type]: (rt, _skb, type) => {
    const skb = skbOf(rt)
    if (skb.field(SkbField.PKT_TYPE) > MAX_PKT_TYPE || type > MAX_PKT_TYPE) return -Errno.EINVAL
    skb.setField(SkbField.PKT_TYPE, type)
    return 0
  },
  [HelperId.get_hash_recalc]: (rt) => {
    const skb = skbOf(rt)
    if (skb.field(SkbField.HASH) === 0) skb.setField(SkbField.HASH, flowHash(skb))
    return skb.field(SkbField.HASH)
  },
  [HelperId.set_hash_invalid]: (rt) => {
    skbOf(rt).setField(SkbField.HASH, 0)
    return 0
  },
  [HelperId.set_hash]: (rt, _skb, hash) => {
    skbOf(rt).setField(SkbField.HASH, hash)
    return 0
  },
  [HelperId.skb_set_tstamp]: setTimestamp,
  [HelperId.get_cgroup_classid]: () => 0,
  [HelperId.get_route_realm]: () => 0,
  [HelperId.skb_cgroup_classid]: () => 0,
  // The socket of a test run's packet is in no cgroup.
  [HelperId.skb_cgroup_id]: () => 0,
  [HelperId.skb_ancestor_cgroup_id]: () => 0,
  [HelperId.skb_ecn_set_ce]: () => 0,
  [HelperId.skb_under_cgroup]: (rt, _skb, _map, index) =>
    index >= rt.map(2).maxEntries ? -Errno.E2BIG : -Errno.EAGAIN,
  // No packet of a test run came through a tunnel.
  [HelperId.skb_get_tunnel_key]: (rt, _skb, _key, size) => {
    rt.memory.fill(rt.pointer(2, size, 'a tunnel key'), 0, size)
    return -Errno.EINVAL
  },
  [HelperId.skb_get_tunnel_opt]: (rt, _skb, _opt, size) => {
    rt.memory.fill(rt.pointer(2, size, 'tunnel options'), 0, size)
    return -Errno.ENOENT
  },
  [HelperId.skb_set_tunnel_key]: (rt) => {
    if (rt.flags(4) > 0x1f) return -Errno.EINVAL
    skbOf(rt).tunnel = true
    return 0
  },
  [HelperId.skb_set_tunnel_opt]: (rt, _skb, _opt, size) => {
    rt.pointer(2, size, 'tunnel options')
    if (!skbOf(rt).tunnel || size % 4 !== 0) return -Errno.EINVAL
    return size > MAX_TUNNEL_OPTIONS ? -Errno.ENOMEM : 0
  },
  [HelperId.csum_update]: () => -Errno.ENOTSUPP,
  [HelperId.csum_level]: () => -Errno.EACCES,
}

/** A hash over the addresses and ports of a flow. The kernel's has a secret key, so that it can be any number. */
function flowHash(skb: SkbContext): number {
  let hash = 0x811c9dc5
  const start = skb.net + (skb.protocol === ETH_P_IPV6 ? 8 : 12)
  const end = Math.min(skb.tail, start + (skb.protocol === ETH_P_IPV6 ? 36 : 12))
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ (skb.memory.u8[at] as number), 0x01000193)
  return (hash | 1) >>> 0
}
