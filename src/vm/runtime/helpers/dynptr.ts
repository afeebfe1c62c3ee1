import { Errno, HelperId } from '../../../uapi/index.ts'
import { SkbField } from '../context/skb.ts'
import {
  DYNPTR_MAX,
  DYNPTR_SIZE,
  DynptrType,
  dynptrAt,
  dynptrMemory,
  inDynptr,
  readDynptr,
  storeDynptr,
  writeDynptr,
  writeNull,
} from '../dynptr.ts'
import { ring, ringOf } from './events.ts'
import { skbOf, type Helper, type HelperGroup } from './helper.ts'

/** Flags of bpf_skb_store_bytes, which a write to a packet takes. */
const RECOMPUTE_CSUM = 1
const INVALIDATE_HASH = 2

const fromMem: Helper = (rt, data, size) => {
  const address = rt.pointer(4, DYNPTR_SIZE, 'a dynptr')
  const flags = rt.arg64(3)
  writeNull(rt, address)
  if (size > DYNPTR_MAX) return -Errno.E2BIG
  if (flags !== 0n) return -Errno.EINVAL
  rt.pointer(1, size, 'memory')
  writeDynptr(rt, { address, data, type: DynptrType.LOCAL, readOnly: false, size, offset: 0 })
  return 0
}

const ringReserve: Helper = (rt, _map, size) => {
  const map = ring(rt, 1)
  const address = rt.pointer(4, DYNPTR_SIZE, 'a dynptr')
  writeNull(rt, address)
  if (rt.arg64(3) !== 0n) return -Errno.EINVAL
  if (size > DYNPTR_MAX) return -Errno.E2BIG
  const data = map.reserve(size)
  if (data === 0) return -Errno.EINVAL
  writeDynptr(rt, { address, data, type: DynptrType.RINGBUF, readOnly: false, size, offset: 0 })
  return 0
}

/** bpf_ringbuf_submit_dynptr and bpf_ringbuf_discard_dynptr; one that was not reserved is left alone. */
function ringCommit(discard: boolean): Helper {
  return (rt) => {
    const { address, data } = dynptrAt(rt, 1)
    if (data === 0) return 0
    ringOf(rt, data).commit(data, discard)
    writeNull(rt, address)
    return 0
  }
}

/** bpf_dynptr_read(to, length, dynptr, offset, flags). */
const read: Helper = (rt, _to, size, _dynptr, offset) => {
  const to = rt.pointer(1, size, 'a buffer')
  const dynptr = dynptrAt(rt, 3)
  if (dynptr.data === 0 || rt.arg64(5) !== 0n) return -Errno.EINVAL
  if (!inDynptr(dynptr, offset, size)) return -Errno.E2BIG
  const bytes = readDynptr(rt, dynptr, offset, size)
  if (bytes === null) {
    if (dynptr.type === DynptrType.XDP) return -Errno.EINVAL
    rt.memory.fill(to, 0, size)
    return -Errno.EFAULT
  }
  rt.memory.write(to, bytes)
  return 0
}

/** bpf_dynptr_write(dynptr, offset, from, length, flags). */
const write: Helper = (rt, _dynptr, offset, _from, size) => {
  const dynptr = dynptrAt(rt, 1)
  const from = rt.pointer(3, size, 'a buffer')
  const flags = rt.flags(5)
  if (dynptr.data === 0 || dynptr.readOnly) return -Errno.EINVAL
  if (!inDynptr(dynptr, offset, size)) return -Errno.E2BIG
  const known = dynptr.type === DynptrType.SKB ? RECOMPUTE_CSUM | INVALIDATE_HASH : 0
  if ((flags & ~known) !== 0) return -Errno.EINVAL
  const error = storeDynptr(rt, dynptr, offset, rt.memory.read(from, size))
  if (error === 0 && (flags & INVALIDATE_HASH) !== 0) skbOf(rt).setField(SkbField.HASH, 0)
  return error
}

/** bpf_dynptr_data(dynptr, offset, length): packets have no address that lasts. */
const data: Helper = (rt, _dynptr, offset, size) => {
  const dynptr = dynptrAt(rt, 1)
  if (dynptr.data === 0 || dynptr.readOnly || !inDynptr(dynptr, offset, size)) return 0
  if (dynptr.type !== DynptrType.LOCAL && dynptr.type !== DynptrType.RINGBUF) return 0
  return dynptrMemory(rt, dynptr, offset, size)
}

/** Dynptrs: memory whose size is known only when the program runs. */
export const DYNPTR_HELPERS: HelperGroup = {
  [HelperId.dynptr_from_mem]: fromMem,
  [HelperId.ringbuf_reserve_dynptr]: ringReserve,
  [HelperId.ringbuf_submit_dynptr]: ringCommit(false),
  [HelperId.ringbuf_discard_dynptr]: ringCommit(true),
  [HelperId.dynptr_read]: read,
  [HelperId.dynptr_write]: write,
  [HelperId.dynptr_data]: data,
}
