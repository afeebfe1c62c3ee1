import { MapFlag, MapType } from '../uapi/index.ts'
import type { MapSpec } from './spec.ts'

/** What map sizes depend on. */
export interface MachineFacts {
  /** Bytes. */
  readonly pageSize: number
  /** Possible CPUs. */
  readonly cpus: number
}

/** Sizes of a map as a kernel takes them, in bytes. */
export interface MapSizes {
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
}

/**
 * Sizes that the kernel wants, where objects say something else by custom: the rules of libbpf
 * (bpf_object__create_map) and of cilium/ebpf (fixupMagicFields). Types of values that ring and perf buffers declare
 * for their events do not count; entries by CPU are cut to the CPUs; ring buffers grow to a power of two of pages.
 */
export function normaliseSizes(spec: MapSpec, facts: MachineFacts): MapSizes {
  const { keySize, valueSize, maxEntries } = spec
  switch (spec.type) {
    case MapType.RINGBUF:
    case MapType.USER_RINGBUF:
      return { keySize: 0, valueSize: 0, maxEntries: ringSize(maxEntries, facts.pageSize) }
    case MapType.PERF_EVENT_ARRAY:
      return { keySize: 4, valueSize: 4, maxEntries: upToCpus(maxEntries, facts) }
    case MapType.CPUMAP:
      return { keySize, valueSize, maxEntries: upToCpus(maxEntries, facts) }
    case MapType.ARRAY_OF_MAPS:
    case MapType.HASH_OF_MAPS:
      return { keySize, valueSize: valueSize === 0 ? 4 : valueSize, maxEntries }
    default:
      return { keySize, valueSize, maxEntries }
  }
}

/** Ring buffer sizes: the next page size times a power of two; what cannot be one is left for the kernel to refuse. */
function ringSize(entries: number, pageSize: number): number {
  let size = pageSize
  while (size < entries && size < 0x8000_0000) size *= 2
  return entries === 0 || size < entries ? entries : size
}

function upToCpus(entries: number, { cpus }: MachineFacts): number {
  return entries === 0 || entries > cpus ? cpus : entries
}

/** A property of a pinned map that is not as the object declares it. */
export interface MapDifference {
  readonly property: 'type' | 'keySize' | 'valueSize' | 'maxEntries' | 'flags' | 'mapExtra'
  readonly declared: number | bigint
  readonly actual: number | bigint
}

/** Properties that decide whether a map can stand for another. */
export interface ComparableMap extends MapSizes {
  readonly type: number
  readonly flags: number
  readonly mapExtra?: bigint
}

/** Everything in which an existing map differs from a declared one (libbpf's map_is_reuse_compat, but all at once). */
export function mapDifferences(declared: ComparableMap, actual: ComparableMap): MapDifference[] {
  const isDevmap = actual.type === MapType.DEVMAP || actual.type === MapType.DEVMAP_HASH
  const differences: MapDifference[] = []
  const compare = (property: MapDifference['property'], a: number | bigint, b: number | bigint): void => {
    if (a !== b) differences.push({ property, declared: a, actual: b })
  }
  compare('type', declared.type, actual.type)
  compare('keySize', declared.keySize, actual.keySize)
  compare('valueSize', declared.valueSize, actual.valueSize)
  compare('maxEntries', declared.maxEntries, actual.maxEntries)
  // The kernel sets this flag on device maps by itself.
  const added = isDevmap ? MapFlag.RDONLY_PROG : 0
  compare('flags', (declared.flags | added) >>> 0, (actual.flags | added) >>> 0)
  compare('mapExtra', declared.mapExtra ?? 0n, actual.mapExtra ?? 0n)
  return differences
}
