// Shapes of maps that the contract tries: attributes that the kernel takes, and keys and values to use. Keys are good
// ones first, then some beyond the end where that means something.
import { MapFlag as F, MapType as T } from '../../dist/uapi/index.js'

/** Maps whose keys come in the same order everywhere. */
export const ORDERED = new Set([
  T.ARRAY,
  T.PERCPU_ARRAY,
  T.PROG_ARRAY,
  T.ARRAY_OF_MAPS,
  T.CGROUP_ARRAY,
  T.PERF_EVENT_ARRAY,
  T.DEVMAP,
  T.CPUMAP,
  T.XSKMAP,
  T.LPM_TRIE,
  T.SOCKMAP,
  T.REUSEPORT_SOCKARRAY,
])
/** Maps whose values are maps and programs. */
export const SLOTS = new Set([T.PROG_ARRAY, T.ARRAY_OF_MAPS, T.HASH_OF_MAPS])
/** Maps of sockets, which show cookies. */
export const SOCKETS = new Set([T.SOCKMAP, T.SOCKHASH, T.REUSEPORT_SOCKARRAY])
/** Maps that are asked for a value. */
export const ASKED = new Set([T.BLOOM_FILTER])
/** Maps without keys. */
export const NO_KEYS = new Set([T.QUEUE, T.STACK, T.BLOOM_FILTER, T.RINGBUF, T.USER_RINGBUF, T.ARENA])

const le = (value, size) => {
  let text = ''
  for (let i = 0; i < size; i++)
    text += Number((BigInt(value) >> BigInt(8 * i)) & 0xffn)
      .toString(16)
      .padStart(2, '0')
  return text
}
const indices = [0, 1, 3, 4, 0xffffffff].map((index) => le(index, 4))
const numbers = [7, 0x01020304].map((value) => le(value, 4))
const longs = [7n, 0x1122334455667788n].map((value) => le(value, 8))
const keysOf = (size) => [1, 2, 3, 0x80].map((n) => le(n, size))
/** Descriptors that are none. */
const descriptors = [0xffffffff, 0x7ffffff].map((value) => le(value, 4))
/** Sockets, by name: what sockmaps and reuseport arrays take, and what they do not. */
const sockets = ['@tcp', '@udp', '@listener', '@unix', '@file', 'ffffffff']
const prefixes = [
  [8, '0a000000'],
  [16, '0a010000'],
  [24, '0a010200'],
  [32, '0a010203'],
  [0, '00000000'],
  [33, '0a010203'],
].map(([bits, data]) => le(bits, 4) + data)

const of = (keySize, valueSize, maxEntries, flags = 0, mapExtra = 0n) => ({
  keySize,
  valueSize,
  maxEntries,
  flags,
  mapExtra,
})
const variants = (name, type, flags, shape, keys, values, more = {}) =>
  flags.map((flag, i) => ({
    name: flag === 0 ? name : `${name} 0x${flag.toString(16)}`,
    type,
    shape: { ...shape, flags: shape.flags | flag },
    keys,
    values,
    creations: i === 0,
    ...more,
  }))

const access = [F.RDONLY, F.WRONLY, F.RDONLY_PROG, F.WRONLY_PROG]
/** Keys are descriptors of kernel objects: a good one, one of another kind, and none. */
const storage = (name, type, good, other) =>
  variants(name, type, [0], of(4, 8, 0, F.NO_PREALLOC), [good, other, descriptors[0]], longs, { lock: true })

export const MAP_SHAPES = [
  ...variants(
    'array',
    T.ARRAY,
    [0, ...access, F.MMAPABLE, F.INNER_MAP, F.PRESERVE_ELEMS],
    of(4, 4, 4),
    indices,
    numbers,
  ),
  ...variants(
    'array of 12 bytes',
    T.ARRAY,
    [0, F.MMAPABLE],
    of(4, 12, 4),
    indices,
    [...numbers].map((v) => v + v + v),
  ),
  ...variants('array with lock', T.ARRAY, [0], of(4, 8, 4), indices, longs, { lock: true, creations: false }),
  ...variants('per-CPU array', T.PERCPU_ARRAY, [0, ...access], of(4, 8, 4), indices, longs),
  ...variants(
    'per-CPU array of 5 bytes',
    T.PERCPU_ARRAY,
    [0],
    of(4, 5, 4),
    indices,
    numbers.map((v) => `${v}99`),
  ),
  ...variants('hash', T.HASH, [0, F.NO_PREALLOC, F.ZERO_SEED, ...access], of(4, 4, 3), keysOf(4), numbers),
  ...variants('hash of 13-byte keys', T.HASH, [0, F.NO_PREALLOC], of(13, 3, 4), keysOf(13), ['010203', 'ffeedd']),
  ...variants('hash with lock', T.HASH, [0, F.NO_PREALLOC], of(4, 8, 3), keysOf(4), longs, {
    lock: true,
    creations: false,
  }),
  ...variants('per-CPU hash', T.PERCPU_HASH, [0, F.NO_PREALLOC, ...access], of(4, 8, 3), keysOf(4), longs),
  ...variants('LRU hash', T.LRU_HASH, [0, F.NO_COMMON_LRU, F.ZERO_SEED, ...access], of(4, 4, 1024), keysOf(4), numbers),
  ...variants('LRU per-CPU hash', T.LRU_PERCPU_HASH, [0, F.NO_COMMON_LRU], of(8, 8, 1024), keysOf(8), longs),
  ...variants('LPM trie', T.LPM_TRIE, [0, ...access], of(8, 4, 4, F.NO_PREALLOC), prefixes, numbers),
  ...variants(
    'LPM trie of IPv6',
    T.LPM_TRIE,
    [0],
    of(20, 8, 4, F.NO_PREALLOC),
    [64, 48, 128, 129].map((bits) => le(bits, 4) + '20010db8'.repeat(4)),
    longs,
  ),
  ...variants('prog array', T.PROG_ARRAY, [0, F.RDONLY, F.WRONLY], of(4, 4, 4), indices, descriptors),
  ...variants('perf event array', T.PERF_EVENT_ARRAY, [0, F.PRESERVE_ELEMS], of(4, 4, 4), indices, descriptors),
  ...variants('cgroup array', T.CGROUP_ARRAY, [0], of(4, 4, 4), indices, ['@cgroup', '@tcp', ...descriptors]),
  ...variants('array of maps', T.ARRAY_OF_MAPS, [0], of(4, 4, 4), indices, descriptors, {
    inner: { type: T.ARRAY, shape: of(4, 4, 2) },
  }),
  ...variants('array of hashes', T.ARRAY_OF_MAPS, [0], of(4, 4, 4), indices, descriptors, {
    inner: { type: T.HASH, shape: of(4, 4, 2) },
  }),
  ...variants('array of inner arrays', T.ARRAY_OF_MAPS, [0], of(4, 4, 4), indices, descriptors, {
    inner: { type: T.ARRAY, shape: of(4, 4, 2, F.INNER_MAP) },
  }),
  ...variants('array of prog arrays', T.ARRAY_OF_MAPS, [0], of(4, 4, 4), indices, descriptors, {
    inner: { type: T.PROG_ARRAY, shape: of(4, 4, 2) },
  }),
  ...variants('array of maps of maps', T.ARRAY_OF_MAPS, [0], of(4, 4, 4), indices, descriptors, {
    inner: { type: T.ARRAY_OF_MAPS, shape: of(4, 4, 2), inner: { type: T.ARRAY, shape: of(4, 4, 2) } },
  }),
  ...variants('array of rings', T.ARRAY_OF_MAPS, [0], of(4, 4, 4), indices, descriptors, {
    inner: { type: T.RINGBUF, shape: of(0, 0, 4096) },
  }),
  ...variants('array of queues', T.ARRAY_OF_MAPS, [0], of(4, 4, 4), indices, descriptors, {
    inner: { type: T.QUEUE, shape: of(0, 4, 4) },
  }),
  ...variants('hash of maps', T.HASH_OF_MAPS, [0, F.NO_PREALLOC], of(4, 4, 3), keysOf(4), descriptors, {
    inner: { type: T.HASH, shape: of(4, 4, 2) },
  }),
  ...variants('hash of arrays', T.HASH_OF_MAPS, [0], of(4, 4, 3), keysOf(4), descriptors, {
    inner: { type: T.ARRAY, shape: of(4, 4, 2) },
  }),
  ...variants('queue', T.QUEUE, [0, F.RDONLY, F.WRONLY], of(0, 4, 3), ['', ''], numbers),
  ...variants('stack', T.STACK, [0, F.RDONLY_PROG, F.WRONLY_PROG], of(0, 4, 3), ['', ''], numbers),
  ...variants('bloom filter', T.BLOOM_FILTER, [0, F.ZERO_SEED], of(0, 4, 16), numbers, numbers),
  ...variants('stack trace', T.STACK_TRACE, [0, 32], of(4, 64, 4), indices, [le(1, 64)]),
  ...variants('ring buffer', T.RINGBUF, [0], of(0, 0, 4096), ['', ''], ['']),
  ...variants('user ring buffer', T.USER_RINGBUF, [0], of(0, 0, 4096), ['', ''], ['']),
  ...variants('arena', T.ARENA, [0], of(0, 0, 4, F.MMAPABLE), ['', ''], ['']),
  ...variants(
    'devmap',
    T.DEVMAP,
    [0],
    of(4, 4, 4),
    indices,
    [1, 0, 99999].map((v) => le(v, 4)),
  ),
  ...variants(
    'devmap with programs',
    T.DEVMAP,
    [0],
    of(4, 8, 4),
    indices,
    [1n, 1n | (0xffffffffn << 32n), 99999n].map((v) => le(v, 8)),
    { creations: false },
  ),
  ...variants(
    'devmap hash',
    T.DEVMAP_HASH,
    [0],
    of(4, 4, 3),
    keysOf(4),
    [1, 99999, 0].map((v) => le(v, 4)),
  ),
  ...variants(
    'cpumap',
    T.CPUMAP,
    [0],
    of(4, 4, 4),
    indices,
    [64, 0, 16384, 16385].map((v) => le(v, 4)),
  ),
  ...variants(
    'cpumap with programs',
    T.CPUMAP,
    [0],
    of(4, 8, 4),
    indices,
    [le(64, 8), le(64n | (0xffffffffn << 32n), 8)],
    { creations: false },
  ),
  ...variants('xskmap', T.XSKMAP, [0], of(4, 4, 4), indices, ['@tcp', '@file', ...descriptors]),
  ...variants('sockmap', T.SOCKMAP, [0], of(4, 4, 4), indices, sockets),
  ...variants(
    'sockmap of cookies',
    T.SOCKMAP,
    [0],
    of(4, 8, 4),
    indices,
    [...sockets.slice(0, -1), le(0xffffffff, 8), le(5000, 8)],
    {
      creations: false,
    },
  ),
  ...variants('sockhash', T.SOCKHASH, [0], of(4, 4, 3), keysOf(4), sockets),
  ...variants(
    'sockhash of cookies',
    T.SOCKHASH,
    [0],
    of(8, 8, 4),
    keysOf(8),
    [...sockets.slice(0, -1), le(0xffffffff, 8), le(5000, 8)],
    {
      creations: false,
    },
  ),
  ...variants('reuseport array', T.REUSEPORT_SOCKARRAY, [0], of(4, 8, 4), indices, [
    ...sockets.slice(0, -1),
    le(0xffffffff, 8),
    le(5000, 8),
  ]),
  ...variants('cgroup storage', T.CGROUP_STORAGE, [0], of(16, 8, 0), keysOf(16), longs),
  ...variants('shared cgroup storage', T.CGROUP_STORAGE, [0], of(8, 8, 0), keysOf(8), longs, { creations: false }),
  ...variants('per-CPU cgroup storage', T.PERCPU_CGROUP_STORAGE, [0], of(16, 8, 0), keysOf(16), longs),
  ...storage('socket storage', T.SK_STORAGE, '@tcp', '@file'),
  ...storage('inode storage', T.INODE_STORAGE, '@file', '@cgroup'),
  ...storage('task storage', T.TASK_STORAGE, '@file', '@tcp'),
  ...storage('cgroup local storage', T.CGRP_STORAGE, '@cgroup', '@file'),
  ...variants('struct_ops', T.STRUCT_OPS, [0], of(4, 4, 1), [le(0, 4), le(1, 4)], numbers),
]
