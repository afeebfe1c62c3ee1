import { Errno } from '../../../uapi/index.ts'
import {
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
import { skbOf, xdpOf, type Helper } from '../helpers/helper.ts'

/** Bytes that a copy moves at a time, as the kernel's does. */
const COPY_CHUNK = 256

/** bpf_dynptr_from_skb and bpf_dynptr_from_xdp (context, flags, dynptr): all of the packet. */
function fromPacket(type: typeof DynptrType.SKB | typeof DynptrType.XDP): Helper {
  return (rt, data) => {
    const address = rt.pointer(3, DYNPTR_SIZE, 'a dynptr')
    writeNull(rt, address)
    if (rt.arg64(2) !== 0n) return -Errno.EINVAL
    const packet = type === DynptrType.SKB ? skbOf(rt) : xdpOf(rt)
    const readOnly = type === DynptrType.SKB && !skbOf(rt).writable
    writeDynptr(rt, { address, data, type, readOnly, size: packet.length, offset: 0 })
    return 0
  }
}

/** bpf_dynptr_slice(dynptr, offset, buffer, size): where the bytes are, or a copy in `buffer` (0 for none). */
const slice: Helper = (rt, _dynptr, offset, _buffer, size) => {
  const dynptr = dynptrAt(rt, 1)
  if (dynptr.data === 0 || !inDynptr(dynptr, offset, size)) return 0
  const at = dynptrMemory(rt, dynptr, offset, size)
  if (at !== 0 || rt.low(3) === 0) return at
  const buffer = rt.pointer(3, size, 'a buffer')
  const bytes = readDynptr(rt, dynptr, offset, size)
  if (bytes === null) return 0
  rt.memory.write(buffer, bytes)
  return buffer
}

/** bpf_dynptr_slice_rdwr. */
const sliceReadWrite: Helper = (rt, ...args) => {
  const dynptr = dynptrAt(rt, 1)
  return dynptr.data === 0 || dynptr.readOnly ? 0 : slice(rt, ...args)
}

const adjust: Helper = (rt, _dynptr, start, end) => {
  const dynptr = dynptrAt(rt, 1)
  if (dynptr.data === 0 || start > end) return -Errno.EINVAL
  if (start > dynptr.size || end > dynptr.size) return -Errno.ERANGE
  writeDynptr(rt, { ...dynptr, offset: dynptr.offset + start, size: end - start })
  return 0
}

const clone: Helper = (rt) => {
  const dynptr = dynptrAt(rt, 1)
  const address = rt.pointer(2, DYNPTR_SIZE, 'a dynptr')
  if (dynptr.data === 0) {
    writeNull(rt, address)
    return -Errno.EINVAL
  }
  rt.memory.copy(address, dynptr.address, DYNPTR_SIZE)
  return 0
}

/** bpf_dynptr_copy(to, to_offset, from, from_offset, size); the ranges may overlap. */
const copy: Helper = (rt, _to, toOffset, _from, fromOffset, size) => {
  const to = dynptrAt(rt, 1)
  const from = dynptrAt(rt, 3)
  if (to.data === 0 || from.data === 0 || to.readOnly) return -Errno.EINVAL
  if (!inDynptr(to, toOffset, size) || !inDynptr(from, fromOffset, size)) return -Errno.E2BIG
  const bytes = readDynptr(rt, from, fromOffset, size)
  return bytes === null ? -Errno.EFAULT : storeDynptr(rt, to, toOffset, bytes)
}

/** bpf_dynptr_memset(dynptr, offset, size, byte). */
const memset: Helper = (rt, _dynptr, offset, size, value) => {
  const dynptr = dynptrAt(rt, 1)
  if (dynptr.data === 0 || dynptr.readOnly) return -Errno.EINVAL
  if (!inDynptr(dynptr, offset, size)) return -Errno.E2BIG
  for (let at = 0; at < size; at += COPY_CHUNK) {
    const bytes = new Uint8Array(Math.min(COPY_CHUNK, size - at)).fill(value)
    const error = storeDynptr(rt, dynptr, offset + at, bytes)
    if (error !== 0) return error
  }
  return 0
}

/** Kernel functions on dynptrs, by name. */
export const DYNPTR_KFUNCS: Readonly<Record<string, Helper>> = {
  bpf_dynptr_from_skb: fromPacket(DynptrType.SKB),
  bpf_dynptr_from_xdp: fromPacket(DynptrType.XDP),
  bpf_dynptr_slice: slice,
  bpf_dynptr_slice_rdwr: sliceReadWrite,
  bpf_dynptr_adjust: adjust,
  bpf_dynptr_clone: clone,
  bpf_dynptr_copy: copy,
  bpf_dynptr_memset: memset,
  bpf_dynptr_is_null: (rt) => (dynptrAt(rt, 1).data === 0 ? 1 : 0),
  bpf_dynptr_is_rdonly: (rt) => {
    const dynptr = dynptrAt(rt, 1)
    return dynptr.data !== 0 && dynptr.readOnly ? 1 : 0
  },
  bpf_dynptr_size: (rt) => {
    const dynptr = dynptrAt(rt, 1)
    return dynptr.data === 0 ? -Errno.EINVAL : dynptr.size
  },
}
