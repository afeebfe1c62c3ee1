import { rowsOf, type EnumRow } from './enum.ts'

/** Map types: enum bpf_map_type, include/uapi/linux/bpf.h of Linux 6.18. */
export const MapType = {
  UNSPEC: 0,
  HASH: 1,
  ARRAY: 2,
  PROG_ARRAY: 3,
  PERF_EVENT_ARRAY: 4,
  PERCPU_HASH: 5,
  PERCPU_ARRAY: 6,
  STACK_TRACE: 7,
  CGROUP_ARRAY: 8,
  LRU_HASH: 9,
  LRU_PERCPU_HASH: 10,
  LPM_TRIE: 11,
  ARRAY_OF_MAPS: 12,
  HASH_OF_MAPS: 13,
  DEVMAP: 14,
  SOCKMAP: 15,
  CPUMAP: 16,
  XSKMAP: 17,
  SOCKHASH: 18,
  CGROUP_STORAGE: 19,
  REUSEPORT_SOCKARRAY: 20,
  PERCPU_CGROUP_STORAGE: 21,
  QUEUE: 22,
  STACK: 23,
  SK_STORAGE: 24,
  DEVMAP_HASH: 25,
  STRUCT_OPS: 26,
  RINGBUF: 27,
  INODE_STORAGE: 28,
  TASK_STORAGE: 29,
  BLOOM_FILTER: 30,
  USER_RINGBUF: 31,
  CGRP_STORAGE: 32,
  ARENA: 33,
} as const
export type MapType = (typeof MapType)[keyof typeof MapType]

/** BPF_MAP_TYPE_INSN_ARRAY of Linux 6.19, which the lists of 6.18 do not have. */
export const INSN_ARRAY = 34

/** First kernel release with each value (from the git history of include/uapi/linux/bpf.h). */
const SINCE: Readonly<Record<keyof typeof MapType, string>> = {
  UNSPEC: '3.18',
  HASH: '3.19',
  ARRAY: '3.19',
  PROG_ARRAY: '4.2',
  PERF_EVENT_ARRAY: '4.3',
  PERCPU_HASH: '4.6',
  PERCPU_ARRAY: '4.6',
  STACK_TRACE: '4.6',
  CGROUP_ARRAY: '4.8',
  LRU_HASH: '4.10',
  LRU_PERCPU_HASH: '4.10',
  LPM_TRIE: '4.11',
  ARRAY_OF_MAPS: '4.12',
  HASH_OF_MAPS: '4.12',
  DEVMAP: '4.14',
  SOCKMAP: '4.14',
  CPUMAP: '4.15',
  XSKMAP: '4.18',
  SOCKHASH: '4.18',
  CGROUP_STORAGE: '4.19',
  REUSEPORT_SOCKARRAY: '4.19',
  PERCPU_CGROUP_STORAGE: '4.20',
  QUEUE: '4.20',
  STACK: '4.20',
  SK_STORAGE: '5.2',
  DEVMAP_HASH: '5.4',
  STRUCT_OPS: '5.6',
  RINGBUF: '5.8',
  INODE_STORAGE: '5.10',
  TASK_STORAGE: '5.11',
  BLOOM_FILTER: '5.16',
  USER_RINGBUF: '6.1',
  CGRP_STORAGE: '6.2',
  ARENA: '6.9',
}

/** One row for each map type, in order of value; `name` is libbpf's word. */
export const MAP_TYPES: readonly EnumRow[] = rowsOf(MapType, SINCE, 'BPF_MAP_TYPE_')

/** libbpf's word for a map type (`mapTypeName(1)` is `hash`); `unknown N` for a value that elfbee does not know. */
export function mapTypeName(value: number): string {
  if (value === INSN_ARRAY) return 'insn_array'
  return MAP_TYPES[value]?.name ?? `unknown ${value}`
}
