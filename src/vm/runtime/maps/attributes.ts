import { BpfError } from '../../../bytes/index.ts'
import { INSN_ARRAY, MapFlag, MapType, mapTypeName, type Errno } from '../../../uapi/index.ts'
import type { MapConfig } from './map.ts'

const USER_ACCESS: number = MapFlag.RDONLY | MapFlag.WRONLY
const PROG_ACCESS: number = MapFlag.RDONLY_PROG | MapFlag.WRONLY_PROG
const ACCESS: number = USER_ACCESS | PROG_ACCESS
const NODE: number = MapFlag.NUMA_NODE
/** MAX_BPF_STACK: keys must fit there, or no program could have one. */
const MAX_KEY = 512
const MAX_LPM_DATA = 256
/** PCPU_MIN_UNIT_SIZE: the largest value of one CPU. */
const MAX_PER_CPU_VALUE = 32768
const MAX_STACK_DEPTH = 127
/** sizeof(struct bpf_stack_build_id). */
const BUILD_ID_SIZE = 32
/** Room for values beside keys in one allocation of kernel memory (KMALLOC_MAX_SIZE). */
const MAX_ELEMENT = 4 * 1024 * 1024
const MAX_LOCAL_STORAGE = 65_480
const MAX_CGROUP_STORAGE = 4096
const MAX_BLOOM_HASHES = 15n
/** Pages of an arena: 4 GiB. */
const MAX_ARENA_PAGES = 1 << 20

interface Sizes {
  readonly key: number
  readonly value: number
  readonly entries: number
  readonly flags: number
  readonly extra: bigint
  /** BTF says what keys and values are, in these sizes. */
  readonly typed: boolean
}

/** A rule of a map type: what must hold, in words, and the errno when it does not (EINVAL when it is not named). */
interface Rule {
  readonly holds: (sizes: Sizes) => boolean
  readonly words: string
  readonly errno?: keyof typeof Errno
}

const rule = (words: string, holds: Rule['holds'], errno: keyof typeof Errno = 'EINVAL'): Rule => ({
  words,
  holds,
  errno,
})
const keyOf = (size: number): Rule => rule(size === 0 ? 'no key' : `a key of ${size} bytes`, ({ key }) => key === size)
const valueOf = (...sizes: readonly number[]): Rule =>
  rule(sizes[0] === 0 ? 'no value' : `a value of ${sizes.join(' or ')} bytes`, ({ value }) => sizes.includes(value))
const flagsOf = (mask: number): Rule =>
  rule(`no flags but 0x${mask.toString(16)}`, ({ flags }) => (flags & ~mask) === 0)
const needs = (flag: number): Rule => rule(`flag 0x${flag.toString(16)}`, ({ flags }) => (flags & flag) !== 0)
const oneDirection: Rule = rule('RDONLY_PROG or WRONLY_PROG', ({ flags }) => (flags & PROG_ACCESS) !== PROG_ACCESS)
const someKey: Rule = rule('a key', ({ key }) => key > 0)
const someValue: Rule = rule('a value', ({ value }) => value > 0)
const someEntries: Rule = rule('entries', ({ entries }) => entries > 0)
const noEntries: Rule = rule('0 entries', ({ entries }) => entries === 0)

const array = (flags: number): readonly Rule[] => [
  someEntries,
  keyOf(4),
  someValue,
  flagsOf(flags | NODE | ACCESS),
  oneDirection,
]
const noNode: Rule = rule('no NUMA_NODE', ({ flags }) => (flags & NODE) === 0)
const perCpu: Rule = rule(
  `a value of at most ${MAX_PER_CPU_VALUE} bytes`,
  ({ value }) => value <= MAX_PER_CPU_VALUE,
  'E2BIG',
)
/** Slots hold descriptors, which programs may not write. */
const descriptors = (flags: number): readonly Rule[] => [
  valueOf(4),
  rule('neither RDONLY_PROG nor WRONLY_PROG', ({ flags: given }) => (given & PROG_ACCESS) === 0),
  ...array(flags),
]
const hash = (flags: number): readonly Rule[] => [
  flagsOf(flags | NODE | MapFlag.ZERO_SEED | MapFlag.NO_PREALLOC | MapFlag.NO_COMMON_LRU | ACCESS),
  oneDirection,
  rule('no NO_COMMON_LRU', ({ flags: given }) => (flags & MapFlag.NO_COMMON_LRU) !== 0 || (given & 2) === 0),
  rule('no NO_PREALLOC', ({ flags: given }) => (flags & MapFlag.NO_PREALLOC) !== 0 || (given & 1) === 0, 'ENOTSUPP'),
  someEntries,
  someKey,
  someValue,
  rule(
    `key and value of at most ${MAX_ELEMENT} bytes`,
    ({ key, value }) => key + value < MAX_ELEMENT - MAX_KEY,
    'E2BIG',
  ),
]
const HASH: readonly Rule[] = hash(MapFlag.NO_PREALLOC)
const LRU: readonly Rule[] = hash(MapFlag.NO_COMMON_LRU)
const RING: readonly Rule[] = [
  flagsOf(NODE),
  keyOf(0),
  valueOf(0),
  rule('a power of 2 of bytes', ({ entries }) => entries > 0 && (entries & (entries - 1)) === 0),
  rule('pages', ({ entries }) => entries % 4096 === 0),
]
const QUEUE: readonly Rule[] = [someEntries, keyOf(0), someValue, flagsOf(NODE | ACCESS), oneDirection]
const SOCKETS: readonly Rule[] = [someEntries, valueOf(4, 8), flagsOf(NODE | USER_ACCESS)]
const DEVICES: readonly Rule[] = [someEntries, keyOf(4), valueOf(4, 8), flagsOf(NODE | USER_ACCESS)]
const LOCAL: readonly Rule[] = [
  flagsOf(MapFlag.NO_PREALLOC | MapFlag.CLONE),
  needs(MapFlag.NO_PREALLOC),
  noEntries,
  keyOf(4),
  someValue,
  rule('BTF of key and value', ({ typed }) => typed),
  rule(`a value of at most ${MAX_LOCAL_STORAGE} bytes`, ({ value }) => value <= MAX_LOCAL_STORAGE, 'E2BIG'),
]
const CGROUP: readonly Rule[] = [
  rule('a key of 8 or 16 bytes', ({ key }) => key === 8 || key === 16),
  someValue,
  rule(`a value of at most ${MAX_CGROUP_STORAGE} bytes`, ({ value }) => value <= MAX_CGROUP_STORAGE, 'E2BIG'),
  flagsOf(NODE | ACCESS),
  oneDirection,
  noEntries,
]

/** What the kernel asks of the attributes of each map type, in its order (map_alloc_check and map_alloc of its operations). */
const RULES: Readonly<Record<number, readonly Rule[]>> = {
  [MapType.ARRAY]: array(MapFlag.MMAPABLE | MapFlag.INNER_MAP),
  [MapType.PERCPU_ARRAY]: [...array(0), noNode, perCpu],
  [MapType.PROG_ARRAY]: descriptors(0),
  [MapType.PERF_EVENT_ARRAY]: descriptors(MapFlag.PRESERVE_ELEMS),
  [MapType.CGROUP_ARRAY]: descriptors(0),
  [MapType.ARRAY_OF_MAPS]: descriptors(0),
  [MapType.HASH]: HASH,
  [MapType.PERCPU_HASH]: [...HASH, noNode, perCpu],
  [MapType.LRU_HASH]: LRU,
  [MapType.LRU_PERCPU_HASH]: [...LRU, noNode, perCpu],
  [MapType.HASH_OF_MAPS]: [valueOf(4), ...HASH],
  [MapType.LPM_TRIE]: [
    someEntries,
    needs(MapFlag.NO_PREALLOC),
    flagsOf(MapFlag.NO_PREALLOC | NODE | ACCESS),
    oneDirection,
    rule(`a key of 5 to ${4 + MAX_LPM_DATA} bytes`, ({ key }) => key >= 5 && key <= 4 + MAX_LPM_DATA),
    someValue,
  ],
  [MapType.STACK_TRACE]: [
    flagsOf(NODE | USER_ACCESS | MapFlag.STACK_BUILD_ID),
    someEntries,
    keyOf(4),
    rule('a value of a multiple of 8 bytes', ({ value }) => value >= 8 && value % 8 === 0),
    rule(`at most ${MAX_STACK_DEPTH} frames`, ({ value, flags }) =>
      (flags & MapFlag.STACK_BUILD_ID) === 0
        ? value / 8 <= MAX_STACK_DEPTH
        : value % BUILD_ID_SIZE === 0 && value / BUILD_ID_SIZE <= MAX_STACK_DEPTH,
    ),
  ],
  [MapType.QUEUE]: QUEUE,
  [MapType.STACK]: QUEUE,
  [MapType.BLOOM_FILTER]: [
    keyOf(0),
    someValue,
    someEntries,
    flagsOf(NODE | MapFlag.ZERO_SEED | ACCESS),
    oneDirection,
    rule(`at most ${MAX_BLOOM_HASHES} hash functions (map_extra)`, ({ extra }) => extra <= MAX_BLOOM_HASHES),
  ],
  [MapType.RINGBUF]: RING,
  [MapType.USER_RINGBUF]: RING,
  [MapType.ARENA]: [
    keyOf(0),
    valueOf(0),
    someEntries,
    needs(MapFlag.MMAPABLE),
    flagsOf(MapFlag.SEGV_ON_FAULT | MapFlag.MMAPABLE | MapFlag.NO_USER_CONV),
    rule('a page address (map_extra)', ({ extra }) => extra % 4096n === 0n),
    rule('at most 4 GiB', ({ entries }) => entries <= MAX_ARENA_PAGES, 'E2BIG'),
  ],
  [MapType.DEVMAP]: DEVICES,
  [MapType.DEVMAP_HASH]: DEVICES,
  [MapType.XSKMAP]: [someEntries, keyOf(4), valueOf(4), flagsOf(NODE | USER_ACCESS)],
  [MapType.CPUMAP]: [someEntries, keyOf(4), valueOf(4, 8), flagsOf(NODE)],
  [MapType.SOCKMAP]: [keyOf(4), ...SOCKETS],
  [MapType.SOCKHASH]: [
    someKey,
    ...SOCKETS,
    rule(`a key of at most ${MAX_KEY} bytes`, ({ key }) => key <= MAX_KEY, 'E2BIG'),
  ],
  [MapType.REUSEPORT_SOCKARRAY]: [valueOf(4, 8), ...array(0)],
  [MapType.STRUCT_OPS]: [keyOf(4), rule('one entry', ({ entries }) => entries === 1), someValue],
  // sizeof(struct bpf_insn_array_value)
  [INSN_ARRAY]: [someEntries, keyOf(4), valueOf(16), flagsOf(0)],
  [MapType.CGROUP_STORAGE]: CGROUP,
  [MapType.PERCPU_CGROUP_STORAGE]: CGROUP,
  [MapType.SK_STORAGE]: LOCAL,
  [MapType.INODE_STORAGE]: LOCAL,
  [MapType.TASK_STORAGE]: LOCAL,
  [MapType.CGRP_STORAGE]: LOCAL,
}

/** Types whose map_extra means something. */
const WITH_EXTRA: ReadonlySet<number> = new Set<number>([MapType.BLOOM_FILTER, MapType.ARENA])

function isTyped({ spec, btf }: MapConfig): boolean {
  const { keyTypeId, valueTypeId } = spec
  if (btf === null || btf === undefined || keyTypeId === 0 || valueTypeId === 0) return false
  return btf.sizeOf(keyTypeId) === spec.keySize && btf.sizeOf(valueTypeId) === spec.valueSize
}

/** @throws BpfError `syscall` with the kernel's errno for attributes that it refuses */
export function checkAttributes(config: MapConfig): void {
  const { type, keySize, valueSize, maxEntries, flags, mapExtra } = config.spec
  const typed = isTyped(config)
  const sizes: Sizes = { key: keySize, value: valueSize, entries: maxEntries, flags, extra: mapExtra, typed }
  if (mapExtra !== 0n && !WITH_EXTRA.has(type)) refuse(config, 'EINVAL', 'no map_extra')
  if ((flags & USER_ACCESS) === USER_ACCESS) refuse(config, 'EINVAL', 'RDONLY or WRONLY')
  for (const { holds, words, errno } of RULES[type] ?? []) {
    if (!holds(sizes)) refuse(config, errno ?? 'EINVAL', words)
  }
}

/** @throws BpfError `syscall` always */
export function refuse(config: MapConfig, errno: keyof typeof Errno, expected: string): never {
  const { spec, name } = config
  throw new BpfError(
    'syscall',
    `create map ${name} (${mapTypeName(spec.type)}): ${errno}: key size ${spec.keySize}, value size ` +
      `${spec.valueSize}, ${spec.maxEntries} entries, flags 0x${spec.flags.toString(16)}; expected ${expected}`,
    { errno, where: { map: name } },
  )
}
