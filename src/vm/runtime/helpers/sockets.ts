import { Errno, HelperId } from '../../../uapi/index.ts'
import { Trap } from '../../trap.ts'
import { SOCKET_ADDRESS } from '../context/socket.ts'
import { StructContext } from '../context/struct.ts'
import { AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP, TCP_LISTEN, type VirtualSocket } from '../kernel/socket.ts'
import { ReuseportArray, SockHash, SockMap } from '../maps/socket-maps.ts'
import type { Runtime } from '../runtime.ts'
import type { Helper, HelperGroup } from './helper.ts'

const INGRESS = 1
const SK_DROP = 0
const SK_PASS = 1
const IPV4_TUPLE = 12
const IPV6_TUPLE = 36
/** Callback flags that sock_ops programs may set (BPF_SOCK_OPS_ALL_CB_FLAGS). */
const CALLBACK_FLAGS = 0x7f
/** Operations of sock_ops in which a socket may be put into a map. */
const MAP_OPERATIONS: ReadonlySet<number> = new Set([4, 5, 11])
const SOCKOPT_SIZE_MAX = 4096

/** The structure context of the run. */
export function structOf(rt: Runtime): StructContext {
  const context = rt.run?.context
  if (!(context instanceof StructContext))
    throw new Trap('call', 'this helper needs a context that the program has not')
  return context
}

/** The socket that an argument means: a socket, or a context that has one. */
export function socketIn(rt: Runtime, register: number): VirtualSocket | null {
  const address = rt.low(register)
  const socket = rt.kernel.socketAt(address)
  if (socket !== null) return socket
  const context = rt.run?.context
  if (context instanceof StructContext && context.address === address) return context.socket
  // The socket of a packet is one of its own that no map and no table knows.
  return null
}

/** bpf_sk_lookup_tcp and its like (context, tuple, size, namespace, flags). */
function lookup(protocol: number): Helper {
  return (rt, _ctx, _tuple, size) => {
    const tuple = rt.pointer(2, size, 'struct bpf_sock_tuple')
    if (size !== IPV4_TUPLE && size !== IPV6_TUPLE) return 0
    if (rt.arg64(5) !== 0n) return 0
    const length = size === IPV4_TUPLE ? 4 : 16
    const family = size === IPV4_TUPLE ? AF_INET : AF_INET6
    const remote = rt.memory.read(tuple, length)
    const local = rt.memory.read(tuple + length, length)
    const remotePort = rt.memory.view.getUint16(tuple + 2 * length, true)
    const localPort = rt.memory.view.getUint16(tuple + 2 * length + 2, false)
    let best: VirtualSocket | null = null
    for (const socket of rt.kernel.sockets()) {
      if (socket.protocol !== protocol || socket.family !== family || socket.get('src_port') !== localPort) continue
      if (localPort === 0) continue
      const anyLocal = socket.ip('src').every((byte) => byte === 0)
      if (!anyLocal && !same(socket.ip('src'), local)) continue
      const connected = socket.get('dst_port') === remotePort && same(socket.ip('dst'), remote)
      if (connected && socket.state !== TCP_LISTEN) return socket.address
      const unconnected = socket.state === TCP_LISTEN || socket.get('dst_port') === 0
      if (unconnected && (best === null || !anyLocal)) best = socket
    }
    return best?.address ?? 0
  }
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}

const setsockopt: Helper = (rt, _sk, level, name, _value, size) => {
  const value = rt.pointer(4, size, 'an option value')
  const socket = socketIn(rt, 1)
  if (socket === null || size > SOCKOPT_SIZE_MAX) return -Errno.EINVAL
  return socket.options.set(level | 0, name | 0, rt.memory.read(value, size), socket.isTcp)
}

const getsockopt: Helper = (rt, _sk, level, name, _value, size) => {
  const to = rt.pointer(4, size, 'an option value')
  const socket = socketIn(rt, 1)
  const value = socket === null ? -Errno.EINVAL : socket.options.get(level | 0, name | 0, size, socket.isTcp)
  if (typeof value === 'number') {
    rt.memory.fill(to, 0, size)
    return value
  }
  rt.memory.write(to, value)
  return 0
}

/** bpf_sock_map_update and bpf_sock_hash_update (sock_ops, map, key, flags). */
const updateMap: Helper = (rt) => {
  const map = rt.map(2)
  const context = structOf(rt)
  if (!(map instanceof SockMap || map instanceof SockHash)) throw new Trap('call', `map ${map.name} holds no sockets`)
  if (!MAP_OPERATIONS.has(Number(context.get('op')))) return -Errno.EOPNOTSUPP
  return map.add(rt.pointer(3, map.keySize, 'a key'), context.socket, rt.flags(4))
}

/** bpf_sk_redirect_map and its like: by index (`byKey` false) or by key. */
function redirect(helper: string, byKey: boolean): Helper {
  return (rt) => {
    const map = rt.map(2)
    if (!(map instanceof SockMap || map instanceof SockHash)) throw new Trap('call', `map ${map.name} holds no sockets`)
    const flags = rt.flags(4)
    if ((flags & ~INGRESS) !== 0) return SK_DROP
    const socket = byKey ? map.socketAt(rt.pointer(3, map.keySize, 'a key')) : slotOf(rt, map, rt.low(3))
    if (socket === null || (socket.isTcp && socket.state === TCP_LISTEN)) return SK_DROP
    rt.effect(helper, { socket: socket.fd, flags })
    return SK_PASS
  }
}

function slotOf(rt: Runtime, map: SockMap | SockHash, index: number): VirtualSocket | null {
  const key = rt.memory.allocate(4)
  rt.memory.setU32(key, index)
  const socket = map.socketAt(key)
  rt.memory.free(key, 4)
  return socket
}

/** bpf_sk_select_reuseport(context, map, key, flags). */
const selectReuseport: Helper = (rt) => {
  const map = rt.map(2)
  const key = rt.pointer(3, map.keySize, 'a key')
  if (rt.arg64(4) !== 0n) return -Errno.EINVAL
  if (!(map instanceof ReuseportArray || map instanceof SockMap || map instanceof SockHash)) {
    throw new Trap('call', `map ${map.name} holds no sockets`)
  }
  const socket = map.socketAt(key)
  if (socket === null) return -Errno.ENOENT
  if (!socket.reuseport) return -Errno.EINVAL
  rt.effect('bpf_sk_select_reuseport', { socket: socket.fd })
  return 0
}

/** bpf_sk_assign(context, socket, flags): the socket that a packet, or a lookup, goes to. */
const assign: Helper = (rt, _ctx, sk) => {
  const context = rt.run?.context
  const socket = rt.kernel.socketAt(sk)
  const flags = rt.flags(3)
  if (context instanceof StructContext) {
    if ((flags & ~3) !== 0) return -Errno.EINVAL
    if (socket !== null && socket.state !== TCP_LISTEN && socket.isTcp) return -Errno.ESOCKTNOSUPPORT
    if (context.get('cookie') !== 0n && socket !== null && (flags & 1) === 0) return -Errno.EEXIST
    if (socket !== null && socket.protocol !== Number(context.get('protocol'))) return -Errno.EPROTOTYPE
    context.set('cookie', socket?.cookie ?? 0)
  } else {
    if (flags !== 0) return -Errno.EINVAL
    if (socket === null) return -Errno.ENOENT
  }
  rt.effect('bpf_sk_assign', { socket: socket?.fd ?? -1 })
  return 0
}

/** A socket when it is of the kind that is asked for, else none. */
function cast(fits: (socket: VirtualSocket) => boolean, tcp: boolean = false): Helper {
  return (rt) => {
    const socket = socketIn(rt, 1)
    if (socket === null || !fits(socket)) return 0
    return tcp ? socket.tcpAddress : socket.address
  }
}

const listener: Helper = (rt) => {
  const socket = socketIn(rt, 1)
  return socket !== null && socket.isTcp && socket.state === TCP_LISTEN ? socket.address : 0
}

/** Sockets of the virtual kernel: lookup, options, and maps of them. */
export const SOCKET_HELPERS: HelperGroup = {
  [HelperId.sk_lookup_tcp]: lookup(IPPROTO_TCP),
  [HelperId.skc_lookup_tcp]: lookup(IPPROTO_TCP),
  [HelperId.sk_lookup_udp]: lookup(IPPROTO_UDP),
  [HelperId.sk_release]: () => 0,
  [HelperId.sk_assign]: assign,
  // The socket of a packet is a full one.
  [HelperId.sk_fullsock]: (_rt, sk) => sk,
  [HelperId.tcp_sock]: cast((socket) => socket.isTcp, true),
  [HelperId.get_listener_sock]: listener,
  [HelperId.skc_to_tcp_sock]: cast((socket) => socket.isTcp),
  [HelperId.skc_to_tcp6_sock]: cast((socket) => socket.isTcp && socket.family === AF_INET6),
  [HelperId.skc_to_udp6_sock]: cast((socket) => socket.isUdp && socket.family === AF_INET6),
  [HelperId.skc_to_tcp_timewait_sock]: () => 0,
  [HelperId.skc_to_tcp_request_sock]: () => 0,
  [HelperId.skc_to_unix_sock]: cast((socket) => !socket.isTcp && !socket.isUdp),
  [HelperId.skc_to_mptcp_sock]: () => 0,
  [HelperId.sock_from_file]: () => 0,
  [HelperId.get_netns_cookie]: () => 1,
  [HelperId.get_socket_cookie]: (rt) =>
    socketIn(rt, 1)?.cookie ?? (rt.low(1) === SOCKET_ADDRESS ? 1 : packetCookie(rt)),
  [HelperId.get_socket_uid]: (rt) => socketIn(rt, 1)?.uid ?? 0,
  [HelperId.setsockopt]: setsockopt,
  [HelperId.getsockopt]: getsockopt,
  [HelperId.bind]: (rt, _ctx, _address, size) => {
    const address = rt.pointer(2, size, 'an address')
    if (size < 2) return -Errno.EINVAL
    const family = rt.memory.view.getUint16(address, true)
    const wanted = family === AF_INET ? 16 : family === AF_INET6 ? 24 : 0
    if (wanted === 0) return -Errno.EAFNOSUPPORT
    if (size < wanted) return -Errno.EINVAL
    // Ports are chosen when the socket connects.
    if (rt.memory.view.getUint16(address + 2, true) !== 0 && family !== structOf(rt).socket.family) return -Errno.EINVAL
    rt.effect('bpf_bind', { addr: rt.memory.read(address, size) })
    return 0
  },
  [HelperId.sock_ops_cb_flags_set]: (rt, _ctx, flags) => {
    const context = structOf(rt)
    context.socket.callbackFlags = flags & CALLBACK_FLAGS
    context.set('bpf_sock_ops_cb_flags', flags & CALLBACK_FLAGS)
    return flags & ~CALLBACK_FLAGS
  },
  [HelperId.sock_map_update]: updateMap,
  [HelperId.sock_hash_update]: updateMap,
  [HelperId.sk_redirect_map]: redirect('bpf_sk_redirect_map', false),
  [HelperId.sk_redirect_hash]: redirect('bpf_sk_redirect_hash', true),
  [HelperId.msg_redirect_map]: redirect('bpf_msg_redirect_map', false),
  [HelperId.msg_redirect_hash]: redirect('bpf_msg_redirect_hash', true),
  [HelperId.sk_select_reuseport]: selectReuseport,
  [HelperId.sk_cgroup_id]: (rt) => cgroupOf(rt).id,
  [HelperId.sk_ancestor_cgroup_id]: (rt, _sk, level) => cgroupOf(rt).ancestor(level | 0)?.id ?? 0,
  [HelperId.tcp_send_ack]: (rt, _tp, next) => {
    rt.effect('bpf_tcp_send_ack', { rcv_nxt: next })
    return 0
  },
}

/** The cgroup of the socket in r1: that of the task when it has none of its own. */
function cgroupOf(rt: Runtime): Runtime['kernel']['currentCgroup'] {
  return socketIn(rt, 1)?.cgroup ?? rt.kernel.currentCgroup
}

/** Packets of test runs belong to one socket. */
function packetCookie(rt: Runtime): number {
  return rt.run?.context.kind === 'skb' ? 1 : 0
}
