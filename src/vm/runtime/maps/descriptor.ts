/**
 * Layout of the descriptor of a map in linear memory, whose address is the map's handle: byte offsets of u32 fields.
 * The JIT may read it to do lookups without a call.
 */
export const Descriptor = {
  TYPE: 0,
  KEY_SIZE: 4,
  VALUE_SIZE: 8,
  MAX_ENTRIES: 12,
  FLAGS: 16,
  ID: 20,
  /**
   * Arrays: address of value 0 (of CPU 0). Hashes: address of the bucket heads, u32 addresses of elements, 0 for
   * none; changes when the table grows.
   */
  BASE: 24,
  /** Arrays: bytes from one index to the next. Hashes: number of buckets (a power of two) minus 1. */
  STRIDE: 28,
  /** Per-CPU maps: bytes from the value of one CPU to that of the next, otherwise 0. */
  CPU_STRIDE: 32,
  /** Hashes: bytes from an element's start to its value. */
  VALUE_OFFSET: 36,
  /** Hashes: elements in the map. */
  COUNT: 40,
  /** Hashes: first of the free elements, linked by Element.FREE; 0 for none. */
  FREE: 44,
  /** Preallocated hashes: address of one u32 a CPU, the element that the next update of a known key takes, or 0. */
  SPARE: 48,
  /** Ring buffers: address of RingControl. */
  CONTROL: 52,
} as const

export const DESCRIPTOR_SIZE = 64

/** Layout of an element of a hash; the key follows, and the value at Descriptor.VALUE_OFFSET. */
export const Element = {
  /** Address of the next element of the bucket, 0 at the end. */
  NEXT: 0,
  HASH: 4,
  /** LRU maps: not 0 once the element was looked up. */
  REFERENCED: 8,
  /** Free elements: the next free one. */
  FREE: 12,
  KEY: 16,
} as const

/** State of a ring buffer, u64 each: positions of producer and consumer, and records that found no room. */
export const RingControl = { PRODUCER: 0, CONSUMER: 8, LOST: 16 } as const
export const RING_CONTROL_SIZE = 24
