import { Errno } from '../../../uapi/index.ts'
import type { Helper } from '../helpers/helper.ts'

/** The vm has one task, which lives as long as the vm: references need not be counted. Those of cgroups neither. */
const same: Helper = (rt) => rt.arg64(1)
const nothing: Helper = () => 0

/** Flags of bpf_iter_task_new: all processes, all threads, threads of a process. */
const LAST_TASK_FLAG = 2
const PROCESS_THREADS = 2
/** Orders of bpf_iter_css_new (enum bpf_cgroup_iter_order). */
const CSS = { DESCENDANTS_PRE: 2, DESCENDANTS_POST: 3, ANCESTORS_UP: 4 } as const

/** struct bpf_iter_task and bpf_iter_css_task, 24 bytes: address of the task that comes next, 0 at the end. */
const taskNew: Helper = (rt, _it, task, flags) => {
  const it = rt.pointer(1, 24, 'an iterator')
  rt.memory.fill(it, 0, 24)
  if (flags > LAST_TASK_FLAG || (flags === PROCESS_THREADS && task === 0)) return -Errno.EINVAL
  rt.memory.setU32(it, rt.taskAddress())
  return 0
}

const next: Helper = (rt) => {
  const it = rt.pointer(1, 8, 'an iterator')
  const at = rt.memory.u32(it)
  rt.memory.setU32(it, 0)
  return at
}

const destroy: Helper = (rt) => {
  rt.memory.setU64(rt.pointer(1, 8, 'an iterator'), 0n)
  return 0
}

/** The vm's cgroups begin with their css, so that both have one address. */
const cssTaskNew: Helper = (rt, _it, css, flags) => {
  const it = rt.pointer(1, 8, 'an iterator')
  rt.memory.setU64(it, 0n)
  if (flags > 3) return -Errno.EINVAL
  const cgroup = rt.kernel.cgroupAt(css)
  if (cgroup === rt.kernel.currentCgroup) rt.memory.setU32(it, rt.taskAddress())
  return 0
}

/** struct bpf_iter_css, 24 bytes: u32 start, u32 order, u32 index of what comes next. */
const cssNew: Helper = (rt, _it, start, order) => {
  const it = rt.pointer(1, 24, 'an iterator')
  rt.memory.fill(it, 0, 24)
  if (order < CSS.DESCENDANTS_PRE || order > CSS.ANCESTORS_UP) return -Errno.EINVAL
  rt.memory.setU32(it, start)
  rt.memory.setU32(it + 4, order)
  return 0
}

const cssNext: Helper = (rt) => {
  const it = rt.pointer(1, 24, 'an iterator')
  const start = rt.kernel.cgroupAt(rt.memory.u32(it))
  if (start === null) return 0
  const order = rt.memory.u32(it + 4)
  const index = rt.memory.u32(it + 8)
  const all = order === CSS.ANCESTORS_UP ? rt.kernel.ancestors(start) : rt.kernel.descendants(start)
  const found = (order === CSS.DESCENDANTS_POST ? all.toReversed() : all)[index]
  rt.memory.setU32(it + 8, index + 1)
  return found?.address ?? 0
}

/** Kernel functions on tasks and cgroups, by name. */
export const TASK_KFUNCS: Readonly<Record<string, Helper>> = {
  bpf_task_acquire: same,
  bpf_task_release: nothing,
  bpf_task_from_pid: (rt, pid) => (pid === rt.options.task.pid ? rt.taskAddress() : 0),
  bpf_task_from_vpid: (rt, pid) => (pid === rt.options.task.pid ? rt.taskAddress() : 0),
  bpf_cgroup_acquire: same,
  bpf_cgroup_release: nothing,
  bpf_cgroup_from_id: (rt) => rt.kernel.cgroupById(rt.arg64(1))?.address ?? 0,
  bpf_cgroup_ancestor: (rt, cgroup, level) => rt.kernel.cgroupAt(cgroup)?.ancestor(level | 0)?.address ?? 0,
  bpf_task_get_cgroup1: nothing,
  bpf_task_under_cgroup: (rt, _task, address) => {
    const cgroup = rt.kernel.cgroupAt(address)
    return cgroup !== null && rt.kernel.currentCgroup.isUnder(cgroup) ? 1 : 0
  },
  bpf_send_signal_task: (rt, _task, signal) => {
    if (signal > 64) return -Errno.EINVAL
    rt.effect('bpf_send_signal_task', { sig: signal })
    return 0
  },
  bpf_iter_task_new: taskNew,
  bpf_iter_task_next: next,
  bpf_iter_task_destroy: destroy,
  bpf_iter_css_task_new: cssTaskNew,
  bpf_iter_css_task_next: next,
  bpf_iter_css_task_destroy: destroy,
  // The task has no memory mappings.
  bpf_iter_task_vma_new: (rt) => {
    rt.memory.setU64(rt.pointer(1, 8, 'an iterator'), 0n)
    return -Errno.ENOENT
  },
  bpf_iter_task_vma_next: nothing,
  bpf_iter_task_vma_destroy: nothing,
  bpf_iter_css_new: cssNew,
  bpf_iter_css_next: cssNext,
  bpf_iter_css_destroy: (rt) => {
    rt.memory.fill(rt.pointer(1, 24, 'an iterator'), 0, 24)
    return 0
  },
}
