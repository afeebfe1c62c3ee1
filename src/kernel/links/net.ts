import { openSync, closeSync } from 'node:fs'
import { BpfError } from '../../bytes/index.ts'
import type { AttachOrder, Link } from '../../loader/index.ts'
import { AttachFlag, AttachType, Cmd, Errno, attachTypeName } from '../../uapi/index.ts'
import { Attr } from '../attr.ts'
import { mapInfo, ownProgramFd } from '../objects.ts'
import { bpf, native } from '../syscall.ts'
import { LegacyLink, mapFd, programFd, tryLink, KernelLink } from './link.ts'
import { attachTcByNetlink, attachXdpByNetlink } from './netlink-link.ts'
import { inNetns, interfaceIndex, withNetns } from './netns.ts'
import type { AttachSite, Hints } from './site.ts'

/** XDP_FLAGS_*_MODE, include/uapi/linux/if_link.h. */
const XDP_MODE = { generic: 2, native: 4, offload: 8 } as const
/** NFPROTO_*, enum nf_inet_hooks and BPF_F_NETFILTER_IP_DEFRAG. */
const FAMILY = { ipv4: 2, ipv6: 10 } as const
const HOOK = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const
const DEFRAGMENT = 1

const BUSY: Hints = { [Errno.EBUSY]: 'another program is attached there' }

/** XDP on an interface, by a link (Linux 5.9). */
export function attachXdp(site: AttachSite): Link {
  site.allow('XDP', ['interface', 'netns', 'xdpMode', 'flags', 'attachMode'])
  const { options } = site
  if (site.attachType === AttachType.XDP_DEVMAP || site.attachType === AttachType.XDP_CPUMAP) {
    throw site.usage('a program for a devmap or cpumap is put in the map by setting an element, not attached')
  }
  const mode = options.xdpMode === undefined ? 0 : XDP_MODE[options.xdpMode]
  return onInterface(site, (ifindex) => {
    if (options.attachMode === 'netlink') return attachXdpByNetlink(site, ifindex, mode)
    return site.link(
      { target_ifindex: ifindex, attach_type: AttachType.XDP, flags: mode | (options.flags ?? 0) },
      {
        [Errno.EBUSY]: 'the interface has an XDP program already',
        [Errno.EOPNOTSUPP]: 'the driver has no XDP in this mode; try xdpMode "generic"',
        [Errno.EINVAL]:
          'before Linux 5.9 there are no XDP links, but attachMode "netlink"; a program for fragments needs a driver that has them',
      },
    )
  })
}

/** tcx and netkit programs, by a link (Linux 6.6 and 6.7). */
export function attachTc(site: AttachSite): Link {
  site.allow('tcx', ['interface', 'netns', 'attachType', 'order', 'flags', 'attachMode', 'tc'])
  const attachType = site.attachType
  const netkit = attachType === AttachType.NETKIT_PRIMARY || attachType === AttachType.NETKIT_PEER
  if (attachType !== AttachType.TCX_INGRESS && attachType !== AttachType.TCX_EGRESS && !netkit) {
    throw site.usage(
      `section "${site.spec.section}" does not say ingress or egress: give attachType AttachType.TCX_INGRESS or TCX_EGRESS`,
    )
  }
  const byNetlink = site.options.attachMode === 'netlink' || site.options.tc !== undefined
  if (byNetlink && netkit) throw site.usage('netlink attaches no netkit programs')
  if (byNetlink) return onInterface(site, (ifindex) => attachTcByNetlink(site, ifindex))
  const order = orderFields(site.options.order)
  const fields = netkit
    ? { 'netkit.relative_fd': order.fd, 'netkit.expected_revision': order.revision }
    : { 'tcx.relative_fd': order.fd, 'tcx.expected_revision': order.revision }
  return onInterface(site, (ifindex) =>
    site.link(
      {
        target_ifindex: ifindex,
        attach_type: attachType,
        flags: order.flags | (site.options.flags ?? 0),
        ...fields,
      },
      {
        [Errno.EINVAL]: netkit
          ? 'the interface is no netkit device, or the kernel is older than 6.7'
          : 'before Linux 6.6 there is no tcx, but attachMode "netlink"',
        [Errno.ESTALE]: 'the hook changed since that revision was read',
        [Errno.ERANGE]: 'the program or link to stand next to is not at this hook',
        [Errno.EEXIST]: 'the program is attached there already',
      },
    ),
  )
}

/** sk_lookup and flow_dissector programs, on a network namespace (Linux 5.8). */
export function attachNetns(site: AttachSite): Link {
  site.allow('the hook of a network namespace', ['netns', 'flags'])
  const attachType = site.attachType ?? 0
  return withNetns(site.options.netns, (fd) =>
    site.link(
      { target_fd: fd, attach_type: attachType, flags: site.options.flags },
      {
        [Errno.EEXIST]: 'the namespace, or with flow_dissector the initial one, has such a program already',
        [Errno.E2BIG]: 'the namespace has as many such programs as it takes',
      },
    ),
  )
}

/** netfilter programs (Linux 6.4). */
export function attachNetfilter(site: AttachSite): Link {
  site.allow('netfilter', ['netfilter', 'netns'])
  const hook = site.options.netfilter
  if (hook === undefined) throw site.usage('netfilter programs need the option netfilter: { family, hook, priority }')
  const { priority } = hook
  if (!Number.isInteger(priority) || Math.abs(priority) >= 2 ** 31 - 1) {
    throw site.usage(`${priority} is no priority of netfilter: give an integer between -2147483647 and 2147483646`)
  }
  return inNetns(site.options.netns, () =>
    site.link(
      {
        attach_type: AttachType.NETFILTER,
        'netfilter.pf': FAMILY[hook.family],
        'netfilter.hooknum': HOOK[hook.hook],
        'netfilter.priority': priority,
        'netfilter.flags': hook.defragment === true ? DEFRAGMENT : 0,
      },
      {
        ...BUSY,
        [Errno.EINVAL]: 'before Linux 6.4 there are no netfilter programs; defragment needs a priority above -400',
        [Errno.EAFNOSUPPORT]: 'the kernel has no netfilter for this family',
        [Errno.EOPNOTSUPP]: 'the kernel has no netfilter hooks for BPF (CONFIG_NETFILTER_BPF_LINK)',
      },
    ),
  )
}

/** Programs of a cgroup v2, sockops and lsm_cgroup included, by a link (Linux 5.7). */
export function attachCgroup(site: AttachSite): Link {
  site.allow('a cgroup', ['cgroup', 'attachType', 'order', 'flags'])
  const { attachType, options } = site
  const path = options.cgroup
  if (path === undefined) throw site.usage('cgroup programs need the option cgroup: the path of a cgroup v2 directory')
  if (attachType === null) {
    throw site.usage(`section "${site.spec.section}" does not tell the attach type: give the option attachType`)
  }
  const order = orderFields(options.order)
  return withDirectory(path, (fd) =>
    site.link(
      {
        target_fd: fd,
        attach_type: attachType,
        flags: order.flags | (options.flags ?? 0),
        'cgroup.relative_fd': order.fd,
        'cgroup.expected_revision': order.revision,
      },
      {
        [Errno.EBADF]: `${path} is no directory of a cgroup v2`,
        [Errno.EPERM]: 'a program of an ancestor that allows no override, or no CAP_NET_ADMIN',
        [Errno.EINVAL]: `the program cannot be attached as ${attachTypeName(attachType)}, or the kernel is too old for it or for an order (6.17)`,
      },
    ),
  )
}

/** sk_skb and sk_msg programs, on a sockmap: by a link (Linux 6.10), before that by PROG_ATTACH. */
export function attachSockmap(site: AttachSite): Link {
  site.allow('a sockmap', ['map', 'attachType', 'flags'])
  const { attachType, options } = site
  if (options.map === undefined) throw site.usage('this program needs the option map: a sockmap or sockhash')
  if (attachType === null) {
    throw site.usage(`section "${site.spec.section}" does not tell the attach type: give the option attachType`)
  }
  const target = mapFd(options.map)
  const fields = { prog_fd: site.fd, target_fd: target, attach_type: attachType, flags: options.flags }
  const result = tryLink(fields)
  if (result >= 0) return new KernelLink(result, site.what)
  if (result !== -Errno.EINVAL) throw site.failed(Cmd.LINK_CREATE, result, BUSY)
  const { fd } = site
  const attach = { target_fd: target, attach_bpf_fd: fd, attach_type: attachType }
  bpf(Cmd.PROG_ATTACH, new Attr('PROG_ATTACH', { ...attach, attach_flags: options.flags }), site.where)
  // Own descriptors, as map and program may be closed before the link.
  return withOwnCopies(fd, target, (program, map) => {
    const detach = new Attr('PROG_ATTACH', { target_fd: map, attach_bpf_fd: program, attach_type: attachType })
    return new LegacyLink(program, site.what, program, () => {
      native().bpf(Cmd.PROG_DETACH, detach.bytes, detach.pointers)
      closeSync(map)
    })
  })
}

function withOwnCopies<T>(program: number, map: number, work: (program: number, map: number) => T): T {
  const own = ownProgramFd(program)
  try {
    return work(own, bpf(Cmd.MAP_GET_FD_BY_ID, new Attr('GET_ID', { start_id: mapInfo(map).id })))
  } catch (error) {
    native().close(own)
    throw error
  }
}

function onInterface(site: AttachSite, work: (ifindex: number) => Link): Link {
  const target = site.options.interface
  if (target === undefined) throw site.usage('this program needs the option interface: a name or an index')
  return inNetns(site.options.netns, () => work(interfaceIndex(target)))
}

interface OrderFields {
  readonly flags: number
  readonly fd: number | undefined
  readonly revision: bigint | undefined
}

function orderFields(order: AttachOrder = {}): OrderFields {
  const { before, after, revision } = order
  if (before !== undefined && after !== undefined) {
    throw new BpfError('usage', 'an order is either before or after something, not both')
  }
  const anchor = before ?? after
  let flags = before !== undefined ? AttachFlag.BEFORE : after !== undefined ? AttachFlag.AFTER : 0
  if (anchor === undefined || anchor === 'all') return { flags, fd: undefined, revision }
  const isLink = 'detach' in anchor
  if (isLink) flags |= AttachFlag.LINK
  return { flags, fd: isLink ? anchor.fd : programFd(anchor), revision }
}

/** Opens a directory for `work`. */
export function withDirectory<T>(path: string, work: (fd: number) => T): T {
  let fd: number
  try {
    fd = openSync(path, 'r')
  } catch (cause) {
    throw new BpfError('not-found', `${path} cannot be opened`, { where: { file: path }, cause })
  }
  try {
    return work(fd)
  } finally {
    closeSync(fd)
  }
}
