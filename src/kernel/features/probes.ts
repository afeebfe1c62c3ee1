import { BtfBuilder, BtfKind } from '../../btf/index.ts'
import { BpfError } from '../../bytes/index.ts'
import { assemble, type InsnBuffer } from '../../isa/index.ts'
import { AttachType, Errno, INSN_ARRAY, MapFlag, MapType, ProgFlag, ProgType } from '../../uapi/index.ts'
import type { AttrFields } from '../attr.ts'
import { kernelFacts } from '../kernel-facts.ts'
import { native } from '../syscall.ts'
import { EMPTY, loads, tryProgram, withBtf, withMap, type Trial } from './trial.ts'

type ProgramFields = Parameters<typeof tryProgram>[1]

/** What a program of a type needs beyond the type to be loaded at all (libbpf_probes.c). */
const PROGRAM_FIELDS: Readonly<Partial<Record<number, Omit<ProgramFields, 'prog_type'>>>> = {
  [ProgType.CGROUP_SOCK_ADDR]: { expected_attach_type: AttachType.CGROUP_INET4_CONNECT },
  [ProgType.CGROUP_SOCKOPT]: { expected_attach_type: AttachType.CGROUP_GETSOCKOPT },
  [ProgType.SK_LOOKUP]: { expected_attach_type: AttachType.SK_LOOKUP },
  [ProgType.LIRC_MODE2]: { expected_attach_type: AttachType.LIRC_MODE2 },
  [ProgType.NETFILTER]: { expected_attach_type: AttachType.NETFILTER },
  [ProgType.SYSCALL]: { prog_flags: ProgFlag.SLEEPABLE },
  [ProgType.TRACING]: { expected_attach_type: AttachType.TRACE_FENTRY, attach_btf_id: 1 },
  [ProgType.LSM]: { expected_attach_type: AttachType.MODIFY_RETURN, attach_btf_id: 1 },
  [ProgType.EXT]: { attach_btf_id: 1 },
}
/** Types that need a real target: the kernel shows that it knows them by how it refuses a wrong one. */
const REFUSAL: Readonly<Partial<Record<number, (trial: Trial) => boolean>>> = {
  [ProgType.TRACING]: ({ log }) => log.includes('attach_btf_id 1 is not a function'),
  [ProgType.LSM]: ({ log }) => log.includes('attach_btf_id 1 is not a function'),
  [ProgType.EXT]: ({ log }) => log.includes('Cannot replace kernel functions'),
  [ProgType.STRUCT_OPS]: ({ result }) => result === -Errno.ENOTSUPP,
}

/** Whether the kernel, and this process in it, loads programs of a type. */
export function probeProgType(type: number): boolean {
  const refusal = REFUSAL[type]
  const trial = tryProgram(EMPTY, programFields(type))
  return refusal === undefined ? trial.result >= 0 : trial.result < 0 && refusal(trial)
}

function programFields(type: number): ProgramFields {
  const version = type === ProgType.KPROBE ? (kernelFacts().kernelVersion ?? undefined) : undefined
  return { prog_type: type, kern_version: version, ...PROGRAM_FIELDS[type] }
}

/**
 * Whether programs of a type may call a helper. A call without arguments is refused for them, not for the helper, where
 * the helper exists.
 * @throws BpfError `unsupported` for types that only load for a target: tracing, lsm, ext and struct_ops
 */
export function probeHelper(progType: number, helper: number): boolean {
  if (REFUSAL[progType] !== undefined) {
    throw new BpfError('unsupported', 'which helpers programs of this type may call depends on what they attach to')
  }
  const insns = assemble('call 1\nexit')
  insns.imm[0] = helper
  const { result, log } = tryProgram(insns, programFields(progType))
  if (result >= 0) return true
  // The log is empty where the type itself is refused.
  return log !== '' && !/invalid func |unknown func |program of this type cannot use helper /.test(log)
}

/** Map type of Linux 7.1. */
const RHASH = 35
const LOCAL_STORAGE: ReadonlySet<number> = new Set([
  MapType.SK_STORAGE,
  MapType.INODE_STORAGE,
  MapType.TASK_STORAGE,
  MapType.CGRP_STORAGE,
])

/** The smallest map of a type, where it is not one entry of 4-byte key and value. */
function mapFields(type: number): AttrFields<'MAP_CREATE'> {
  const smallest = { map_type: type, key_size: 4, value_size: 4, max_entries: 1 }
  switch (type) {
    case MapType.STACK_TRACE:
    case INSN_ARRAY:
      return { ...smallest, value_size: type === MapType.STACK_TRACE ? 8 : 16 }
    case MapType.LPM_TRIE:
      return { ...smallest, key_size: 8, value_size: 8, map_flags: MapFlag.NO_PREALLOC }
    case RHASH:
      return { ...smallest, map_flags: MapFlag.NO_PREALLOC }
    case MapType.CGROUP_STORAGE:
    case MapType.PERCPU_CGROUP_STORAGE:
      // struct bpf_cgroup_storage_key.
      return { ...smallest, key_size: 16, value_size: 8, max_entries: 0 }
    case MapType.QUEUE:
    case MapType.STACK:
    case MapType.BLOOM_FILTER:
      return { ...smallest, key_size: 0 }
    case MapType.RINGBUF:
    case MapType.USER_RINGBUF:
      return { map_type: type, max_entries: native().pageSize }
    case MapType.ARENA:
      return { map_type: type, max_entries: 1, map_flags: MapFlag.MMAPABLE }
    case MapType.STRUCT_OPS:
      return { ...smallest, btf_vmlinux_value_type_id: 1, value_type_btf_obj_fd: -1 }
    default:
      return smallest
  }
}

/** Whether the kernel creates maps of a type. */
export function probeMapType(type: number): boolean {
  const fields = mapFields(type)
  if (type === MapType.STRUCT_OPS) return withMap(fields, (fd) => fd === -Errno.ENOTSUPP)
  if (type === MapType.ARRAY_OF_MAPS || type === MapType.HASH_OF_MAPS) {
    return withMap({ map_type: MapType.HASH, key_size: 4, value_size: 4, max_entries: 1 }, (inner) =>
      withMap({ ...fields, inner_map_fd: inner }, (fd) => fd >= 0),
    )
  }
  if (!LOCAL_STORAGE.has(type)) return withMap(fields, (fd) => fd >= 0)
  return withStorageBtf((btf, key, value) =>
    withMap(
      {
        ...fields,
        value_size: 8,
        max_entries: 0,
        map_flags: MapFlag.NO_PREALLOC,
        btf_fd: btf,
        btf_key_type_id: key,
        btf_value_type_id: value,
      },
      (fd) => fd >= 0,
    ),
  )
}

/** Whether the kernel takes a flag (BPF_F_*) with an array, or with a hash for flags of hashes. */
export function probeMapFlag(flag: number): boolean {
  const isHash = flag === MapFlag.NO_PREALLOC || flag === MapFlag.ZERO_SEED
  const fields = mapFields(isHash ? MapType.HASH : MapType.ARRAY)
  return withMap({ ...fields, map_flags: flag }, (fd) => fd >= 0)
}

/** Local storage needs BTF of its value: here `struct val { int cnt; struct bpf_spin_lock l; }`. */
function withStorageBtf(use: (btf: number, key: number, value: number) => boolean): boolean {
  const builder = new BtfBuilder()
  const int = builder.addInt('int', 4, true)
  const struct = (name: string, size: number, members: readonly (readonly [string, number])[]): number =>
    builder.add({
      kind: BtfKind.STRUCT,
      name,
      size,
      kindFlag: false,
      members: members.map(([member, type], i) => ({ name: member, type, bitOffset: 32 * i, bitSize: 0 })),
    })
  const lock = struct('bpf_spin_lock', 4, [['val', int]])
  const value = struct('val', 8, [
    ['cnt', int],
    ['l', lock],
  ])
  return withBtf(builder.build(), (fd) => fd >= 0 && use(fd, int, value))
}

/** Parts of the instruction set and of the verifier that came with later kernels. */
export type IsaFeature = 'v2' | 'v3' | 'v4' | 'boundedLoops' | 'largePrograms'

const socketFilter: ProgramFields = { prog_type: ProgType.SOCKET_FILTER }
const ISA: Readonly<Record<IsaFeature, () => InsnBuffer>> = {
  // Jumps on <; 32-bit jumps; sign-extending moves.
  v2: () => assemble('r0 = 0\nif r0 < 1 goto +1\nr0 = 1\nexit'),
  v3: () => assemble('r0 = 0\nif w0 < 1 goto +1\nr0 = 1\nexit'),
  v4: () => assemble('r0 = 1\nr0 = (s8)r0\nr0 = 0\nexit'),
  boundedLoops: () => assemble('r0 = 10\nloop:\nr0 += -1\nif r0 != 0 goto loop\nexit'),
  // More than the 4,096 instructions of kernels before 5.2.
  largePrograms: () => assemble(`${'r0 = 1\n'.repeat(4096)}exit`),
}

/** Whether the kernel takes an instruction set (ISA v2: 4.14, v3: 5.1, v4: 6.6), loops (5.3), long programs (5.2). */
export function probeIsa(feature: IsaFeature): boolean {
  return loads(ISA[feature](), socketFilter)
}
