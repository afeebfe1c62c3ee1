import { BtfBuilder, BtfKind } from '../../btf/index.ts'
import { assemble } from '../../isa/index.ts'
import { AttachType, Cmd, Errno, MapFlag, MapType, ProgType } from '../../uapi/index.ts'
import { Attr, StructView } from '../attr.ts'
import { btfFeatures } from '../btf-features.ts'
import { kernelFacts } from '../kernel-facts.ts'
import { hasKernelSymbol } from '../late-references.ts'
import { closeFd, native, tryBpf } from '../syscall.ts'
import { EMPTY, loads, tryProgram, withBtf, withMap, withProgram } from './trial.ts'

const ARRAY = { map_type: MapType.ARRAY, key_size: 4, value_size: 32, max_entries: 1 } as const
const SOCKET = { prog_type: ProgType.SOCKET_FILTER } as const
/** Set in a command that comes with struct bpf_common_attr. */
const COMMON_ATTRS = 1 << 16

/** A feature of the kernel that decides how objects are loaded and attached. */
export type KernelFeature =
  | 'progName'
  | 'globalData'
  | 'btf'
  | 'btfFunc'
  | 'btfGlobalFunc'
  | 'btfDatasec'
  | 'arrayMmap'
  | 'expectedAttachType'
  | 'probeReadKernel'
  | 'progBindMap'
  | 'moduleBtf'
  | 'btfFloat'
  | 'perfLink'
  | 'btfDeclTag'
  | 'btfTypeTag'
  | 'memcgAccount'
  | 'bpfCookie'
  | 'btfEnum64'
  | 'syscallWrapper'
  | 'uprobeMultiLink'
  | 'argCtxTag'
  | 'btfQmarkDatasec'
  | 'ldimm64FullRangeOff'
  | 'uprobeSyscall'
  | 'btfLayout'
  | 'commonAttrs'

type Row = readonly [what: string, since: string, probe: () => boolean]

/** What libbpf asks a kernel before it decides how to load and attach, each with the Linux release that brought it. */
const PROBES: Readonly<Record<KernelFeature, Row>> = {
  progName: ['names of programs', '4.15', () => loads(EMPTY, { ...SOCKET, prog_name: 'probe' })],
  globalData: ['global variables', '5.2', () => withMap(ARRAY, (map) => map >= 0 && loads(mapValue(map, 0), SOCKET))],
  btf: ['BTF', '4.18', () => btfOf((builder) => builder.addInt('int', 4, true))],
  btfFunc: ['BTF of functions', '5.0', () => btfFeatures().func],
  btfGlobalFunc: ['BTF of global functions', '5.6', () => btfFeatures().globalFunc],
  btfDatasec: ['BTF of data sections and variables', '5.2', () => btfFeatures().datasec],
  arrayMmap: [
    'array maps that can be mapped',
    '5.5',
    () => withMap({ ...ARRAY, map_flags: MapFlag.MMAPABLE }, (map) => map >= 0),
  ],
  expectedAttachType: [
    'expected attach types',
    '4.17',
    () => loads(EMPTY, { prog_type: ProgType.CGROUP_SOCK, expected_attach_type: AttachType.CGROUP_INET_SOCK_CREATE }),
  ],
  probeReadKernel: [
    'bpf_probe_read_kernel()',
    '5.5',
    () =>
      loads(assemble('r1 = r10\nr1 += -8\nr2 = 8\nr3 = 0\ncall bpf_probe_read_kernel\nexit'), {
        prog_type: ProgType.TRACEPOINT,
      }),
  ],
  progBindMap: [
    'maps bound to programs (BPF_PROG_BIND_MAP)',
    '5.10',
    () =>
      withMap(ARRAY, (map) =>
        withProgram(EMPTY, SOCKET, (fd) => {
          return tryBpf(Cmd.PROG_BIND_MAP, new Attr('PROG_BIND_MAP', { prog_fd: fd, map_fd: map })) >= 0
        }),
      ),
  ],
  moduleBtf: ['BTF of modules', '5.11', hasBtfNames],
  btfFloat: ['BTF of floating point types', '5.13', () => btfFeatures().float],
  perfLink: ['links of perf events', '5.15', hasPerfLinks],
  btfDeclTag: ['BTF declaration tags', '5.16', () => btfFeatures().declTag],
  btfTypeTag: ['BTF type tags', '5.17', () => btfFeatures().typeTag],
  memcgAccount: [
    'memory counted by cgroups instead of RLIMIT_MEMLOCK',
    '5.11',
    () => loads(assemble('call bpf_ktime_get_coarse_ns\nexit'), SOCKET),
  ],
  bpfCookie: ['cookies of probes (bpf_get_attach_cookie)', '5.15', () => kernelFacts().bpfCookie],
  btfEnum64: ['BTF of 64-bit enums', '6.0', () => btfFeatures().enum64],
  syscallWrapper: ['wrappers of system calls', '4.17', () => kernelFacts().syscallWrapper],
  uprobeMultiLink: ['multi uprobes that filter by process', '6.10', hasUprobeMulti],
  argCtxTag: ['__arg_ctx of global functions', '6.8', hasArgCtx],
  btfQmarkDatasec: ['BTF data sections whose names start with "?"', '6.10', () => btfFeatures().questionMark],
  ldimm64FullRangeOff: ['offsets of the full range in map values', '7.0', hasFullRangeOffsets],
  uprobeSyscall: ['fast uprobes (the system call uprobe)', '6.18', () => hasKernelSymbol('__x64_sys_uprobe')],
  btfLayout: ['BTF with a layout section', '7.2', hasBtfLayout],
  commonAttrs: ['logs of all bpf(2) commands (struct bpf_common_attr)', '7.1', hasCommonAttrs],
}

/** One feature in words. */
export interface KernelFeatureInfo {
  readonly name: KernelFeature
  readonly what: string
  /** Linux release that brought it; distributions may have it earlier. */
  readonly since: string
}

/** All features that {@link hasFeature} knows, in the order in which libbpf numbers them. */
export const KERNEL_FEATURES: readonly KernelFeatureInfo[] = Object.entries(PROBES).map(([name, [what, since]]) => ({
  name: name as KernelFeature,
  what,
  since,
}))

const known = new Map<KernelFeature, boolean>()

/**
 * Whether the running kernel has a feature: tried once in a process, with an object that is taken back at once. False
 * also where this process is not allowed to try.
 * @throws BpfError `unsupported` without the native addon
 */
export function hasFeature(feature: KernelFeature): boolean {
  let answer = known.get(feature)
  if (answer === undefined) known.set(feature, (answer = PROBES[feature][2]()))
  return answer
}

function btfOf(add: (builder: BtfBuilder) => unknown): boolean {
  const builder = new BtfBuilder()
  add(builder)
  return withBtf(builder.build(), (fd) => fd >= 0)
}

/** `r1 = address of a map's value; r0 = 0; exit`. */
function mapValue(map: number, offset: number): ReturnType<typeof assemble> {
  const insns = assemble('r1 = 0 ll\nr0 = 0\nexit')
  // BPF_PSEUDO_MAP_VALUE.
  insns.src[0] = 2
  insns.imm[0] = map
  insns.imm[1] = offset
  return insns
}

function hasBtfNames(): boolean {
  const builder = new BtfBuilder()
  builder.addInt('int', 4, true)
  return withBtf(builder.build(), (fd) => {
    if (fd < 0) return false
    const name = new Uint8Array(64)
    const info = new StructView('bpf_btf_info')
    info.setU32('name_len', name.length)
    const fields = { bpf_fd: fd, info_len: info.bytes.length, info: info.bytes }
    const attr = new Attr('OBJ_GET_INFO_BY_FD', fields, { info: [[info.offset('name'), name]] })
    return tryBpf(Cmd.OBJ_GET_INFO_BY_FD, attr) >= 0
  })
}

function hasPerfLinks(): boolean {
  return withProgram(EMPTY, { prog_type: ProgType.TRACEPOINT }, (fd) => {
    if (fd < 0) return false
    const attr = new Attr('LINK_CREATE', { prog_fd: fd, target_fd: -1, attach_type: AttachType.PERF_EVENT })
    return tryBpf(Cmd.LINK_CREATE, attr) === -Errno.EBADF
  })
}

/** The first kernels with multi uprobes filtered by thread; those that are fixed refuse the process -1. */
function hasUprobeMulti(): boolean {
  const type = AttachType.TRACE_UPROBE_MULTI
  return withProgram(EMPTY, { prog_type: ProgType.KPROBE, expected_attach_type: type }, (fd) => {
    if (fd < 0) return false
    const create = (pid: number): number =>
      tryBpf(
        Cmd.LINK_CREATE,
        new Attr('LINK_CREATE', {
          prog_fd: fd,
          attach_type: type,
          'uprobe_multi.path': '/',
          'uprobe_multi.offsets': new Uint8Array(8),
          'uprobe_multi.cnt': 1,
          'uprobe_multi.pid': pid,
        }),
      )
    return create(0) === -Errno.EBADF && create(-1) === -Errno.EINVAL
  })
}

/** A global function that may only use its argument as context because of its tag. */
function hasArgCtx(): boolean {
  const builder = new BtfBuilder()
  const int = builder.addInt('int', 4, true)
  const pointer = builder.add({ kind: BtfKind.PTR, name: '', type: 0, kindFlag: false })
  const add = (name: string): number => {
    const params = [{ name, type: pointer }]
    const proto = builder.add({ kind: BtfKind.FUNC_PROTO, name: '', returnType: int, params })
    return builder.add({ kind: BtfKind.FUNC, name, type: proto, linkage: 1 })
  }
  const [main, inner] = [add('a'), add('b')]
  builder.add({ kind: BtfKind.DECL_TAG, name: 'arg:ctx', type: inner, componentIndex: 0, kindFlag: false })
  return withBtf(builder.build(), (btf) => {
    if (btf < 0) return false
    const insns = assemble('call inner\nexit\ninner:\ncall bpf_get_func_ip\nexit')
    const functions = new Uint8Array(Uint32Array.of(0, main, 2, inner).buffer)
    return loads(insns, {
      prog_type: ProgType.KPROBE,
      prog_btf_fd: btf,
      func_info: functions,
      func_info_cnt: 2,
      func_info_rec_size: 8,
    })
  })
}

/** Kernels that refuse the offset as such do not know it; others say that it lies outside of the map. */
function hasFullRangeOffsets(): boolean {
  return withMap({ ...ARRAY, value_size: 1 }, (map) => {
    if (map < 0) return false
    const { result, log } = tryProgram(mapValue(map, 1 << 30), SOCKET)
    return result < 0 && !log.includes('direct value offset of 1073741824 is not allowed')
  })
}

function hasBtfLayout(): boolean {
  // struct btf_header with layout_off and layout_len, one int, one layout record for each of two kinds, "\0int".
  const [header, types, layout, strings] = [32, 16, 8, 5]
  const blob = new Uint8Array(header + types + layout + strings)
  const view = new DataView(blob.buffer)
  view.setUint16(0, 0xeb9f, true)
  view.setUint8(2, 1)
  const words = [header, 0, types, types + layout, strings, types, layout]
  words.forEach((word, i) => {
    view.setUint32(4 + 4 * i, word, true)
  })
  const int = [1, BtfKind.INT << 24, 4, (1 << 24) | 32]
  int.forEach((word, i) => {
    view.setUint32(header + 4 * i, word, true)
  })
  // struct btf_layout { info_sz, elem_sz, flags }: an int has 4 bytes more.
  view.setUint8(header + types + 4, 4)
  blob.set([0, 0x69, 0x6e, 0x74, 0], header + types + layout)
  return withBtf(blob, (fd) => fd >= 0)
}

/** Kernels without common attributes know no such command. */
function hasCommonAttrs(): boolean {
  const attr = new Attr('MAP_CREATE', ARRAY)
  const fd = native().bpf(Cmd.MAP_CREATE | COMMON_ATTRS, attr.bytes, attr.pointers, new Uint8Array(24), [])
  if (fd >= 0) closeFd(fd)
  return fd >= 0
}
