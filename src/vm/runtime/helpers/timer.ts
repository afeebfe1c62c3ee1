import { Errno, HelperId } from '../../../uapi/index.ts'
import { Trap } from '../../trap.ts'
import type { FieldKind } from '../maps/fields.ts'
import type { VmMap } from '../maps/map.ts'
import type { Runtime } from '../runtime.ts'
import type { Helper, HelperGroup } from './helper.ts'

/** struct bpf_timer and struct bpf_wq. */
const SIZE = 16
/** CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME. */
const CLOCKS: ReadonlySet<bigint> = new Set([0n, 1n, 7n])
/** Flags of bpf_timer_start. */
const ABSOLUTE = 1
const CPU_PIN = 2

/** Initialises the timer or work in r1, which lies in a value of `map`. */
export function initAsync(rt: Runtime, map: VmMap, kind: FieldKind): number {
  const address = rt.pointer(1, SIZE, 'a timer')
  const field = map.fields.find((each) => each.kind === kind)
  if (field === undefined) throw new Trap('call', `values of map ${map.name} have no ${kind}`)
  return rt.async.init(address, map, kind, address - field.offset)
}

/** Sets function `index` of the running program as the callback of the timer or work in r1. */
export const setAsyncCallback: Helper = (rt, _async, index) => {
  const program = rt.run?.programs.at(-1)
  if (program === undefined) throw new Trap('call', 'no program runs')
  return rt.async.setCallback(rt.pointer(1, SIZE, 'a timer'), program, index)
}

/** Timers. They fire when their time has come and no program runs. */
export const TIMER_HELPERS: HelperGroup = {
  [HelperId.timer_init]: (rt) => {
    if (!CLOCKS.has(rt.arg64(3))) return -Errno.EINVAL
    return initAsync(rt, rt.map(2), 'timer')
  },
  [HelperId.timer_set_callback]: setAsyncCallback,
  [HelperId.timer_start]: (rt) => {
    const flags = rt.flags(3)
    if ((flags & ~(ABSOLUTE | CPU_PIN)) !== 0) return -Errno.EINVAL
    const time = rt.arg64(2)
    return rt.async.start(rt.pointer(1, SIZE, 'a timer'), (flags & ABSOLUTE) !== 0 ? time : rt.options.clock() + time)
  },
  [HelperId.timer_cancel]: (rt) => rt.async.cancel(rt.pointer(1, SIZE, 'a timer')),
}
