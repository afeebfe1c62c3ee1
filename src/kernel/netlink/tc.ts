import { Errno } from '../../uapi/index.ts'
import { netlink, NetlinkFlag, type NetlinkMessage } from './message.ts'

/** Facts of include/uapi/linux/{rtnetlink,pkt_sched,pkt_cls}.h. */
const RTM = { NEWQDISC: 36, DELQDISC: 37, NEWTFILTER: 44, DELTFILTER: 45, GETTFILTER: 46 } as const
const TCA = { KIND: 1, OPTIONS: 2 } as const
const TCA_BPF = { FD: 6, NAME: 7, FLAGS: 8 } as const
/** The program's result is the verdict (TCA_BPF_FLAG_ACT_DIRECT). */
const DIRECT = 1
const CLSACT = 0xffff_fff1
const PARENT = { ingress: 0xffff_fff2, egress: 0xffff_fff3 } as const
/** All protocols, in network order (ETH_P_ALL). */
const ALL_PROTOCOLS = 0x0300
const TCMSG_SIZE = 20

export type TcDirection = keyof typeof PARENT

/** A filter of the clsact queue discipline of an interface. */
export interface TcFilter {
  readonly ifindex: number
  readonly direction: TcDirection
  readonly handle: number
  readonly priority: number
}

/** Gives an interface the queue discipline clsact. 0, -EEXIST when it has it already, or another -errno. */
export function addClsact(ifindex: number): number {
  return result(
    netlink(
      RTM.NEWQDISC,
      NetlinkFlag.ACK | NetlinkFlag.CREATE | NetlinkFlag.EXCL,
      header(ifindex, CLSACT, 0xffff_0000, 0),
      [[TCA.KIND, 'clsact']],
    ),
  )
}

/** Removes clsact, with all of its filters. */
export function removeClsact(ifindex: number): number {
  return result(netlink(RTM.DELQDISC, NetlinkFlag.ACK, header(ifindex, CLSACT, 0xffff_0000, 0), [[TCA.KIND, 'clsact']]))
}

/**
 * Adds a program as a filter; handle and priority 0 leave the choice to the kernel. With `replace` a filter of that
 * handle and priority gets another program. The filter as it came to be, or -errno.
 */
export function addFilter(
  filter: TcFilter,
  program: number,
  name: string,
  replace: boolean = false,
): TcFilter | number {
  const flags = NetlinkFlag.ACK | NetlinkFlag.ECHO | NetlinkFlag.CREATE
  const answer = netlink(RTM.NEWTFILTER, flags | (replace ? NetlinkFlag.REPLACE : NetlinkFlag.EXCL), headerOf(filter), [
    [TCA.KIND, 'bpf'],
    [
      TCA.OPTIONS,
      [
        [TCA_BPF.FD, program],
        [TCA_BPF.NAME, name],
        [TCA_BPF.FLAGS, DIRECT],
      ],
    ],
  ])
  if (typeof answer === 'number') return answer
  const echo = answer.find(({ type }) => type === RTM.NEWTFILTER)
  if (echo === undefined) return -Errno.EINVAL
  const handle = echo.body.seek(8).u32()
  return { ...filter, handle, priority: echo.body.seek(16).u32() >>> 16 }
}

/** Removes a filter. 0 or -errno. */
export function removeFilter(filter: TcFilter): number {
  return result(netlink(RTM.DELTFILTER, NetlinkFlag.ACK, headerOf(filter), [[TCA.KIND, 'bpf']]))
}

/** How many filters an interface has in clsact, both directions together. */
export function countFilters(ifindex: number): number {
  let count = 0
  for (const parent of Object.values(PARENT)) {
    const answer = netlink(RTM.GETTFILTER, NetlinkFlag.DUMP, header(ifindex, parent, 0, 0), [])
    if (typeof answer !== 'number') count += answer.filter(isFilter).length
  }
  return count
}

/** The dump has a record for the priority as a whole, too, which has no handle. */
function isFilter({ type, body }: NetlinkMessage): boolean {
  return type === RTM.NEWTFILTER && body.seek(8).u32() !== 0
}

function headerOf({ ifindex, direction, handle, priority }: TcFilter): Uint8Array {
  return header(ifindex, PARENT[direction], handle, ((priority << 16) | ALL_PROTOCOLS) >>> 0)
}

/** struct tcmsg. */
function header(ifindex: number, parent: number, handle: number, info: number): Uint8Array {
  const bytes = new Uint8Array(TCMSG_SIZE)
  const view = new DataView(bytes.buffer)
  view.setInt32(4, ifindex, true)
  view.setUint32(8, handle, true)
  view.setUint32(12, parent, true)
  view.setUint32(16, info, true)
  return bytes
}

function result(answer: NetlinkMessage[] | number): number {
  return typeof answer === 'number' ? answer : 0
}
