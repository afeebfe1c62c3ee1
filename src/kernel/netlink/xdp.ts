import { attributesOf, netlink, NetlinkFlag } from './message.ts'

/** Facts of include/uapi/linux/{rtnetlink,if_link}.h. */
const RTM = { GETLINK: 18, SETLINK: 19 } as const
const IFLA_XDP = 43
const XDP_ATTR = { FD: 1, FLAGS: 3, PROG_ID: 4, EXPECTED_FD: 8 } as const
const XDP_FLAG = { UPDATE_IF_NOEXIST: 1, REPLACE: 16 } as const

/**
 * Puts an XDP program on an interface of the calling thread's network namespace, in place of nothing or of `expected`;
 * null takes `expected` off. Returns 0 or -errno.
 * @param mode XDP_FLAGS_*_MODE
 */
export function setXdp(ifindex: number, program: number | null, expected: number | null, mode: number): number {
  const flags = mode | (expected === null ? XDP_FLAG.UPDATE_IF_NOEXIST : XDP_FLAG.REPLACE)
  const attributes = [
    [XDP_ATTR.FD, program ?? -1],
    [XDP_ATTR.FLAGS, flags],
    ...(expected === null ? [] : ([[XDP_ATTR.EXPECTED_FD, expected]] as const)),
  ] as const
  const answer = netlink(RTM.SETLINK, NetlinkFlag.ACK, interfaceHeader(ifindex), [[IFLA_XDP, attributes]])
  return typeof answer === 'number' ? answer : 0
}

/** Id of the XDP program on an interface, 0 for none; -errno. */
export function xdpProgramId(ifindex: number): number {
  const answer = netlink(RTM.GETLINK, NetlinkFlag.ACK, interfaceHeader(ifindex), [])
  if (typeof answer === 'number') return answer
  const xdp = answer.map(({ body }) => attributesOf(body.seek(16)).get(IFLA_XDP)).find((found) => found !== undefined)
  return xdp === undefined ? 0 : (attributesOf(xdp).get(XDP_ATTR.PROG_ID)?.u32() ?? 0)
}

/** struct ifinfomsg. */
function interfaceHeader(ifindex: number): Uint8Array {
  const bytes = new Uint8Array(16)
  new DataView(bytes.buffer).setInt32(4, ifindex, true)
  return bytes
}
