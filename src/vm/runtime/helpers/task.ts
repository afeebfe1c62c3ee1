import { Errno, HelperId } from '../../../uapi/index.ts'
import { Trap } from '../../trap.ts'
import { CgroupArrayMap } from '../maps/cgroup-array.ts'
import { TASK_COMM_ADDRESS, TASK_COMM_SIZE, TASK_IDS_ADDRESS } from '../../engine.ts'
import { StackTraceMap } from '../maps/stack-trace.ts'
import type { Runtime } from '../runtime.ts'
import type { HelperGroup } from './helper.ts'

/** Return addresses of the call stack that the vm shows. */
const STACK: readonly bigint[] = [0xffffffff81000010n, 0xffffffff81000020n, 0xffffffff81000030n]
const STACK_SKIP_MASK = 0xff
const USER_STACK = 0x100
const FAST_COMPARE = 0x200
const REUSE_STACKID = 0x400
const USER_BUILD_ID = 0x800
const LAST_SIGNAL = 64

function stack(rt: Runtime, flags: number): readonly bigint[] {
  const { kernelStack = STACK, userStack = [] } = rt.options.task
  return ((flags & USER_STACK) !== 0 ? userStack : kernelStack).slice(flags & STACK_SKIP_MASK)
}

/** bpf_get_stack: return addresses as u64. */
function getStack(rt: Runtime, buffer: number, size: number, flags: number): number {
  if ((flags & ~(STACK_SKIP_MASK | USER_STACK | USER_BUILD_ID)) !== 0 || size % 8 !== 0) return -Errno.EINVAL
  const frames = stack(rt, flags).slice(0, size / 8)
  rt.memory.fill(buffer, 0, size)
  frames.forEach((frame, i) => rt.memory.setU64(buffer + i * 8, frame))
  return frames.length * 8
}

/** Whether the current task is in or below the cgroup of a slot: 1, 0, or a negative errno. */
export function isUnder(rt: Runtime, register: number, index: number): number {
  const map = rt.map(register)
  if (!(map instanceof CgroupArrayMap)) throw new Trap('call', `map ${map.name} holds no cgroups`)
  const cgroup = map.cgroup(index)
  if (typeof cgroup === 'number') return cgroup
  return rt.kernel.currentCgroup.isUnder(cgroup) ? 1 : 0
}

function sendSignal(rt: Runtime, helper: string, signal: number): number {
  if (signal > LAST_SIGNAL) return -Errno.EINVAL
  rt.effect(helper, { sig: signal })
  return 0
}

/** The fake task, its names and numbers, and its call stack. */
export const TASK_HELPERS: HelperGroup = {
  [HelperId.get_current_pid_tgid]: (rt) => rt.memory.u64(TASK_IDS_ADDRESS),
  [HelperId.get_current_uid_gid]: (rt) => rt.memory.u64(TASK_IDS_ADDRESS + 8),
  [HelperId.get_current_comm]: (rt, _buffer, size) => {
    const buffer = rt.pointer(1, size, 'a buffer')
    rt.memory.fill(buffer, 0, size)
    rt.memory.copy(buffer, TASK_COMM_ADDRESS, Math.min(TASK_COMM_SIZE - 1, Math.max(0, size - 1)))
    return 0
  },
  [HelperId.get_current_task]: (rt) => rt.taskAddress(),
  [HelperId.get_current_task_btf]: (rt) => rt.taskAddress(),
  [HelperId.task_pt_regs]: (rt) => rt.run?.context.address ?? 0,
  [HelperId.get_current_cgroup_id]: (rt) => rt.options.task.cgroupId,
  [HelperId.get_current_ancestor_cgroup_id]: (rt, level) => rt.kernel.currentCgroup.ancestor(level | 0)?.id ?? 0,
  [HelperId.get_ns_current_pid_tgid]: (rt, _dev, _ino, _info, size) => {
    const info = rt.pointer(3, size, 'struct bpf_pidns_info')
    if (size !== 8) {
      rt.memory.fill(info, 0, size)
      return -Errno.EINVAL
    }
    rt.memory.setU32(info, rt.options.task.pid)
    rt.memory.setU32(info + 4, rt.options.task.tgid)
    return 0
  },
  [HelperId.current_task_under_cgroup]: (rt, _map, index) => isUnder(rt, 1, index),
  [HelperId.send_signal]: (rt, signal) => sendSignal(rt, 'bpf_send_signal', signal),
  [HelperId.send_signal_thread]: (rt, signal) => sendSignal(rt, 'bpf_send_signal_thread', signal),
  [HelperId.override_return]: (rt) => {
    rt.effect('bpf_override_return', { rc: rt.arg64(2) })
    return 0
  },
  [HelperId.get_stackid]: (rt) => {
    const map = rt.map(2)
    const flags = rt.flags(3)
    const known = STACK_SKIP_MASK | USER_STACK | FAST_COMPARE | REUSE_STACKID
    if ((flags & ~known) !== 0 || !(map instanceof StackTraceMap)) return -Errno.EINVAL
    const frames = stack(rt, flags)
    if (frames.length === 0) return -Errno.EFAULT
    const id = Number(frames.reduce((sum, frame) => (sum * 31n + frame) & 0xffffffffn, 7n) % BigInt(map.buckets))
    return map.store(id, frames, (flags & REUSE_STACKID) !== 0)
  },
  [HelperId.get_stack]: (rt, _ctx, _buffer, size) => getStack(rt, rt.pointer(2, size, 'a buffer'), size, rt.flags(4)),
  [HelperId.get_task_stack]: (rt, _task, _buffer, size) =>
    getStack(rt, rt.pointer(2, size, 'a buffer'), size, rt.flags(4)),
  [HelperId.get_attach_cookie]: () => 0,
  [HelperId.get_func_ip]: () => 0,
}
