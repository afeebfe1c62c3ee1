import { Errno, HelperId, Limit } from '../../../uapi/index.ts'
import { orNoMemory } from '../maps/errors.ts'
import type { HelperGroup } from './helper.ts'

/** Maps: lookup, update, delete, queues, and loops with callbacks. */
export const MAP_HELPERS: HelperGroup = {
  [HelperId.map_lookup_elem]: (rt) => {
    const map = rt.map(1)
    return map.lookupAt(rt.pointer(2, map.keySize, 'a key'))
  },
  [HelperId.map_update_elem]: (rt) => {
    const map = rt.map(1)
    const key = rt.pointer(2, map.keySize, 'a key')
    const value = rt.pointer(3, map.valueSize, 'a value')
    const flags = rt.flags(4)
    return orNoMemory(() => map.updateAt(key, value, flags))
  },
  [HelperId.map_delete_elem]: (rt) => {
    const map = rt.map(1)
    return map.deleteAt(rt.pointer(2, map.keySize, 'a key'))
  },
  [HelperId.map_push_elem]: (rt) => {
    const map = rt.map(1)
    return map.pushAt(rt.pointer(2, map.valueSize, 'a value'), rt.flags(3))
  },
  [HelperId.map_pop_elem]: (rt) => {
    const map = rt.map(1)
    return map.popAt(rt.pointer(2, map.valueSize, 'a value'))
  },
  [HelperId.map_peek_elem]: (rt) => {
    const map = rt.map(1)
    return map.peekAt(rt.pointer(2, map.valueSize, 'a value'))
  },
  [HelperId.map_lookup_percpu_elem]: (rt, _map, _key, cpu) => {
    const map = rt.map(1)
    const key = rt.pointer(2, map.keySize, 'a key')
    return cpu < rt.cpus ? map.lookupCpuAt(key, cpu) : 0
  },
  [HelperId.for_each_map_elem]: (rt, handle, callback, context) => {
    const map = rt.map(1)
    if (rt.flags(4) !== 0) return -Errno.EINVAL
    return map.forEachAt((key, value) => rt.callback(callback, handle, key, value, context) !== 0n)
  },
  [HelperId.loop]: (rt, iterations, callback, context) => {
    if (rt.flags(4) !== 0) return -Errno.EINVAL
    if (iterations > Limit.LOOPS) return -Errno.E2BIG
    for (let i = 0; i < iterations; i++) {
      if (rt.callback(callback, i, context) !== 0n) return i + 1
    }
    return iterations
  },
  [HelperId.spin_lock]: (rt) => {
    rt.locks.take(rt.pointer(1, 4, 'a lock'))
    return 0
  },
  [HelperId.spin_unlock]: (rt) => {
    rt.locks.open(rt.pointer(1, 4, 'a lock'))
    return 0
  },
}
