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
   * Arrays, queues and stacks: address of value 0 (of CPU 0). Hashes: address of the bucket heads, u32 addresses of
   * elements, 0 for none; changes when the table grows. Tries: the root. Bloom filters: address of the bits.
   */
  BASE: 24,
  /**
   * Arrays, queues and stacks: bytes from one index to the next. Hashes: number of buckets (a power of two) minus 1.
   * Bloom filters: number of bits minus 1.
   */
  STRIDE: 28,
  /** Per-CPU maps: bytes from the value of one CPU to that of the next, otherwise 0. */
  CPU_STRIDE: 32,
  /** Hashes and tries: bytes from an element's start to its value. */
  VALUE_OFFSET: 36,
  /** Elements in the map. */
  COUNT: 40,
  /** Hashes and tries: first of the free elements, linked by Element.FREE or TrieNode.FREE; 0 for none. */
  FREE: 44,
  /** Preallocated hashes: address of one u32 a CPU, the element that the next update of a known key takes, or 0. */
  SPARE: 48,
  /** Ring buffers: address of RingControl. */
  CONTROL: 52,
  /** Queues and stacks: index of the oldest value. LRU hashes: the element that is next to be considered. */
  HEAD: 56,
  /** Tries: changes so far. Bloom filters: number of hash functions. */
  EXTRA: 60,
} as const

export const DESCRIPTOR_SIZE = 64

/** Layout of an element of a hash; the key follows, and the value at Descriptor.VALUE_OFFSET. */
export const Element = {
  /** Address of the next element of the bucket, 0 at the end. */
  NEXT: 0,
  HASH: 4,
  /** LRU maps: 1 once the element was looked up, NOT_IN_USE for a free element. */
  REFERENCED: 8,
  /** Free elements: the next free one. */
  FREE: 12,
  KEY: 16,
} as const

/** In Element.REFERENCED. */
export const NOT_IN_USE = 2

/**
 * Layout of a node of a trie: a stored prefix, or a fork where two prefixes part. The key's data is at DATA, the value
 * at Descriptor.VALUE_OFFSET.
 */
export const TrieNode = {
  /** The node of longer prefixes whose next bit is 0, and of those whose next bit is 1. */
  CHILDREN: 0,
  /** Bits that all below have in common. */
  PREFIX: 8,
  /** 1 for a stored prefix, 0 for a fork. */
  STORED: 12,
  /** Which bits of the first four bytes of data belong to the prefix, in the order of the memory. */
  MASK: 16,
  DATA: 20,
  /** Free nodes: the next free one. */
  FREE: 0,
} as const

/**
 * What was deleted during a run and may be used again when it ends is in a list: handle of the map, address of the next
 * entry. Where that lies in a node and an element, whose readers still need the rest.
 */
export const Deferred = { MAP: 0, NEXT: 4, IN_NODE: 0, IN_ELEMENT: 8 } as const

/** State of a ring buffer, u64 each: positions of producer and consumer, and records that found no room. */
export const RingControl = { PRODUCER: 0, CONSUMER: 8, LOST: 16 } as const
export const RING_CONTROL_SIZE = 24
