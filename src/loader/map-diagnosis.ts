import { MAP_TYPES, MapFlag, MapType, mapTypeName } from '../uapi/index.ts'
import type { MachineFacts } from './map-shape.ts'
import type { MapSpec } from './spec.ts'

/** What of a map decides whether the kernel creates it; sizes as the kernel gets them. */
export type MapShapeToCheck = Pick<MapSpec, 'type' | 'keySize' | 'valueSize' | 'maxEntries' | 'flags' | 'mapExtra'> & {
  /** Whether a map of maps has a definition of inner maps. */
  readonly hasInner: boolean
  /** Whether key and value types are told to the kernel. */
  readonly typed: boolean
}

type Sizes = number | readonly number[] | 'any' | 'positive'

/** What one map type takes (the map_alloc_check functions of Linux 6.18, kernel/bpf). */
interface Rule {
  readonly key: Sizes
  readonly value: Sizes
  readonly entries: 'positive' | 'zero' | 'any' | 1
  /** Flags beside those that all types take. */
  readonly flags?: number
  readonly required?: number
  readonly needsTypes?: boolean
  readonly numa?: boolean
  readonly extra?: boolean
  readonly more?: (shape: MapShapeToCheck, facts: MachineFacts) => string | false
}

const ACCESS = MapFlag.RDONLY | MapFlag.WRONLY | MapFlag.RDONLY_PROG | MapFlag.WRONLY_PROG
/** Access of user space alone: programs do not read and write elements of these types. */
const USER_ACCESS = MapFlag.RDONLY | MapFlag.WRONLY
/** Flags that creation of every type takes. */
const COMMON = MapFlag.TOKEN_FD
const MAX_STACK = 512
const INT_MAX = 0x7fff_ffff
/** PCPU_MIN_UNIT_SIZE. */
const PERCPU_LIMIT = 32 << 10
const FOUR_OR_EIGHT = [4, 8] as const

const hash = (flags: number): Rule => ({
  key: 'positive',
  value: 'positive',
  entries: 'positive',
  flags: flags | MapFlag.ZERO_SEED | ACCESS,
  numa: true,
  more: (shape) => shape.keySize + shape.valueSize > INT_MAX && 'key and value together have over 2 GiB',
})
const descriptors: Rule = {
  key: 4,
  value: 4,
  entries: 'positive',
  flags: USER_ACCESS,
  numa: true,
}
const storage: Rule = {
  key: 4,
  value: 'positive',
  entries: 'zero',
  flags: MapFlag.CLONE,
  required: MapFlag.NO_PREALLOC,
  needsTypes: true,
}
const ring: Rule = {
  key: 0,
  value: 0,
  entries: 'positive',
  numa: true,
  more: ({ maxEntries }, { pageSize }) =>
    (maxEntries % pageSize !== 0 || (maxEntries & (maxEntries - 1)) !== 0) &&
    `${maxEntries} bytes are no power of two of pages of ${pageSize} bytes`,
}
const perCpu = (shape: MapShapeToCheck): string | false =>
  shape.valueSize > PERCPU_LIMIT && `a per-CPU value has at most ${PERCPU_LIMIT} bytes, not ${shape.valueSize}`

const RULES: Readonly<Partial<Record<number, Rule>>> = {
  [MapType.HASH]: hash(MapFlag.NO_PREALLOC),
  [MapType.LRU_HASH]: hash(MapFlag.NO_COMMON_LRU),
  [MapType.PERCPU_HASH]: { ...hash(MapFlag.NO_PREALLOC), more: perCpu },
  [MapType.LRU_PERCPU_HASH]: { ...hash(MapFlag.NO_COMMON_LRU), more: perCpu },
  [MapType.HASH_OF_MAPS]: { ...hash(MapFlag.NO_PREALLOC), value: 4 },
  [MapType.ARRAY]: {
    key: 4,
    value: 'positive',
    entries: 'positive',
    flags: MapFlag.MMAPABLE | MapFlag.INNER_MAP | ACCESS,
    numa: true,
    more: ({ valueSize }) => valueSize > INT_MAX && 'a value has over 2 GiB',
  },
  [MapType.PERCPU_ARRAY]: { key: 4, value: 'positive', entries: 'positive', flags: ACCESS, more: perCpu },
  [MapType.ARRAY_OF_MAPS]: { key: 4, value: 4, entries: 'positive', flags: ACCESS, numa: true },
  [MapType.PROG_ARRAY]: descriptors,
  [MapType.CGROUP_ARRAY]: descriptors,
  [MapType.PERF_EVENT_ARRAY]: { ...descriptors, flags: (descriptors.flags ?? 0) | MapFlag.PRESERVE_ELEMS },
  [MapType.STACK_TRACE]: {
    key: 4,
    value: 'positive',
    entries: 'positive',
    flags: MapFlag.STACK_BUILD_ID | USER_ACCESS,
    numa: true,
    more: ({ valueSize, flags }) => {
      const unit = (flags & MapFlag.STACK_BUILD_ID) === 0 ? 8 : 32
      if (valueSize % unit !== 0)
        return `a value of ${valueSize} bytes holds no whole number of frames of ${unit} bytes`
      return valueSize / unit > 127 && `${valueSize / unit} frames are over kernel.perf_event_max_stack (127)`
    },
  },
  [MapType.LPM_TRIE]: {
    key: 'any',
    value: 'positive',
    entries: 'positive',
    flags: ACCESS,
    required: MapFlag.NO_PREALLOC,
    numa: true,
    more: ({ keySize }) =>
      (keySize < 5 || keySize > 260) && `a key is 4 bytes of prefix length and 1 to 256 of data, not ${keySize} in all`,
  },
  [MapType.DEVMAP]: { key: 4, value: FOUR_OR_EIGHT, entries: 'positive', flags: USER_ACCESS, numa: true },
  [MapType.DEVMAP_HASH]: { key: 4, value: FOUR_OR_EIGHT, entries: 'positive', flags: USER_ACCESS, numa: true },
  [MapType.CPUMAP]: { key: 4, value: FOUR_OR_EIGHT, entries: 'positive', numa: true },
  [MapType.XSKMAP]: { key: 4, value: 4, entries: 'positive', numa: true },
  [MapType.SOCKMAP]: { key: 4, value: FOUR_OR_EIGHT, entries: 'positive', flags: USER_ACCESS, numa: true },
  [MapType.SOCKHASH]: {
    key: 'positive',
    value: FOUR_OR_EIGHT,
    entries: 'positive',
    flags: USER_ACCESS,
    numa: true,
    more: ({ keySize }) => keySize > MAX_STACK && `a key has at most ${MAX_STACK} bytes, not ${keySize}`,
  },
  [MapType.REUSEPORT_SOCKARRAY]: { key: 4, value: FOUR_OR_EIGHT, entries: 'positive', flags: ACCESS, numa: true },
  [MapType.CGROUP_STORAGE]: { key: [8, 16], value: 'positive', entries: 'zero', flags: ACCESS, numa: true },
  [MapType.PERCPU_CGROUP_STORAGE]: { key: [8, 16], value: 'positive', entries: 'zero', flags: ACCESS, numa: true },
  [MapType.QUEUE]: { key: 0, value: 'positive', entries: 'positive', flags: ACCESS, numa: true },
  [MapType.STACK]: { key: 0, value: 'positive', entries: 'positive', flags: ACCESS, numa: true },
  [MapType.SK_STORAGE]: storage,
  [MapType.INODE_STORAGE]: storage,
  [MapType.TASK_STORAGE]: storage,
  [MapType.CGRP_STORAGE]: storage,
  [MapType.RINGBUF]: ring,
  [MapType.USER_RINGBUF]: ring,
  [MapType.BLOOM_FILTER]: {
    key: 0,
    value: 'positive',
    entries: 'positive',
    flags: MapFlag.ZERO_SEED | ACCESS,
    numa: true,
    extra: true,
    more: ({ mapExtra }) => mapExtra > 15n && `map_extra is the number of hash functions, at most 15, not ${mapExtra}`,
  },
  [MapType.ARENA]: {
    key: 0,
    value: 0,
    entries: 'positive',
    flags: MapFlag.SEGV_ON_FAULT | MapFlag.NO_USER_CONV,
    required: MapFlag.MMAPABLE,
    extra: true,
    more: ({ maxEntries }, { pageSize }) =>
      maxEntries * pageSize > 2 ** 32 && `an arena has at most 4 GiB, not ${maxEntries} pages of ${pageSize} bytes`,
  },
  [MapType.STRUCT_OPS]: { key: 4, value: 'positive', entries: 1, flags: MapFlag.LINK | MapFlag.VTYPE_BTF_OBJ_FD },
}

/**
 * Why no kernel creates such a map, each reason in words; empty when nothing is known to be wrong with it. Needs no
 * kernel. What a kernel may still refuse: a type it is too old for, memory, capabilities.
 */
export function diagnoseMap(shape: MapShapeToCheck, facts: MachineFacts): string[] {
  const rule = RULES[shape.type]
  const name = mapTypeName(shape.type)
  if (rule === undefined) {
    return MAP_TYPES.some(({ value }) => value === shape.type)
      ? []
      : [`there is no map type ${shape.type} as of Linux 6.18`]
  }
  const reasons: string[] = []
  const size = (what: string, wanted: Sizes, actual: number): void => {
    if (wanted === 'any' || (wanted === 'positive' && actual > 0)) return
    if (wanted === 'positive') reasons.push(`${what} of ${name} maps must not be empty`)
    else if (typeof wanted === 'number' ? wanted !== actual : !wanted.includes(actual)) {
      const sizes = typeof wanted === 'number' ? `${wanted}` : wanted.join(' or ')
      reasons.push(`${what} of ${name} maps has ${sizes} bytes, not ${actual}`)
    }
  }
  size('the key', rule.key, shape.keySize)
  size('the value', rule.value, shape.valueSize)
  if (rule.entries === 'positive' && shape.maxEntries === 0) reasons.push('max_entries is 0')
  if (rule.entries === 'zero' && shape.maxEntries !== 0) {
    reasons.push(`${name} maps have no max_entries, but it is ${shape.maxEntries}`)
  }
  if (rule.entries === 1 && shape.maxEntries !== 1) reasons.push(`max_entries is ${shape.maxEntries}, not 1`)
  reasons.push(...flagReasons(shape, rule, name))
  if (rule.needsTypes === true && !shape.typed) {
    reasons.push(`${name} maps need BTF types of key and value (__type(key, int), __type(value, ...))`)
  }
  if (rule.extra !== true && shape.mapExtra !== 0n) reasons.push(`${name} maps take no map_extra`)
  const isMapOfMaps = shape.type === MapType.ARRAY_OF_MAPS || shape.type === MapType.HASH_OF_MAPS
  if (isMapOfMaps && !shape.hasInner) reasons.push('a map of maps needs the definition of its inner maps')
  const more = rule.more?.(shape, facts)
  if (typeof more === 'string') reasons.push(more)
  return reasons
}

function flagReasons({ flags }: MapShapeToCheck, rule: Rule, name: string): string[] {
  const reasons: string[] = []
  const required = rule.required ?? 0
  if ((flags & required) !== required) reasons.push(`${name} maps need flag ${flagNames(required & ~flags)}`)
  const allowed = COMMON | required | (rule.flags ?? 0) | (rule.numa === true ? MapFlag.NUMA_NODE : 0)
  const wrong = flags & ~allowed
  if (wrong !== 0) reasons.push(`${name} maps do not take flag ${flagNames(wrong)}`)
  for (const both of [MapFlag.RDONLY | MapFlag.WRONLY, MapFlag.RDONLY_PROG | MapFlag.WRONLY_PROG]) {
    if ((flags & both) === both) reasons.push(`flags ${flagNames(both)} exclude each other`)
  }
  return reasons
}

function flagNames(flags: number): string {
  const names = Object.entries(MapFlag).flatMap(([name, bit]) => ((flags & bit) === 0 ? [] : [`BPF_F_${name}`]))
  const known = Object.values(MapFlag).reduce<number>((all, bit) => all | bit, 0)
  const rest = (flags & ~known) >>> 0
  if (rest !== 0) names.push(`0x${rest.toString(16)}`)
  return names.join(', ')
}
