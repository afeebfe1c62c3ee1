import { BpfError, decodeCString } from '../bytes/index.ts'
import { diagnoseMap, normaliseSizes, type MapRequest } from '../loader/index.ts'
import { Cmd, Errno, MapFlag, MapType } from '../uapi/index.ts'
import { Attr, type AttrFields } from './attr.ts'
import { possibleCpus } from './cpus.ts'
import { hasFeature } from './features/index.ts'
import { openModuleBtf } from './kernel-btf.ts'
import { mapCapabilities, permissionHint } from './permission.ts'
import { kernelName } from './prog-load.ts'
import { programHash } from './program-hash.ts'
import { bpf, bpfError, closeFd, native, tryBpf } from './syscall.ts'
import type { MapShape } from './map.ts'

/** Types that take no BTF of key and value (libbpf's list; the kernel answers EINVAL or ENOTSUPP). */
const WITHOUT_BTF: ReadonlySet<number> = new Set([
  MapType.PERF_EVENT_ARRAY,
  MapType.CGROUP_ARRAY,
  MapType.STACK_TRACE,
  MapType.ARRAY_OF_MAPS,
  MapType.HASH_OF_MAPS,
  MapType.DEVMAP,
  MapType.DEVMAP_HASH,
  MapType.CPUMAP,
  MapType.XSKMAP,
  MapType.SOCKMAP,
  MapType.SOCKHASH,
  MapType.QUEUE,
  MapType.STACK,
  MapType.ARENA,
])

/** The map as it is created: with sizes that the kernel takes. */
export function normaliseShape(request: MapRequest): MapShape {
  const { spec } = request
  const { name, type, mapExtra } = spec
  // Kernels before 5.5 map no arrays; variables are then read and written by bpf(2).
  const isMapped = spec.dataSection !== null && (spec.flags & MapFlag.MMAPABLE) !== 0 && spec.type === MapType.ARRAY
  const flags = isMapped && !hasFeature('arrayMmap') ? spec.flags & ~MapFlag.MMAPABLE : spec.flags
  const sizes = normaliseSizes(spec, { pageSize: native().pageSize, cpus: possibleCpus() })
  const valueSize = request.structOps?.value.length ?? sizes.valueSize
  return { name, type, flags, mapExtra, ...sizes, valueSize }
}

/**
 * Creates a map; with `btfFd` its key and value types are told to the kernel, and when it refuses them the map is
 * created without.
 * @throws BpfError `syscall`, `unsupported`
 */
export function createMapFd(request: MapRequest, shape: MapShape, btfFd: number | null): number {
  const { spec } = request
  const where = { map: spec.name }
  if (spec.type === MapType.STRUCT_OPS) return createStructOpsFd(request, shape, btfFd)
  const typed = btfFd !== null && !WITHOUT_BTF.has(spec.type) && (spec.keyTypeId !== 0 || spec.valueTypeId !== 0)
  const attrOf = (withTypes: boolean): Attr<'MAP_CREATE'> =>
    new Attr('MAP_CREATE', {
      map_type: shape.type,
      key_size: shape.keySize,
      value_size: shape.valueSize,
      max_entries: shape.maxEntries,
      map_flags: shape.flags,
      map_name: kernelName(request.kernelName),
      inner_map_fd: request.inner?.fd ?? undefined,
      numa_node: spec.numaNode ?? undefined,
      map_extra: spec.mapExtra,
      ...(request.exclusiveTo === undefined ? {} : exclusive(programHash(request.exclusiveTo))),
      ...(withTypes && btfFd !== null
        ? { btf_fd: btfFd, btf_key_type_id: spec.keyTypeId, btf_value_type_id: spec.valueTypeId }
        : {}),
    })
  const create = (withTypes: boolean): number => tryBpf(Cmd.MAP_CREATE, attrOf(withTypes))
  let result = create(typed)
  if (result < 0 && typed) {
    const retried = create(false)
    if (retried >= 0 || result === -Errno.EINVAL || result === -Errno.ENOTSUPP) result = retried
  }
  if (result < 0) {
    const words = kernelWords(attrOf(typed)) || diagnosis(request, shape, typed)
    const error = bpfError(
      Cmd.MAP_CREATE,
      result,
      where,
      result === -Errno.EPERM ? permissionHint(mapCapabilities(shape.type)) : words,
    )
    throw new BpfError('syscall', `map "${spec.name}": ${error.message} (${describe(shape)})`, {
      where,
      ...(error.errno === undefined ? {} : { errno: error.errno }),
    })
  }
  return result
}

function exclusive(hash: Uint8Array): Pick<AttrFields<'MAP_CREATE'>, 'excl_prog_hash' | 'excl_prog_hash_size'> {
  return { excl_prog_hash: hash, excl_prog_hash_size: hash.length }
}

/** A struct_ops map has a value type of the kernel's own BTF. */
function createStructOpsFd(request: MapRequest, shape: MapShape, btfFd: number | null): number {
  const where = { map: request.spec.name }
  const { structOps } = request
  if (structOps === undefined || btfFd === null) {
    const reason = btfFd === null ? "the object's BTF in the kernel" : 'a type of the kernel'
    throw new BpfError('unsupported', `map "${request.spec.name}": a struct_ops map needs ${reason}`, { where })
  }
  const { module, valueTypeId } = structOps
  const moduleFd = module === null ? null : openModuleBtf(module)
  try {
    const attr = new Attr('MAP_CREATE', {
      map_type: shape.type,
      key_size: shape.keySize,
      value_size: shape.valueSize,
      max_entries: shape.maxEntries,
      map_flags: shape.flags | (moduleFd === null ? 0 : MapFlag.VTYPE_BTF_OBJ_FD),
      map_name: kernelName(request.kernelName),
      btf_fd: btfFd,
      btf_vmlinux_value_type_id: valueTypeId,
      value_type_btf_obj_fd: moduleFd ?? undefined,
    })
    return bpf(Cmd.MAP_CREATE, attr, where)
  } finally {
    if (moduleFd !== null) closeFd(moduleFd)
  }
}

/** What is wrong with the shape itself; empty when nothing is. */
function diagnosis(request: MapRequest, shape: MapShape, typed: boolean): string {
  const facts = { pageSize: native().pageSize, cpus: possibleCpus() }
  const { mapExtra } = request.spec
  return diagnoseMap({ ...shape, mapExtra, hasInner: request.inner !== null, typed }, facts).join('; ')
}

/** Set in the command for a kernel that takes struct bpf_common_attr: others know no such command. */
const COMMON_ATTRS = 1 << 16
const LOG_SIZE = 4096

/** The kernel's own reason for refusing a map, where it gives one (BPF_COMMON_ATTRS, Linux 7.x); else empty. */
function kernelWords(attr: Attr<'MAP_CREATE'>): string {
  const log = new Uint8Array(LOG_SIZE)
  // struct bpf_common_attr: __u64 log_buf, __u32 log_size, log_level, log_true_size.
  const common = new Uint8Array(24)
  const view = new DataView(common.buffer)
  view.setUint32(8, LOG_SIZE, true)
  view.setUint32(12, 1, true)
  const fd = native().bpf(Cmd.MAP_CREATE | COMMON_ATTRS, attr.bytes, attr.pointers, common, [[0, log]])
  if (fd >= 0) closeFd(fd)
  return decodeCString(log).trim()
}

function describe(shape: MapShape): string {
  const { type, keySize, valueSize, maxEntries, flags } = shape
  return `type ${type}, key ${keySize} bytes, value ${valueSize} bytes, ${maxEntries} entries, flags 0x${flags.toString(16)}`
}
