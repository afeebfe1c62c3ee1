import { BpfError, isBpfError } from '../../../bytes/index.ts'
import { INSN_ARRAY, MapType, mapTypeName } from '../../../uapi/index.ts'
import { ArenaMap } from './arena.ts'
import { ArrayMap } from './array.ts'
import { checkAttributes } from './attributes.ts'
import { BloomFilterMap } from './bloom-filter.ts'
import { CgroupArrayMap } from './cgroup-array.ts'
import { CgroupStorageMap } from './cgroup-storage.ts'
import { HashMap } from './hash.ts'
import { InsnArrayMap } from './insn-array.ts'
import { LocalStorageMap } from './local-storage.ts'
import { LpmTrieMap } from './lpm-trie.ts'
import { LruHashMap } from './lru-hash.ts'
import { LruPerCpuHashMap } from './lru-percpu-hash.ts'
import { ArrayOfMaps, HashOfMaps } from './map-in-map.ts'
import type { MapConfig, MapHost, VmMap } from './map.ts'
import { PerCpuArrayMap } from './percpu-array.ts'
import { PerCpuHashMap } from './percpu-hash.ts'
import { PerfEventArrayMap } from './perf-event-array.ts'
import { ProgArrayMap } from './prog-array.ts'
import { QueueStackMap } from './queue-stack.ts'
import { createRedirectMap } from './redirect-map.ts'
import { RingBufMap } from './ringbuf.ts'
import { ReuseportArray, SockHash, SockMap } from './socket-maps.ts'
import { StackTraceMap } from './stack-trace.ts'
import { StructOpsMap } from './struct-ops.ts'
import { UserRingBufMap } from './user-ringbuf.ts'

const CONSTRUCTORS: ReadonlyMap<number, (host: MapHost, config: MapConfig) => VmMap> = new Map<
  number,
  (host: MapHost, config: MapConfig) => VmMap
>([
  [MapType.ARRAY, (host, config) => new ArrayMap(host, config)],
  [MapType.PERCPU_ARRAY, (host, config) => new PerCpuArrayMap(host, config)],
  [MapType.HASH, (host, config) => new HashMap(host, config)],
  [MapType.PERCPU_HASH, (host, config) => new PerCpuHashMap(host, config)],
  [MapType.LRU_HASH, (host, config) => new LruHashMap(host, config)],
  [MapType.LRU_PERCPU_HASH, (host, config) => new LruPerCpuHashMap(host, config)],
  [MapType.LPM_TRIE, (host, config) => new LpmTrieMap(host, config)],
  [MapType.PROG_ARRAY, (host, config) => new ProgArrayMap(host, config)],
  [MapType.PERF_EVENT_ARRAY, (host, config) => new PerfEventArrayMap(host, config)],
  [MapType.RINGBUF, (host, config) => new RingBufMap(host, config)],
  [MapType.ARRAY_OF_MAPS, (host, config) => new ArrayOfMaps(host, config)],
  [MapType.HASH_OF_MAPS, (host, config) => new HashOfMaps(host, config)],
  [MapType.QUEUE, (host, config) => new QueueStackMap(host, config)],
  [MapType.STACK, (host, config) => new QueueStackMap(host, config)],
  [MapType.BLOOM_FILTER, (host, config) => new BloomFilterMap(host, config)],
  [MapType.USER_RINGBUF, (host, config) => new UserRingBufMap(host, config)],
  [MapType.ARENA, (host, config) => new ArenaMap(host, config)],
  [MapType.CGROUP_STORAGE, (host, config) => new CgroupStorageMap(host, config)],
  [MapType.PERCPU_CGROUP_STORAGE, (host, config) => new CgroupStorageMap(host, config)],
  [MapType.STACK_TRACE, (host, config) => new StackTraceMap(host, config)],
  [MapType.DEVMAP, createRedirectMap],
  [MapType.DEVMAP_HASH, createRedirectMap],
  [MapType.CPUMAP, createRedirectMap],
  [MapType.XSKMAP, createRedirectMap],
  [MapType.TASK_STORAGE, createStorage],
  [MapType.SK_STORAGE, createStorage],
  [MapType.INODE_STORAGE, createStorage],
  [MapType.CGRP_STORAGE, createStorage],
  [MapType.CGROUP_ARRAY, (host, config) => new CgroupArrayMap(host, config)],
  [MapType.SOCKMAP, (host, config) => new SockMap(host, config)],
  [MapType.SOCKHASH, (host, config) => new SockHash(host, config)],
  [MapType.STRUCT_OPS, (host, config) => new StructOpsMap(host, config)],
  [INSN_ARRAY, (host, config) => new InsnArrayMap(host, config)],
  [MapType.REUSEPORT_SOCKARRAY, (host, config) => new ReuseportArray(host, config)],
])

function createStorage(host: MapHost, config: MapConfig): VmMap {
  return new LocalStorageMap(host, config)
}

/** Map types that the vm has. */
export function supportedMapTypes(): number[] {
  return [...CONSTRUCTORS.keys()].sort((a, b) => a - b)
}

/**
 * A new map of the type that the spec names.
 * @throws BpfError `unsupported` for a type that the vm lacks, `syscall` EINVAL for attributes that the kernel refuses,
 * `limit` when the vm's memory is too small
 */
export function createVmMap(host: MapHost, config: MapConfig): VmMap {
  const construct = CONSTRUCTORS.get(config.spec.type)
  if (construct === undefined) {
    const type = mapTypeName(config.spec.type) ?? String(config.spec.type)
    throw new BpfError('unsupported', `map ${config.name}: the vm has no maps of type ${type}`, {
      where: { map: config.name },
    })
  }
  if (config.fields === undefined) checkAttributes(config)
  try {
    const map = construct(host, config)
    // Only now: nobody should find, or close, one that was made in part.
    host.register(map)
    return map
  } catch (error) {
    if (isBpfError(error)) throw error.within({ map: config.name })
    throw error
  }
}
