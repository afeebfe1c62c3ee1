import { Errno } from '../../uapi/index.ts'
import type { Helper } from './helpers/helper.ts'
import { ARENA_KFUNCS } from './kfuncs/arena.ts'
import { CONTROL_KFUNCS } from './kfuncs/control.ts'
import { CPUMASK_KFUNCS } from './kfuncs/cpumask.ts'
import { DYNPTR_KFUNCS } from './kfuncs/dynptr.ts'
import { ITERATOR_KFUNCS } from './kfuncs/iterators.ts'
import { OBJECT_KFUNCS } from './kfuncs/objects.ts'
import { STRING_KFUNCS } from './kfuncs/strings.ts'
import { TASK_KFUNCS } from './kfuncs/task.ts'
import { WORKQUEUE_KFUNCS } from './kfuncs/workqueue.ts'

const nothing: Helper = () => 0
const same: Helper = (rt) => rt.arg64(1)

/** State of an open-coded number iterator (struct bpf_iter_num, 8 bytes): current number and end. */
const iterNumNew: Helper = (rt, _it, start, end) => {
  const it = rt.pointer(1, 8, 'an iterator')
  const first = start | 0
  const last = end | 0
  rt.memory.setU64(it, 0n)
  if (first > last) return -Errno.EINVAL
  if (last - first > 8_388_608) return -Errno.E2BIG
  // As in the kernel, the number before the first; both 0 means the end.
  rt.memory.view.setInt32(it, first - 1, true)
  rt.memory.view.setInt32(it + 4, last, true)
  return 0
}

const iterNumNext: Helper = (rt) => {
  const it = rt.pointer(1, 8, 'an iterator')
  const { view } = rt.memory
  const next = view.getInt32(it, true) + 1
  if (next >= view.getInt32(it + 4, true)) {
    rt.memory.setU64(it, 0n)
    return 0
  }
  view.setInt32(it, next, true)
  return it
}

const iterNumDestroy: Helper = (rt) => {
  rt.memory.setU64(rt.pointer(1, 8, 'an iterator'), 0n)
  return 0
}

/** Kernel functions that the vm has, by name. */
export const KFUNCS: Readonly<Record<string, Helper>> = {
  bpf_rcu_read_lock: nothing,
  bpf_rcu_read_unlock: nothing,
  bpf_preempt_disable: nothing,
  bpf_preempt_enable: nothing,
  bpf_cast_to_kern_ctx: same,
  bpf_rdonly_cast: same,
  bpf_iter_num_new: iterNumNew,
  bpf_iter_num_next: iterNumNext,
  bpf_iter_num_destroy: iterNumDestroy,
  ...DYNPTR_KFUNCS,
  ...WORKQUEUE_KFUNCS,
  ...OBJECT_KFUNCS,
  ...ARENA_KFUNCS,
  ...CPUMASK_KFUNCS,
  ...ITERATOR_KFUNCS,
  ...TASK_KFUNCS,
  ...STRING_KFUNCS,
  ...CONTROL_KFUNCS,
}
