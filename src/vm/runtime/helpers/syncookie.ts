import { Errno, HelperId } from '../../../uapi/index.ts'
import { TCP_LISTEN } from '../kernel/socket.ts'
import type { Runtime } from '../runtime.ts'
import type { Helper, HelperGroup } from './helper.ts'
import { socketIn } from './sockets.ts'

const TCP_HEADER = 20
/** Segment sizes that a cookie can stand for; its two low bits say which (net/ipv4/syncookies.c, net/ipv6/syncookies.c). */
const IPV4_SIZES: readonly number[] = [536, 1300, 1440, 1460]
const IPV6_SIZES: readonly number[] = [1220, 1340, 1480, 9000 - 60]
const SYN = 0x02
const ACK = 0x10
const RST = 0x04

/** A cookie for a connection: a hash over addresses and ports with the size's index in its low bits. */
function cookie(rt: Runtime, ip: number, tcp: number, version: 4 | 6, index: number): number {
  let hash = 0x811c9dc5
  const mix = (at: number, size: number): void => {
    for (let i = 0; i < size; i++) hash = Math.imul(hash ^ (rt.memory.u8[at + i] as number), 0x01000193)
  }
  if (version === 4) mix(ip + 12, 8)
  else mix(ip + 8, 32)
  mix(tcp, 4)
  return ((hash & ~3) | index) >>> 0
}

/** bpf_tcp_raw_gen_syncookie_*(ip, tcp, tcp length): the cookie, and above it the segment size. */
function generateRaw(version: 4 | 6): Helper {
  return (rt, _ip, _tcp, length) => {
    const ip = rt.pointer(1, version === 4 ? 20 : 40, 'an IP header')
    const tcp = rt.pointer(2, TCP_HEADER, 'a TCP header')
    if (length < TCP_HEADER) return -Errno.EINVAL
    return generate(rt, ip, tcp, length, version)
  }
}

function generate(rt: Runtime, ip: number, tcp: number, length: number, version: 4 | 6): bigint {
  const sizes = version === 4 ? IPV4_SIZES : IPV6_SIZES
  const wanted = segmentSize(rt, tcp, length) ?? (sizes[0] as number)
  let index = sizes.length - 1
  while (index > 0 && (sizes[index] as number) > wanted) index--
  return BigInt(cookie(rt, ip, tcp, version, index)) | (BigInt(sizes[index] as number) << 32n)
}

/** The MSS option of a TCP header. */
function segmentSize(rt: Runtime, tcp: number, length: number): number | null {
  for (let at = tcp + TCP_HEADER; at + 1 < tcp + length;) {
    const kind = rt.memory.u8[at] as number
    if (kind === 0) return null
    if (kind === 1) {
      at++
      continue
    }
    const size = rt.memory.u8[at + 1] as number
    if (size < 2) return null
    if (kind === 2 && size === 4) return rt.memory.view.getUint16(at + 2, false)
    at += size
  }
  return null
}

function isCookie(rt: Runtime, ip: number, tcp: number, version: 4 | 6): boolean {
  const answered = (rt.memory.view.getUint32(tcp + 8, false) - 1) >>> 0
  return cookie(rt, ip, tcp, version, answered & 3) === answered
}

function checkRaw(version: 4 | 6): Helper {
  return (rt) => {
    const ip = rt.pointer(1, version === 4 ? 20 : 40, 'an IP header')
    const tcp = rt.pointer(2, TCP_HEADER, 'a TCP header')
    return isCookie(rt, ip, tcp, version) ? 0 : -Errno.EACCES
  }
}

/** What bpf_tcp_gen_syncookie and bpf_tcp_check_syncookie check first. */
function checkArguments(rt: Runtime): { readonly ip: number; readonly tcp: number; readonly version: 4 | 6 } | number {
  const tcpLength = rt.low(5)
  const ipLength = rt.low(3)
  const ip = rt.pointer(2, ipLength, 'an IP header')
  const tcp = rt.pointer(4, tcpLength, 'a TCP header')
  const socket = socketIn(rt, 1)
  if (tcpLength < TCP_HEADER || ipLength < 20) return -Errno.EINVAL
  if (socket === null || !socket.isTcp || socket.state !== TCP_LISTEN) return -Errno.EINVAL
  const version = (rt.memory.u8[ip] as number) >> 4
  if (version !== 4 && version !== 6) return -Errno.EPROTONOSUPPORT
  return version === 6 && ipLength < 40 ? -Errno.EINVAL : { ip, tcp, version }
}

/** SYN cookies. The kernel's have a secret key; those of the vm are checked by the vm only. */
export const SYNCOOKIE_HELPERS: HelperGroup = {
  [HelperId.tcp_gen_syncookie]: (rt) => {
    const all = checkArguments(rt)
    if (typeof all === 'number') return all
    const flags = rt.memory.u8[all.tcp + 13] as number
    if ((flags & SYN) === 0 || (flags & (ACK | RST)) !== 0) return -Errno.EINVAL
    return generate(rt, all.ip, all.tcp, rt.low(5), all.version)
  },
  [HelperId.tcp_check_syncookie]: (rt) => {
    const all = checkArguments(rt)
    if (typeof all === 'number') return all
    const flags = rt.memory.u8[all.tcp + 13] as number
    if ((flags & ACK) === 0 || (flags & (SYN | RST)) !== 0) return -Errno.ENOENT
    return isCookie(rt, all.ip, all.tcp, all.version) ? 0 : -Errno.ENOENT
  },
  [HelperId.tcp_raw_gen_syncookie_ipv4]: generateRaw(4),
  [HelperId.tcp_raw_gen_syncookie_ipv6]: generateRaw(6),
  [HelperId.tcp_raw_check_syncookie_ipv4]: checkRaw(4),
  [HelperId.tcp_raw_check_syncookie_ipv6]: checkRaw(6),
}
