import { MapType as M, ProgType as P } from '../../../uapi/index.ts'
import type { FieldKind } from '../facts/fields.ts'
import type { MapFacts } from '../facts/maps.ts'
import { hasField } from '../facts/query.ts'
import { invalid } from '../reject.ts'

const TRACING: ReadonlySet<number> = new Set<number>([
  P.KPROBE,
  P.TRACEPOINT,
  P.PERF_EVENT,
  P.RAW_TRACEPOINT,
  P.RAW_TRACEPOINT_WRITABLE,
])

/** Map types that programs which may sleep can use. */
const SLEEPABLE: ReadonlySet<number> = new Set<number>([
  M.HASH,
  M.LRU_HASH,
  M.ARRAY,
  M.PERCPU_HASH,
  M.PERCPU_ARRAY,
  M.LRU_PERCPU_HASH,
  M.ARRAY_OF_MAPS,
  M.HASH_OF_MAPS,
  M.RINGBUF,
  M.USER_RINGBUF,
  M.INODE_STORAGE,
  M.SK_STORAGE,
  M.TASK_STORAGE,
  M.CGRP_STORAGE,
  M.QUEUE,
  M.STACK,
  M.ARENA,
])

/** Whether a program of a type may have a map at all, used or not (check_map_prog_compatibility of Linux 6.12). */
export function checkMapForProgram(map: MapFacts, type: number, sleepable: boolean): void {
  const has = (kind: FieldKind): boolean => hasField(map, kind)
  const isTracing = TRACING.has(type)
  if ((has('bpf_list_head') || has('bpf_rb_root')) && isTracing) {
    invalid('tracing progs cannot use bpf_{list_head,rb_root} yet')
  }
  if (has('bpf_spin_lock') || has('bpf_res_spin_lock')) {
    if (type === P.SOCKET_FILTER) invalid('socket filter progs cannot use bpf_spin_lock yet')
    if (isTracing) invalid('tracing progs cannot use bpf_spin_lock yet')
  }
  if (has('bpf_timer') && isTracing) invalid('tracing progs cannot use bpf_timer yet')
  if (has('bpf_wq') && isTracing) invalid('tracing progs cannot use bpf_wq yet')
  if (sleepable && !SLEEPABLE.has(map.type)) {
    invalid('Sleepable programs can only use array, hash, ringbuf and local storage maps')
  }
}
