import { MapFlag, MapType } from '../../../uapi/index.ts'
import type { MapLayout, ValuePart } from '../../engine.ts'
import { Descriptor } from './descriptor.ts'
import type { VmMap } from './map.ts'

/** Maps that engines can use by themselves. */
const KINDS: Readonly<Record<number, MapLayout['kind']>> = {
  [MapType.ARRAY]: 'array',
  [MapType.PERCPU_ARRAY]: 'array',
  [MapType.ARRAY_OF_MAPS]: 'array',
  [MapType.HASH]: 'hash',
  [MapType.PERCPU_HASH]: 'hash',
  [MapType.HASH_OF_MAPS]: 'hash',
  [MapType.LRU_HASH]: 'lru',
  [MapType.LRU_PERCPU_HASH]: 'lru',
  [MapType.LPM_TRIE]: 'trie',
  [MapType.QUEUE]: 'queue',
  [MapType.STACK]: 'stack',
  [MapType.BLOOM_FILTER]: 'bloom',
  [MapType.RINGBUF]: 'ringbuf',
  [MapType.PROG_ARRAY]: 'progArray',
}

/** What engines may know of a map, null for types that only its methods can use. */
export function layoutOf(map: VmMap, read: (address: number) => number): MapLayout | null {
  const kind = KINDS[map.type]
  if (kind === undefined) return null
  const holdsMaps = map.type === MapType.ARRAY_OF_MAPS || map.type === MapType.HASH_OF_MAPS
  if (holdsMaps && map.innerLayout === null) return null
  const field = (offset: number): number => read(map.handle + offset)
  const valueOffset = field(Descriptor.VALUE_OFFSET)
  return {
    kind,
    inner: map.innerLayout,
    hasFields: map.fields.some(({ kind }) => kind !== 'lock'),
    locks: map.fields,
    copied: between(map.fields, map.valueSize),
    keySize: map.keySize,
    valueSize: map.valueSize,
    maxEntries: map.maxEntries,
    handle: map.handle,
    base: field(Descriptor.BASE),
    stride: field(Descriptor.STRIDE),
    cpuStride: field(Descriptor.CPU_STRIDE),
    valueCount: map.valueCount,
    valueOffset,
    ringOffset: kind === 'lru' ? valueOffset + map.valueStride * map.valueCount : 0,
    preallocated: (map.flags & MapFlag.NO_PREALLOC) === 0,
    hashes: kind === 'bloom' ? field(Descriptor.EXTRA) : 0,
    control: field(Descriptor.CONTROL),
  }
}

/** The bytes of a value of `size` that are in none of `parts`, which are in order. */
function between(parts: readonly ValuePart[], size: number): ValuePart[] {
  const all: ValuePart[] = []
  let at = 0
  for (const part of [...parts, { offset: size, size: 0 }]) {
    if (part.offset > at) all.push({ offset: at, size: part.offset - at })
    at = Math.max(at, part.offset + part.size)
  }
  return all
}

/** The layout of a map of maps' inner maps, from the one that it was made with. */
export function innerLayoutOf(template: VmMap, read: (address: number) => number): MapLayout | null {
  const layout = layoutOf(template, read)
  return layout === null ? null : { ...layout, handle: 0, base: 0, maxEntries: 0, control: 0 }
}
