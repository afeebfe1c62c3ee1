import { Errno } from '../../../uapi/index.ts'
import { ProgramException } from '../../exception.ts'
import { Trap } from '../../trap.ts'
import type { Helper } from '../helpers/helper.ts'
import { Descriptor } from '../maps/descriptor.ts'
import { VirtualSocket } from '../kernel/socket.ts'

const nothing: Helper = () => 0
const TCP_CLOSE = 7

/** bpf_res_spin_lock: locks that notice a deadlock rather than spin. */
const lock: Helper = (rt) => {
  const result = rt.locks.tryTake(rt.pointer(1, 4, 'a lock'))
  if (result === 'held') return -Errno.EDEADLK
  return result === 'timeout' ? -Errno.ETIMEDOUT : 0
}

const unlock: Helper = (rt) => {
  rt.locks.openTried(rt.pointer(1, 4, 'a lock'))
  return 0
}

/** Saves that interrupts were on. */
const irqSave: Helper = (rt) => {
  rt.memory.setU64(rt.pointer(1, 8, 'interrupt flags'), 1n)
  return 0
}

/** Kernel functions on the course of programs, locks and others, by name. */
export const CONTROL_KFUNCS: Readonly<Record<string, Helper>> = {
  bpf_throw: (rt) => {
    throw new ProgramException(rt.arg64(1))
  },
  __bpf_trap: () => {
    throw new Trap('instruction', 'the program reached code that its compiler took for unreachable (__bpf_trap)')
  },
  bpf_local_irq_save: irqSave,
  bpf_local_irq_restore: nothing,
  bpf_res_spin_lock: lock,
  bpf_res_spin_unlock: unlock,
  bpf_res_spin_lock_irqsave: (rt, ...args) => {
    rt.memory.setU64(rt.pointer(2, 8, 'interrupt flags'), 1n)
    return lock(rt, ...args)
  },
  bpf_res_spin_unlock_irqrestore: unlock,
  bpf_map_sum_elem_count: (rt, map) => (rt.mapAt(map) === undefined ? 0 : rt.memory.u32(map + Descriptor.COUNT)),
  bpf_sock_destroy: (rt, address) => {
    const socket = rt.kernel.socketAt(address)
    if (!(socket instanceof VirtualSocket)) return -Errno.EOPNOTSUPP
    socket.set('state', TCP_CLOSE)
    return 0
  },
}
