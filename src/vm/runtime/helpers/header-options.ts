import { Errno, HelperId } from '../../../uapi/index.ts'
import type { StructContext } from '../context/struct.ts'
import type { Runtime } from '../runtime.ts'
import type { Helper, HelperGroup } from './helper.ts'
import { structOf } from './sockets.ts'

const TCP_HEADER = 20
/** Kinds of TCP options: end, no operation, and those with a two-byte magic number behind the length. */
const END = 0
const NOP = 1
const EXPERIMENTAL: ReadonlySet<number> = new Set([253, 254])
/** Operations of sock_ops in which options may be written and reserved. */
const HDR_OPT_LEN = 14
const WRITE_HDR_OPT = 15

/** Where the options of the packet are; the packet of sock_ops starts at the TCP header. */
function options(rt: Runtime, context: StructContext): readonly [start: number, end: number] {
  const { data, dataEnd } = context
  if (dataEnd - data < TCP_HEADER) return [dataEnd, dataEnd]
  const length = ((rt.memory.u8[data + 12] as number) >> 4) * 4
  return [data + TCP_HEADER, Math.min(dataEnd, data + Math.max(length, TCP_HEADER))]
}

/** Address of an option, or a negative errno. */
function find(rt: Runtime, start: number, end: number, kind: number, magic: Uint8Array): number {
  const bytes = rt.memory.u8
  for (let at = start; at < end;) {
    if (bytes[at] === END) break
    if (bytes[at] === NOP) {
      at++
      continue
    }
    const length = bytes[at + 1] ?? 0
    if (at + 1 >= end || length < 2 || at + length > end) return -Errno.EINVAL
    if (bytes[at] === kind && length >= 2 + magic.length && magic.every((byte, i) => bytes[at + 2 + i] === byte))
      return at
    at += length
  }
  return -Errno.ENOMSG
}

/** bpf_load_hdr_opt(sock_ops, option, size, flags): kind, length and magic in, the option out. */
const load: Helper = (rt, _ctx, _result, size) => {
  const result = rt.pointer(2, size, 'an option')
  const flags = rt.flags(4)
  if (size < 2 || (flags & ~1) !== 0) return -Errno.EINVAL
  const kind = rt.memory.u8[result] as number
  const given = rt.memory.u8[result + 1] as number
  if (kind <= NOP || given === 1 || given > size) return -Errno.EINVAL
  const magic = EXPERIMENTAL.has(kind)
    ? rt.memory.read(result + 2, given === 4 || given === 6 ? given - 2 : 0)
    : new Uint8Array(0)
  if (EXPERIMENTAL.has(kind) && magic.length === 0) return -Errno.EINVAL
  const context = structOf(rt)
  const [start, end] = options(rt, context)
  const at = find(rt, start, end, kind, magic)
  if (at < 0) return at
  const length = rt.memory.u8[at + 1] as number
  rt.memory.copy(result, at, Math.min(length, size))
  return length > size ? -Errno.ENOSPC : length
}

/** bpf_store_hdr_opt(sock_ops, option, size, flags): behind the options that the packet has. */
const store: Helper = (rt, _ctx, _option, size) => {
  const option = rt.pointer(2, size, 'an option')
  const context = structOf(rt)
  if (Number(context.get('op')) !== WRITE_HDR_OPT) return -Errno.EPERM
  if (rt.arg64(4) !== 0n || size < 2) return -Errno.EINVAL
  const kind = rt.memory.u8[option] as number
  const length = rt.memory.u8[option + 1] as number
  if (kind <= NOP || length < 2 || length > size) return -Errno.EINVAL
  const [start, end] = options(rt, context)
  const magic = EXPERIMENTAL.has(kind) ? rt.memory.read(option + 2, Math.min(4, length - 2)) : new Uint8Array(0)
  const known = find(rt, start, end, kind, magic)
  if (known >= 0) return -Errno.EEXIST
  if (known !== -Errno.ENOMSG) return known
  rt.effect('bpf_store_hdr_opt', { opt: rt.memory.read(option, length) })
  return 0
}

/** Options of TCP headers, in sock_ops programs. */
export const HEADER_OPTION_HELPERS: HelperGroup = {
  [HelperId.load_hdr_opt]: load,
  [HelperId.store_hdr_opt]: store,
  [HelperId.reserve_hdr_opt]: (rt, _ctx, length) => {
    const context = structOf(rt)
    if (Number(context.get('op')) !== HDR_OPT_LEN) return -Errno.EPERM
    if (rt.arg64(3) !== 0n || length < 2) return -Errno.EINVAL
    rt.effect('bpf_reserve_hdr_opt', { len: length })
    return 0
  },
}
