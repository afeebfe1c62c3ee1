import { Errno, HelperId } from '../../../uapi/index.ts'
import { Trap } from '../../trap.ts'
import { DYNPTR_SIZE, DynptrType, writeDynptr } from '../dynptr.ts'
import { PerfEventArrayMap } from '../maps/perf-event-array.ts'
import { RingBufMap } from '../maps/ringbuf.ts'
import { UserRingBufMap } from '../maps/user-ringbuf.ts'
import type { Runtime } from '../runtime.ts'
import type { Helper, HelperGroup } from './helper.ts'

/** BPF_RB_NO_WAKEUP and BPF_RB_FORCE_WAKEUP: user space is not asleep in the vm. */
const WAKEUP_FLAGS = 3

/** The ring buffer in a register. */
export function ring(rt: Runtime, register: number): RingBufMap {
  const map = rt.map(register)
  if (!(map instanceof RingBufMap)) throw new Trap('call', `map ${map.name} is no ring buffer`)
  return map
}

/** The ring buffer that a reserved record belongs to. */
export function ringOf(rt: Runtime, sample: number): RingBufMap {
  for (const map of rt.maps()) {
    if (map instanceof RingBufMap && map.isReserved(sample)) return map
  }
  throw new Trap('call', `0x${sample.toString(16)} is no reserved ring buffer record`)
}

/** Records that one bpf_user_ringbuf_drain takes at most (BPF_MAX_USER_RINGBUF_SAMPLES). */
const MAX_DRAINED = 128 * 1024

/** bpf_user_ringbuf_drain(map, callback, context, flags): how many records the callback got. */
const drainUserRing: Helper = (rt, _map, callback, context) => {
  const map = rt.map(1)
  if (!(map instanceof UserRingBufMap)) throw new Trap('call', `map ${map.name} is no user ring buffer`)
  if ((rt.flags(4) & ~WAKEUP_FLAGS) !== 0) return -Errno.EINVAL
  if (map.busy) return -Errno.EBUSY
  const address = rt.memory.allocate(DYNPTR_SIZE)
  map.busy = true
  try {
    let count = 0
    let stop = false
    while (count < MAX_DRAINED && !stop) {
      const record = map.peek()
      if (record === null) break
      const { address: data, size } = record
      writeDynptr(rt, { address, data, type: DynptrType.LOCAL, readOnly: false, size, offset: 0 })
      stop = rt.callback(callback, address, context) !== 0n
      map.consume(size)
      count++
    }
    return count
  } finally {
    map.busy = false
    rt.memory.free(address, DYNPTR_SIZE)
  }
}

/** Events for user space: ring buffers and perf buffers. */
export const EVENT_HELPERS: HelperGroup = {
  [HelperId.ringbuf_reserve]: (rt, _map, size) => {
    const map = ring(rt, 1)
    return rt.flags(3) === 0 && rt.high(2) === 0 ? map.reserve(size) : 0
  },
  [HelperId.ringbuf_submit]: (rt, sample) => {
    ringOf(rt, sample).commit(sample, false)
    return 0
  },
  [HelperId.ringbuf_discard]: (rt, sample) => {
    ringOf(rt, sample).commit(sample, true)
    return 0
  },
  [HelperId.ringbuf_output]: (rt, _map, _data, size) => {
    const map = ring(rt, 1)
    const data = rt.pointer(2, size, 'data')
    if ((rt.flags(4) & ~WAKEUP_FLAGS) !== 0) return -Errno.EINVAL
    const sample = map.reserve(size)
    if (sample === 0) return -Errno.EAGAIN
    rt.memory.copy(sample, data, size)
    map.commit(sample, false)
    return 0
  },
  [HelperId.user_ringbuf_drain]: drainUserRing,
  [HelperId.ringbuf_query]: (rt) => ring(rt, 1).query(rt.flags(2)),
  [HelperId.perf_event_output]: (rt) => perfOutput(rt),
  [HelperId.skb_output]: (rt) => perfOutput(rt),
  [HelperId.xdp_output]: (rt) => perfOutput(rt),
  [HelperId.perf_event_read]: () => -Errno.ENOENT,
  [HelperId.perf_event_read_value]: (rt, _map, _flags, _buffer, size) => {
    rt.memory.fill(rt.pointer(3, size, 'a buffer'), 0, size)
    return -Errno.ENOENT
  },
}

/** bpf_perf_event_output(ctx, map, flags, data, size); flags: CPU in the low half, packet bytes to add in 20 bits above. */
function perfOutput(rt: Runtime): number {
  const map = rt.map(2)
  if (!(map instanceof PerfEventArrayMap)) throw new Trap('call', `map ${map.name} is no perf event array`)
  const index = rt.low(3)
  const packetBytes = rt.high(3)
  const size = rt.low(5)
  const data = rt.pointer(4, size, 'data')
  const context = rt.run?.context
  if (packetBytes >>> 20 !== 0 || (packetBytes !== 0 && context?.kind === 'raw')) return -Errno.EINVAL
  const parts = [rt.memory.read(data, size)]
  if (packetBytes > 0 && context?.kind !== 'raw') {
    const packet = packetPrefix(rt, packetBytes)
    if (packet === null) return -Errno.EFAULT
    parts.push(packet)
  }
  return map.output(index, parts)
}

function packetPrefix(rt: Runtime, size: number): Uint8Array | null {
  const context = rt.run?.context
  if (context === undefined) return null
  if ('read' in context) return (context as { read(offset: number, size: number): Uint8Array | null }).read(0, size)
  if (!('at' in context)) return null
  const at = (context as { at(offset: number, size: number): number }).at(0, size)
  return at === 0 ? null : rt.memory.read(at, size)
}
