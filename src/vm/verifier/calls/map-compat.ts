import { AttachType, HelperId as H, MapType as M, ProgType } from '../../../uapi/index.ts'

/** Helpers that some map types allow, and no others; types that are absent do not limit. */
const BY_MAP: Readonly<Record<number, readonly number[]>> = {
  [M.PROG_ARRAY]: [H.tail_call],
  [M.PERF_EVENT_ARRAY]: [H.perf_event_read, H.perf_event_output, H.skb_output, H.perf_event_read_value, H.xdp_output],
  [M.RINGBUF]: [
    H.ringbuf_output,
    H.ringbuf_reserve,
    H.ringbuf_query,
    H.ringbuf_reserve_dynptr,
    H.ringbuf_submit_dynptr,
    H.ringbuf_discard_dynptr,
  ],
  [M.USER_RINGBUF]: [H.user_ringbuf_drain],
  [M.STACK_TRACE]: [H.get_stackid],
  [M.CGROUP_ARRAY]: [H.skb_under_cgroup, H.current_task_under_cgroup],
  [M.CGROUP_STORAGE]: [H.get_local_storage],
  [M.PERCPU_CGROUP_STORAGE]: [H.get_local_storage],
  [M.DEVMAP]: [H.redirect_map, H.map_lookup_elem],
  [M.DEVMAP_HASH]: [H.redirect_map, H.map_lookup_elem],
  [M.CPUMAP]: [H.redirect_map],
  [M.XSKMAP]: [H.redirect_map, H.map_lookup_elem],
  [M.ARRAY_OF_MAPS]: [H.map_lookup_elem],
  [M.HASH_OF_MAPS]: [H.map_lookup_elem],
  [M.SOCKMAP]: [
    H.sk_redirect_map,
    H.sock_map_update,
    H.map_delete_elem,
    H.msg_redirect_map,
    H.sk_select_reuseport,
    H.map_lookup_elem,
    H.map_update_elem,
  ],
  [M.SOCKHASH]: [
    H.sk_redirect_hash,
    H.sock_hash_update,
    H.map_delete_elem,
    H.msg_redirect_hash,
    H.sk_select_reuseport,
    H.map_lookup_elem,
    H.map_update_elem,
  ],
  [M.REUSEPORT_SOCKARRAY]: [H.sk_select_reuseport],
  [M.QUEUE]: [H.map_peek_elem, H.map_pop_elem, H.map_push_elem],
  [M.STACK]: [H.map_peek_elem, H.map_pop_elem, H.map_push_elem],
  [M.SK_STORAGE]: [H.sk_storage_get, H.sk_storage_delete, H.kptr_xchg],
  [M.INODE_STORAGE]: [H.inode_storage_get, H.inode_storage_delete, H.kptr_xchg],
  [M.TASK_STORAGE]: [H.task_storage_get, H.task_storage_delete, H.kptr_xchg],
  [M.CGRP_STORAGE]: [H.cgrp_storage_get, H.cgrp_storage_delete, H.kptr_xchg],
  [M.BLOOM_FILTER]: [H.map_peek_elem, H.map_push_elem],
  [M.STRUCT_OPS]: [],
  [M.ARENA]: [],
}

/** Map types that some helpers want, and no others. */
const BY_HELPER: Readonly<Record<number, readonly number[]>> = {
  [H.tail_call]: [M.PROG_ARRAY],
  [H.perf_event_read]: [M.PERF_EVENT_ARRAY],
  [H.perf_event_output]: [M.PERF_EVENT_ARRAY],
  [H.perf_event_read_value]: [M.PERF_EVENT_ARRAY],
  [H.skb_output]: [M.PERF_EVENT_ARRAY],
  [H.xdp_output]: [M.PERF_EVENT_ARRAY],
  [H.ringbuf_output]: [M.RINGBUF],
  [H.ringbuf_reserve]: [M.RINGBUF],
  [H.ringbuf_query]: [M.RINGBUF],
  [H.ringbuf_reserve_dynptr]: [M.RINGBUF],
  [H.ringbuf_submit_dynptr]: [M.RINGBUF],
  [H.ringbuf_discard_dynptr]: [M.RINGBUF],
  [H.user_ringbuf_drain]: [M.USER_RINGBUF],
  [H.get_stackid]: [M.STACK_TRACE],
  [H.current_task_under_cgroup]: [M.CGROUP_ARRAY],
  [H.skb_under_cgroup]: [M.CGROUP_ARRAY],
  [H.redirect_map]: [M.DEVMAP, M.DEVMAP_HASH, M.CPUMAP, M.XSKMAP],
  [H.sk_redirect_map]: [M.SOCKMAP],
  [H.msg_redirect_map]: [M.SOCKMAP],
  [H.sock_map_update]: [M.SOCKMAP],
  [H.sk_redirect_hash]: [M.SOCKHASH],
  [H.msg_redirect_hash]: [M.SOCKHASH],
  [H.sock_hash_update]: [M.SOCKHASH],
  [H.get_local_storage]: [M.CGROUP_STORAGE, M.PERCPU_CGROUP_STORAGE],
  [H.sk_select_reuseport]: [M.REUSEPORT_SOCKARRAY, M.SOCKMAP, M.SOCKHASH],
  [H.map_pop_elem]: [M.QUEUE, M.STACK],
  [H.map_peek_elem]: [M.QUEUE, M.STACK, M.BLOOM_FILTER],
  [H.map_push_elem]: [M.QUEUE, M.STACK, M.BLOOM_FILTER],
  [H.map_lookup_percpu_elem]: [M.PERCPU_ARRAY, M.PERCPU_HASH, M.LRU_PERCPU_HASH],
  [H.sk_storage_get]: [M.SK_STORAGE],
  [H.sk_storage_delete]: [M.SK_STORAGE],
  [H.inode_storage_get]: [M.INODE_STORAGE],
  [H.inode_storage_delete]: [M.INODE_STORAGE],
  [H.task_storage_get]: [M.TASK_STORAGE],
  [H.task_storage_delete]: [M.TASK_STORAGE],
  [H.cgrp_storage_get]: [M.CGRP_STORAGE],
  [H.cgrp_storage_delete]: [M.CGRP_STORAGE],
}

/** Programs of these types may change sock maps. */
const SOCKMAP_WRITERS: ReadonlySet<number> = new Set<number>([
  ProgType.SOCKET_FILTER,
  ProgType.SCHED_CLS,
  ProgType.SCHED_ACT,
  ProgType.XDP,
  ProgType.SK_REUSEPORT,
  ProgType.FLOW_DISSECTOR,
  ProgType.SK_LOOKUP,
])

/** Whether a program may call map_update_elem or map_delete_elem on a map, as far as sock maps are concerned. */
export function mayChangeSockmap(
  facts: { readonly type: number; readonly attachType: number },
  mapType: number,
  helper: number,
): boolean {
  if (mapType !== M.SOCKMAP && mapType !== M.SOCKHASH) return true
  if (helper !== H.map_update_elem && helper !== H.map_delete_elem) return true
  if (facts.type === ProgType.TRACING) return facts.attachType === AttachType.TRACE_ITER
  if (facts.type === ProgType.SOCK_OPS) return helper === H.map_delete_elem
  return SOCKMAP_WRITERS.has(facts.type)
}

/** Whether a helper may work on a map of a type. */
export function mapAllows(mapType: number, helper: number): boolean {
  const helpers = BY_MAP[mapType]
  if (helpers !== undefined && !helpers.includes(helper)) return false
  const maps = BY_HELPER[helper]
  return maps === undefined || maps.includes(mapType)
}
