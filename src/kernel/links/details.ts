import { decodeCString } from '../../bytes/index.ts'
import type { LinkDetails } from '../../loader/index.ts'
import { Cmd, Errno, LinkType } from '../../uapi/index.ts'
import { Attr, StructView } from '../attr.ts'
import type { Pointer } from '../binding.ts'
import { bpf, tryBpf } from '../syscall.ts'

/** Room for names and paths that the kernel writes (PATH_MAX). */
const TEXT_SIZE = 4096
/** enum bpf_perf_event_type. */
const PERF_TYPES: readonly string[] = [
  'unspec',
  'uprobe',
  'uretprobe',
  'kprobe',
  'kretprobe',
  'tracepoint',
  'perf_event',
]

type Info = StructView<'bpf_link_info'>
type Field = Parameters<Info['u32']>[0]
type Facts = Record<string, number | bigint | string | boolean>

/** What the kernel says of the link behind a descriptor. @throws BpfError `syscall` */
export function linkDetails(fd: number): LinkDetails {
  const info = new StructView('bpf_link_info')
  query(fd, info, [])
  const type = info.u32('type')
  const facts = FACTS[type]?.(fd, info) ?? {}
  return { ...facts, type, id: info.u32('id'), programId: info.u32('prog_id') }
}

function query(fd: number, info: Info, nested: readonly Pointer[]): void {
  bpf(Cmd.OBJ_GET_INFO_BY_FD, infoAttr(fd, info, nested))
}

function infoAttr(fd: number, info: Info, nested: readonly Pointer[]): Attr<'OBJ_GET_INFO_BY_FD'> {
  const { bytes } = info
  return new Attr('OBJ_GET_INFO_BY_FD', { bpf_fd: fd, info_len: bytes.length, info: bytes }, { info: nested })
}

/** Asks again with room for a text; kernels that do not tell it leave it empty. */
function textOf(fd: number, pointer: Field, length: Field): { readonly text: string; readonly info: Info } {
  const info = new StructView('bpf_link_info')
  const text = new Uint8Array(TEXT_SIZE)
  info.setU32(length, TEXT_SIZE)
  const result = tryBpf(Cmd.OBJ_GET_INFO_BY_FD, infoAttr(fd, info, [[info.offset(pointer), text]]))
  // The kernel reports a text that does not fit.
  return { text: result === -Errno.ENOSPC || result >= 0 ? decodeCString(text) : '', info }
}

const FACTS: Readonly<Partial<Record<number, (fd: number, info: Info) => Facts>>> = {
  [LinkType.RAW_TRACEPOINT]: (fd) => {
    const { text, info } = textOf(fd, 'raw_tracepoint.tp_name', 'raw_tracepoint.tp_name_len')
    return { target: text, cookie: info.u64('raw_tracepoint.cookie') }
  },
  [LinkType.TRACING]: (_fd, info) => ({
    attachType: info.u32('tracing.attach_type'),
    targetObjectId: info.u32('tracing.target_obj_id'),
    targetBtfId: info.u32('tracing.target_btf_id'),
    cookie: info.u64('tracing.cookie'),
  }),
  [LinkType.CGROUP]: (_fd, info) => ({
    cgroupId: info.u64('cgroup.cgroup_id'),
    attachType: info.u32('cgroup.attach_type'),
  }),
  [LinkType.ITER]: (fd) => ({ target: textOf(fd, 'iter.target_name', 'iter.target_name_len').text }),
  [LinkType.NETNS]: (_fd, info) => ({
    netnsInode: info.u32('netns.netns_ino'),
    attachType: info.u32('netns.attach_type'),
  }),
  [LinkType.XDP]: (_fd, info) => ({ ifindex: info.u32('xdp.ifindex') }),
  [LinkType.STRUCT_OPS]: (_fd, info) => ({ mapId: info.u32('struct_ops.map_id') }),
  [LinkType.NETFILTER]: (_fd, info) => ({
    family: info.u32('netfilter.pf'),
    hook: info.u32('netfilter.hooknum'),
    priority: info.u32('netfilter.priority') | 0,
    flags: info.u32('netfilter.flags'),
  }),
  [LinkType.TCX]: (_fd, info) => ({ ifindex: info.u32('tcx.ifindex'), attachType: info.u32('tcx.attach_type') }),
  [LinkType.NETKIT]: (_fd, info) => ({
    ifindex: info.u32('netkit.ifindex'),
    attachType: info.u32('netkit.attach_type'),
  }),
  [LinkType.SOCKMAP]: (_fd, info) => ({
    mapId: info.u32('sockmap.map_id'),
    attachType: info.u32('sockmap.attach_type'),
  }),
  [LinkType.KPROBE_MULTI]: (_fd, info) => ({
    count: info.u32('kprobe_multi.count'),
    retprobe: (info.u32('kprobe_multi.flags') & 1) !== 0,
    missed: info.u64('kprobe_multi.missed'),
  }),
  [LinkType.UPROBE_MULTI]: (fd) => {
    const { text, info } = textOf(fd, 'uprobe_multi.path', 'uprobe_multi.path_size')
    return {
      target: text,
      count: info.u32('uprobe_multi.count'),
      retprobe: (info.u32('uprobe_multi.flags') & 1) !== 0,
      pid: info.u32('uprobe_multi.pid'),
    }
  },
  [LinkType.PERF_EVENT]: (fd, info) => {
    const type = info.u32('perf_event.type')
    return { event: PERF_TYPES[type] ?? `unknown ${type}`, ...PERF_FACTS[type]?.(fd, info) }
  },
}

const uprobeFacts = (fd: number): Facts => {
  const { text, info } = textOf(fd, 'perf_event.uprobe.file_name', 'perf_event.uprobe.name_len')
  return {
    target: text,
    offset: info.u32('perf_event.uprobe.offset'),
    cookie: info.u64('perf_event.uprobe.cookie'),
  }
}
const kprobeFacts = (fd: number): Facts => {
  const { text, info } = textOf(fd, 'perf_event.kprobe.func_name', 'perf_event.kprobe.name_len')
  return {
    target: text,
    offset: info.u32('perf_event.kprobe.offset'),
    missed: info.u64('perf_event.kprobe.missed'),
    cookie: info.u64('perf_event.kprobe.cookie'),
  }
}
const PERF_FACTS: Readonly<Partial<Record<number, (fd: number, info: Info) => Facts>>> = {
  1: uprobeFacts,
  2: uprobeFacts,
  3: kprobeFacts,
  4: kprobeFacts,
  5: (fd) => {
    const { text, info } = textOf(fd, 'perf_event.tracepoint.tp_name', 'perf_event.tracepoint.name_len')
    return { target: text, cookie: info.u64('perf_event.tracepoint.cookie') }
  },
  6: (_fd, info) => ({
    perfType: info.u32('perf_event.event.type'),
    perfConfig: info.u64('perf_event.event.config'),
    cookie: info.u64('perf_event.event.cookie'),
  }),
}
