import { Errno } from '../../../uapi/index.ts'
import type { Helper } from '../helpers/helper.ts'
import { initAsync, setAsyncCallback } from '../helpers/timer.ts'

/** Kernel functions on work queues (struct bpf_wq), by name. */
export const WORKQUEUE_KFUNCS: Readonly<Record<string, Helper>> = {
  bpf_wq_init: (rt) => (rt.arg64(3) === 0n ? initAsync(rt, rt.map(2), 'work') : -Errno.EINVAL),
  bpf_wq_set_callback_impl: (rt, ...args) => (rt.low(3) === 0 ? setAsyncCallback(rt, ...args) : -Errno.EINVAL),
  bpf_wq_start: (rt) => (rt.low(2) === 0 ? rt.async.start(rt.pointer(1, 16, 'work'), 0n) : -Errno.EINVAL),
}
