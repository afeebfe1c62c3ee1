import type { Helper } from '../helpers/helper.ts'

/** The vm has one task, which lives as long as the vm: references need not be counted. */
const same: Helper = (rt) => rt.arg64(1)
const nothing: Helper = () => 0

/** Kernel functions on tasks, by name. */
export const TASK_KFUNCS: Readonly<Record<string, Helper>> = {
  bpf_task_acquire: same,
  bpf_task_release: nothing,
  bpf_task_from_pid: (rt, pid) => (pid === rt.options.task.pid ? rt.taskAddress() : 0),
  bpf_task_from_vpid: (rt, pid) => (pid === rt.options.task.pid ? rt.taskAddress() : 0),
  bpf_cgroup_acquire: same,
  bpf_cgroup_release: nothing,
  /** No cgroup has a structure in the vm. */
  bpf_cgroup_from_id: nothing,
}
