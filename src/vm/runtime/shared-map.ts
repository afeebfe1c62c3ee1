import { AREA } from '../area.ts'
import { BpfError } from '../../bytes/index.ts'
import { MapType, mapTypeName } from '../../uapi/index.ts'
import type { MapConfig, VmMap } from './maps/map.ts'
import type { LinearMemory } from './memory.ts'
import { LockWords, MapLock } from './spin-lock.ts'

/** Map types that several threads may use at a time, and whether their operations take a lock. */
const SHARED_TYPES: ReadonlyMap<number, boolean> = new Map<number, boolean>([
  [MapType.ARRAY, false],
  [MapType.PERCPU_ARRAY, false],
  [MapType.ARRAY_OF_MAPS, false],
  [MapType.HASH, true],
  [MapType.PERCPU_HASH, true],
  [MapType.LRU_HASH, true],
  [MapType.LRU_PERCPU_HASH, true],
  [MapType.HASH_OF_MAPS, true],
  [MapType.LPM_TRIE, true],
  [MapType.PROG_ARRAY, true],
  [MapType.QUEUE, true],
  [MapType.STACK, true],
  [MapType.BLOOM_FILTER, true],
  [MapType.RINGBUF, true],
  [MapType.TASK_STORAGE, true],
  [MapType.CGRP_STORAGE, true],
  [MapType.SK_STORAGE, true],
  [MapType.INODE_STORAGE, true],
  [MapType.CGROUP_STORAGE, false],
  [MapType.PERCPU_CGROUP_STORAGE, false],
])

/** Operations that a lock goes around; a map has some of them. */
const LOCKED = [
  'lookupAt',
  'lookupCpuAt',
  'updateAt',
  'deleteAt',
  'pushAt',
  'popAt',
  'peekAt',
  'nextElement',
  'userLookup',
  'userUpdate',
  'userDelete',
  'userNextKey',
  'userLookupAndDelete',
  'setSlot',
  // Ring buffers.
  'reserve',
  'commit',
  'query',
  'takeRecord',
  // Storage.
  'get',
  'remove',
]

type Operation = (...args: unknown[]) => unknown

/** @throws BpfError `unsupported` for maps that only one thread may use */
export function checkShareable({ spec, name }: MapConfig): void {
  if (SHARED_TYPES.has(spec.type)) return
  const type = mapTypeName(spec.type) ?? String(spec.type)
  throw new BpfError('unsupported', `map ${name}: a shared vm has no maps of type ${type}`, { where: { map: name } })
}

/** Makes a map ready for several threads: takes all of its memory now, and puts a lock around its operations. */
export function share(map: VmMap, memory: LinearMemory): void {
  const other = map.fields.find(({ kind }) => kind !== 'lock')
  if (other !== undefined) {
    const what = FIELD_WORDS[other.kind] ?? other.kind
    throw new BpfError('unsupported', `map ${map.name}: a shared vm has no ${what} in values`, {
      where: { map: map.name },
    })
  }
  if (SHARED_TYPES.get(map.type) !== true) return
  map.takeMemory()
  const lock = new MapLock(new LockWords(memory), memory.allocate(4), AREA.cpu + 1, map.name)
  const operations = map as unknown as Record<string, Operation | undefined>
  for (const name of LOCKED) {
    const operation = operations[name]
    if (operation === undefined) continue
    operations[name] = (...args) => lock.during(() => operation.apply(map, args))
  }
}

/** Fields that belong to one thread, in words. */
const FIELD_WORDS: Readonly<Partial<Record<string, string>>> = {
  timer: 'timers (bpf_timer)',
  work: 'work queues (bpf_wq, bpf_task_work)',
  kptr: 'kernel pointers (__kptr)',
  list: 'lists (bpf_list_head)',
  tree: 'trees (bpf_rb_root)',
  node: 'nodes of lists or trees',
  refcount: 'reference counts (bpf_refcount)',
}
