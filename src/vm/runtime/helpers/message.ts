import { Errno, HelperId } from '../../../uapi/index.ts'
import { PACKET_END } from '../layout.ts'
import type { Helper, HelperGroup } from './helper.ts'
import { structOf } from './sockets.ts'

/** bpf_msg_pull_data(msg, start, end, flags): after it, data and data_end show these bytes. */
const pull: Helper = (rt, _msg, start, end) => {
  const message = structOf(rt)
  const size = Number(message.get('size'))
  if (rt.arg64(4) !== 0n || end <= start) return -Errno.EINVAL
  if (start >= size || end > size) return -Errno.EINVAL
  const base = message.dataEnd - size
  message.moveData(base + start, base + size)
  message.set('data_end', base + end)
  return 0
}

/** bpf_msg_push_data(msg, start, length, flags): room in the message. */
const push: Helper = (rt, _msg, start, length) => {
  const message = structOf(rt)
  const size = Number(message.get('size'))
  if (rt.arg64(4) !== 0n) return -Errno.EINVAL
  if (length === 0) return 0
  if (start > size) return -Errno.EINVAL
  if (message.dataEnd + length > PACKET_END) return -Errno.ENOMEM
  const base = message.dataEnd - size
  rt.memory.copy(base + start + length, base + start, size - start)
  rt.memory.fill(base + start, 0, length)
  message.moveData(base, base + size + length)
  message.set('size', size + length)
  return 0
}

/** bpf_msg_pop_data(msg, start, length, flags): takes bytes out. */
const pop: Helper = (rt, _msg, start, length) => {
  const message = structOf(rt)
  const size = Number(message.get('size'))
  if (rt.arg64(4) !== 0n) return -Errno.EINVAL
  if (length === 0) return 0
  if (start >= size || length >= size || start + length > size) return -Errno.EINVAL
  const base = message.dataEnd - size
  rt.memory.copy(base + start, base + start + length, size - start - length)
  message.moveData(base, base + size - length)
  message.set('size', size - length)
  return 0
}

/** Messages of sk_msg programs. */
export const MESSAGE_HELPERS: HelperGroup = {
  [HelperId.msg_pull_data]: pull,
  [HelperId.msg_push_data]: push,
  [HelperId.msg_pop_data]: pop,
  [HelperId.msg_apply_bytes]: (rt, _msg, bytes) => {
    rt.effect('bpf_msg_apply_bytes', { bytes })
    return 0
  },
  [HelperId.msg_cork_bytes]: (rt, _msg, bytes) => {
    rt.effect('bpf_msg_cork_bytes', { bytes })
    return 0
  },
}
