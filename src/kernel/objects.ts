import { decodeCString, Reader } from '../bytes/index.ts'
import { Cmd, Errno } from '../uapi/index.ts'
import { Attr, StructView } from './attr.ts'
import type { Pointer } from './binding.ts'
import { bpf, bpfError, tryBpf } from './syscall.ts'

/** Size of struct bpf_func_info: offset of the instruction and type id. */
const FUNC_INFO_SIZE = 8

/** Kinds of objects that have ids. */
export type ObjectKind = 'map' | 'prog' | 'btf' | 'link'

const NEXT_ID = {
  map: Cmd.MAP_GET_NEXT_ID,
  prog: Cmd.PROG_GET_NEXT_ID,
  btf: Cmd.BTF_GET_NEXT_ID,
  link: Cmd.LINK_GET_NEXT_ID,
} as const
const FD_BY_ID = {
  map: Cmd.MAP_GET_FD_BY_ID,
  prog: Cmd.PROG_GET_FD_BY_ID,
  btf: Cmd.BTF_GET_FD_BY_ID,
  link: Cmd.LINK_GET_FD_BY_ID,
} as const

/** Pins the object behind a descriptor at a path in a bpf file system. @throws BpfError `syscall` */
export function pinObject(fd: number, path: string): void {
  bpf(Cmd.OBJ_PIN, new Attr('OBJ', { pathname: path, bpf_fd: fd }), { file: path })
}

/** Opens a pinned object; the caller closes the descriptor. `flags`: BPF_F_RDONLY or BPF_F_WRONLY. @throws BpfError `syscall` */
export function getPinned(path: string, flags: number = 0): number {
  return bpf(Cmd.OBJ_GET, new Attr('OBJ', { pathname: path, file_flags: flags }), { file: path })
}

/** Ids of all objects of a kind in the kernel, ascending. @throws BpfError `syscall` (EPERM without CAP_SYS_ADMIN) */
export function* objectIds(kind: ObjectKind): Generator<number, void, undefined> {
  let id = 0
  for (;;) {
    const attr = new Attr('GET_ID', { start_id: id })
    const result = tryBpf(NEXT_ID[kind], attr)
    if (result === -Errno.ENOENT) return
    if (result < 0) throw bpfError(NEXT_ID[kind], result)
    id = attr.u32('next_id')
    yield id
  }
}

/** Opens an object by id; the caller closes the descriptor. @throws BpfError `syscall`; ENOENT when it has gone */
export function openById(kind: ObjectKind, id: number, flags: number = 0): number {
  return bpf(FD_BY_ID[kind], new Attr('GET_ID', { start_id: id, open_flags: flags }))
}

/** Another descriptor of a program: Node has no dup(2), and /proc/self/fd cannot reopen BPF objects. */
export function ownProgramFd(fd: number): number {
  return openById('prog', progInfo(fd).id)
}

/** What the kernel knows of a map (struct bpf_map_info). Sizes in bytes. */
export interface MapInfo {
  readonly type: number
  readonly id: number
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  readonly flags: number
  readonly name: string
  readonly ifindex: number
  readonly btfId: number
  readonly btfKeyTypeId: number
  readonly btfValueTypeId: number
  readonly btfVmlinuxValueTypeId: number
  readonly mapExtra: bigint
}

/** @throws BpfError `syscall` */
export function mapInfo(fd: number): MapInfo {
  const info = new StructView('bpf_map_info')
  getInfo(fd, info.bytes)
  return {
    type: info.u32('type'),
    id: info.u32('id'),
    keySize: info.u32('key_size'),
    valueSize: info.u32('value_size'),
    maxEntries: info.u32('max_entries'),
    flags: info.u32('map_flags'),
    name: decodeCString(info.slice('name')),
    ifindex: info.u32('ifindex'),
    btfId: info.u32('btf_id'),
    btfKeyTypeId: info.u32('btf_key_type_id'),
    btfValueTypeId: info.u32('btf_value_type_id'),
    btfVmlinuxValueTypeId: info.u32('btf_vmlinux_value_type_id'),
    mapExtra: info.u64('map_extra'),
  }
}

/** What the kernel knows of a program (struct bpf_prog_info). */
export interface ProgInfo {
  readonly type: number
  readonly id: number
  /** Hash of the instructions, 8 bytes. */
  readonly tag: Uint8Array
  readonly name: string
  /** Bytes after JIT and after the verifier's rewriting. */
  readonly jitedLength: number
  readonly xlatedLength: number
  /** Time since boot in ns. */
  readonly loadTime: bigint
  readonly createdByUid: number
  readonly gplCompatible: boolean
  readonly mapIds: readonly number[]
  readonly btfId: number
  readonly attachBtfObjectId: number
  readonly attachBtfId: number
  readonly ifindex: number
  /** Counters of kernel.bpf_stats_enabled. */
  readonly runTimeNs: bigint
  readonly runCount: bigint
  readonly recursionMisses: bigint
  /** Instructions that the verifier followed. */
  readonly verifiedInsns: number
}

/** @throws BpfError `syscall` */
export function progInfo(fd: number): ProgInfo {
  const info = new StructView('bpf_prog_info')
  getInfo(fd, info.bytes)
  return {
    type: info.u32('type'),
    id: info.u32('id'),
    tag: info.slice('tag'),
    name: decodeCString(info.slice('name')),
    jitedLength: info.u32('jited_prog_len'),
    xlatedLength: info.u32('xlated_prog_len'),
    loadTime: info.u64('load_time'),
    createdByUid: info.u32('created_by_uid'),
    gplCompatible: (info.u32('gpl_compatible') & 1) === 1,
    mapIds: progMapIds(fd, info.u32('nr_map_ids')),
    btfId: info.u32('btf_id'),
    attachBtfObjectId: info.u32('attach_btf_obj_id'),
    attachBtfId: info.u32('attach_btf_id'),
    ifindex: info.u32('ifindex'),
    runTimeNs: info.u64('run_time_ns'),
    runCount: info.u64('run_cnt'),
    recursionMisses: info.u64('recursion_misses'),
    verifiedInsns: info.u32('verified_insns'),
  }
}

function progMapIds(fd: number, count: number): number[] {
  if (count === 0) return []
  const info = new StructView('bpf_prog_info')
  const ids = new Uint32Array(count)
  info.setU32('nr_map_ids', count)
  getInfo(fd, info.bytes, [[info.offset('map_ids'), new Uint8Array(ids.buffer)]])
  // The program may use fewer maps by now than it was asked room for.
  return [...ids.subarray(0, info.u32('nr_map_ids'))]
}

/** Type id of the program's main function in its BTF, 0 when it was loaded without func_info. @throws BpfError `syscall` */
export function progFunctionType(fd: number): number {
  const info = new StructView('bpf_prog_info')
  const record = new Uint8Array(FUNC_INFO_SIZE)
  info.setU32('nr_func_info', 1)
  info.setU32('func_info_rec_size', FUNC_INFO_SIZE)
  getInfo(fd, info.bytes, [[info.offset('func_info'), record]])
  if (info.u32('nr_func_info') === 0) return 0
  return new Reader(record).skip(4).u32()
}

/** The program after the verifier's rewriting, 8 bytes an instruction; empty when the kernel does not show it. */
export function progXlated(fd: number): Uint8Array {
  const length = progInfo(fd).xlatedLength
  const info = new StructView('bpf_prog_info')
  const insns = new Uint8Array(length)
  info.setU32('xlated_prog_len', length)
  getInfo(fd, info.bytes, [[info.offset('xlated_prog_insns'), insns]])
  return info.u64('xlated_prog_insns') === 0n ? new Uint8Array(0) : insns
}

/** What the kernel knows of a loaded BTF (struct bpf_btf_info). */
export interface BtfInfo {
  readonly id: number
  /** "vmlinux", a module's name, or empty for one that a program brought. */
  readonly name: string
  readonly kernel: boolean
  readonly size: number
}

/** @throws BpfError `syscall` */
export function btfInfo(fd: number): BtfInfo {
  const info = new StructView('bpf_btf_info')
  const name = new Uint8Array(64)
  info.setU32('name_len', name.length)
  getInfo(fd, info.bytes, [[info.offset('name'), name]])
  return {
    id: info.u32('id'),
    name: decodeCString(name),
    kernel: info.u32('kernel_btf') !== 0,
    size: info.u32('btf_size'),
  }
}

/** The raw blob of a loaded BTF. @throws BpfError `syscall` */
export function btfBytes(fd: number): Uint8Array {
  const bytes = new Uint8Array(btfInfo(fd).size)
  const info = new StructView('bpf_btf_info')
  info.setU32('btf_size', bytes.length)
  getInfo(fd, info.bytes, [[info.offset('btf'), bytes]])
  return bytes
}

/** What every link has (struct bpf_link_info). */
export interface LinkInfo {
  readonly type: number
  readonly id: number
  readonly progId: number
}

/** @throws BpfError `syscall` */
export function linkInfo(fd: number): LinkInfo {
  const info = new StructView('bpf_link_info')
  getInfo(fd, info.bytes)
  return { type: info.u32('type'), id: info.u32('id'), progId: info.u32('prog_id') }
}

function getInfo(fd: number, bytes: Uint8Array, nested: readonly Pointer[] = []): void {
  const attr = new Attr('OBJ_GET_INFO_BY_FD', { bpf_fd: fd, info_len: bytes.length, info: bytes }, { info: nested })
  bpf(Cmd.OBJ_GET_INFO_BY_FD, attr)
}
