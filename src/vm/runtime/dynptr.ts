import { Errno } from '../../uapi/index.ts'
import { skbOf, xdpOf } from './helpers/helper.ts'
import type { Runtime } from './runtime.ts'

/** sizeof(struct bpf_dynptr). */
export const DYNPTR_SIZE = 16
/** Most bytes behind a dynptr (DYNPTR_MAX_SIZE). */
export const DYNPTR_MAX = 0xffffff

/** enum bpf_dynptr_type; what the pointer in a dynptr means. */
export const DynptrType = { INVALID: 0, LOCAL: 1, RINGBUF: 2, SKB: 3, XDP: 4 } as const

/** Offsets in struct bpf_dynptr_kern: u64 data, u32 size with type and read-only bit above it, u32 offset. */
const SIZE = 8
const OFFSET = 12
const TYPE_SHIFT = 28
const TYPE_MASK = 7
const READ_ONLY = 0x80000000

/** A dynptr as it lies in a program's stack, decoded. */
export interface Dynptr {
  readonly address: number
  /** Address of the memory; for packets, not 0. */
  readonly data: number
  readonly type: number
  readonly readOnly: boolean
  readonly size: number
  readonly offset: number
}

/** The dynptr at an address that a register holds. */
export function dynptrAt(rt: Runtime, register: number): Dynptr {
  const address = rt.pointer(register, DYNPTR_SIZE, 'a dynptr')
  const word = rt.memory.u32(address + SIZE)
  return {
    address,
    data: rt.memory.u32(address),
    type: (word >>> TYPE_SHIFT) & TYPE_MASK,
    readOnly: (word & READ_ONLY) !== 0,
    size: word & DYNPTR_MAX,
    offset: rt.memory.u32(address + OFFSET),
  }
}

export function writeDynptr(rt: Runtime, dynptr: Dynptr): void {
  const { address } = dynptr
  rt.memory.setU64(address, BigInt(dynptr.data))
  const word = dynptr.size | (dynptr.type << TYPE_SHIFT) | (dynptr.readOnly ? READ_ONLY : 0)
  rt.memory.setU32(address + SIZE, word >>> 0)
  rt.memory.setU32(address + OFFSET, dynptr.offset)
}

/** What a failed constructor leaves: every use of it fails. */
export function writeNull(rt: Runtime, address: number): void {
  rt.memory.fill(address, 0, DYNPTR_SIZE)
}

/** Whether `size` bytes at `offset` lie in the dynptr. */
export function inDynptr(dynptr: Dynptr, offset: number, size: number): boolean {
  return dynptr.size >= size && offset <= dynptr.size - size
}

/** Address of the bytes at `offset` where they lie in one piece in memory; 0 otherwise. */
export function dynptrMemory(rt: Runtime, dynptr: Dynptr, offset: number, size: number): number {
  const at = dynptr.offset + offset
  switch (dynptr.type) {
    case DynptrType.LOCAL:
    case DynptrType.RINGBUF:
      return dynptr.data + at
    case DynptrType.SKB:
      return skbOf(rt).at(at, size)
    case DynptrType.XDP:
      return xdpOf(rt).linear(at, size)
    default:
      return 0
  }
}

/** Bytes of a dynptr; null when a packet has become too short for them. */
export function readDynptr(rt: Runtime, dynptr: Dynptr, offset: number, size: number): Uint8Array | null {
  if (dynptr.type === DynptrType.XDP) {
    return xdpOf(rt).read(dynptr.offset + offset, size)
  }
  const at = dynptrMemory(rt, dynptr, offset, size)
  return at === 0 ? null : rt.memory.read(at, size)
}

/** Writes inside a dynptr that is not read-only: 0 or a negative errno. */
export function storeDynptr(rt: Runtime, dynptr: Dynptr, offset: number, bytes: Uint8Array): number {
  if (dynptr.type === DynptrType.XDP) {
    return xdpOf(rt).write(dynptr.offset + offset, bytes) ? 0 : -Errno.EINVAL
  }
  const at = dynptrMemory(rt, dynptr, offset, bytes.length)
  if (at === 0) return -Errno.EFAULT
  rt.memory.write(at, bytes)
  return 0
}
