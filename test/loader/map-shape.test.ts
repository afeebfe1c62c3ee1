import { describe, expect, it } from 'vitest'
import {
  diagnoseMap,
  mapDifferences,
  normaliseSizes,
  type MapShapeToCheck,
  type MapSpec,
} from '../../src/loader/index.ts'
import { mapSpec } from '../../src/loader/open/map-spec.ts'
import { MapFlag, MapType } from '../../src/uapi/index.ts'

const facts = { pageSize: 4096, cpus: 4 }
const sizes = (given: Partial<MapSpec> & { type: number }): unknown =>
  Object.values(normaliseSizes(mapSpec({ name: 'm', ...given }), facts))

describe('map sizes', () => {
  it.each([
    ['ring buffers grow to a power of two of pages', { type: MapType.RINGBUF, maxEntries: 5000 }, [0, 0, 8192]],
    ['ring buffers of one byte have a page', { type: MapType.USER_RINGBUF, maxEntries: 1 }, [0, 0, 4096]],
    [
      'values declared for events do not count',
      { type: MapType.RINGBUF, valueSize: 24, maxEntries: 4096 },
      [0, 0, 4096],
    ],
    ['ring buffers without a size stay so', { type: MapType.RINGBUF }, [0, 0, 0]],
    [
      'ring buffers that no power of two fits stay so',
      { type: MapType.RINGBUF, maxEntries: 0xc000_0000 },
      [0, 0, 0xc000_0000],
    ],
    ['perf arrays have an entry a CPU', { type: MapType.PERF_EVENT_ARRAY, valueSize: 40 }, [4, 4, 4]],
    ['larger perf arrays are cut', { type: MapType.PERF_EVENT_ARRAY, maxEntries: 1024 }, [4, 4, 4]],
    ['smaller ones are not', { type: MapType.PERF_EVENT_ARRAY, maxEntries: 2 }, [4, 4, 2]],
    ['cpumaps too', { type: MapType.CPUMAP, keySize: 4, valueSize: 8, maxEntries: 64 }, [4, 8, 4]],
    ['maps of maps hold ids', { type: MapType.ARRAY_OF_MAPS, keySize: 4, maxEntries: 2 }, [4, 4, 2]],
    ['others stay', { type: MapType.HASH, keySize: 3, valueSize: 5, maxEntries: 7 }, [3, 5, 7]],
  ])('%s', (_, given, expected) => {
    expect(sizes(given)).toEqual(expected)
  })

  it('lists what differs between maps', () => {
    const map = { type: MapType.HASH, keySize: 4, valueSize: 8, maxEntries: 10, flags: 0 }
    expect(mapDifferences(map, { ...map, mapExtra: 0n })).toEqual([])
    const other = { ...map, type: MapType.LRU_HASH, valueSize: 16, mapExtra: 3n }
    expect(mapDifferences(map, other).map(({ property }) => property)).toEqual(['type', 'valueSize', 'mapExtra'])
    const devmap = { ...map, type: MapType.DEVMAP, valueSize: 4 }
    expect(mapDifferences(devmap, { ...devmap, flags: MapFlag.RDONLY_PROG })).toEqual([])
  })
})

describe('map diagnosis', () => {
  const shape = (given: Partial<MapShapeToCheck>): MapShapeToCheck => ({
    type: MapType.HASH,
    keySize: 4,
    valueSize: 4,
    maxEntries: 1,
    flags: 0,
    mapExtra: 0n,
    hasInner: false,
    typed: false,
    ...given,
  })
  it.each<[string, Partial<MapShapeToCheck>, (string | RegExp)[]]>([
    ['nothing', {}, []],
    ['no entries', { maxEntries: 0 }, ['max_entries is 0']],
    [
      'several things',
      { type: MapType.ARRAY, keySize: 8, valueSize: 0 },
      ['the key of array maps has 4 bytes, not 8', 'the value of array maps must not be empty'],
    ],
    ['a missing flag', { type: MapType.LPM_TRIE, keySize: 8 }, ['lpm_trie maps need flag BPF_F_NO_PREALLOC']],
    [
      'a wrong flag',
      { flags: MapFlag.MMAPABLE | 0x8000_0000 },
      ['hash maps do not take flag BPF_F_MMAPABLE, 0x80000000'],
    ],
    [
      'flags that exclude each other',
      { flags: MapFlag.RDONLY | MapFlag.WRONLY },
      ['flags BPF_F_RDONLY, BPF_F_WRONLY exclude each other'],
    ],
    [
      'storage without types',
      { type: MapType.SK_STORAGE, maxEntries: 0, flags: MapFlag.NO_PREALLOC },
      [/need BTF types/],
    ],
    ['a map of maps without inner', { type: MapType.HASH_OF_MAPS }, [/needs the definition of its inner maps/]],
    ['a type from the future', { type: 4000 }, [/no map type 4000/]],
    [
      'an arena over 4 GiB',
      { type: MapType.ARENA, keySize: 0, valueSize: 0, maxEntries: 0x200000, flags: MapFlag.MMAPABLE },
      [/at most 4 GiB/],
    ],
  ])('says %s', (_, given, expected) => {
    const reasons = diagnoseMap(shape(given), facts)
    expect(reasons).toHaveLength(expected.length)
    expected.forEach((message, i) => expect(reasons[i]).toMatch(message))
  })
})
