import { describe, expect, it } from 'vitest'
import { MapFlag, MapType, UpdateFlag } from '../../src/uapi/index.ts'
import { readU32, readU64, u32, u64 } from '../support/program.ts'
import { failure, keysOf, type Harness } from './harness.ts'

const HASHES = [
  ['hash', MapType.HASH],
  ['LRU hash', MapType.LRU_HASH],
] as const

/** Element operations of every map type that user space reads and writes by key. */
export function mapContract(harness: Harness): void {
  const map = harness.map.bind(harness)

  describe('array', () => {
    it('starts with zeros and keeps what is written', () => {
      const array = map(MapType.ARRAY, 4, 8, 3)
      expect(array.lookup(u32(2))).toEqual(new Uint8Array(8))
      array.update(u32(2), u64(7n))
      expect(readU64(array.lookup(u32(2)))).toBe(7n)
      expect(readU64(array.lookup(u32(1)))).toBe(0n)
    })

    it('gives copies', () => {
      const array = map(MapType.ARRAY, 4, 4, 1)
      const value = array.lookup(u32(0))
      value?.fill(0xff)
      expect(readU32(array.lookup(u32(0)))).toBe(0)
    })

    it('has all its indices as keys, in order', () => {
      const array = map(MapType.ARRAY, 4, 4, 3)
      expect(keysOf(array).map((key) => readU32(key))).toEqual([0, 1, 2])
      expect(readU32(array.nextKey(u32(1000)))).toBe(0)
    })

    it('has nothing beyond its end', () => {
      const array = map(MapType.ARRAY, 4, 4, 3)
      expect(array.lookup(u32(3))).toBeNull()
      expect(failure(() => array.update(u32(3), u32(1)))).toBe('E2BIG')
    })

    it('neither adds nor deletes', () => {
      const array = map(MapType.ARRAY, 4, 4, 3)
      expect(failure(() => array.update(u32(0), u32(1), UpdateFlag.NOEXIST))).toBe('EEXIST')
      expect(failure(() => array.delete(u32(0)))).toBe('EINVAL')
      array.update(u32(0), u32(5), UpdateFlag.EXIST)
      expect(readU32(array.lookup(u32(0)))).toBe(5)
    })

    it('refuses unknown flags', () => {
      const array = map(MapType.ARRAY, 4, 4, 3)
      expect(failure(() => array.update(u32(0), u32(1), 8))).toBe('EINVAL')
      expect(failure(() => array.lookup(u32(0), 8))).toBe('EINVAL')
    })

    it.each([
      ['a key of 8 bytes', 8, 4, 1],
      ['values of no bytes', 4, 0, 1],
      ['no entries', 4, 4, 0],
    ])('is not made with %s', (_, keySize, valueSize, maxEntries) => {
      expect(failure(() => map(MapType.ARRAY, keySize, valueSize, maxEntries))).toBe('EINVAL')
    })
  })

  describe.each(HASHES)('%s', (_, type) => {
    it('finds what was added, until it is deleted', () => {
      const hash = map(type, 4, 8, 16)
      expect(hash.lookup(u32(1))).toBeNull()
      hash.update(u32(1), u64(11n))
      expect(readU64(hash.lookup(u32(1)))).toBe(11n)
      expect(hash.delete(u32(1))).toBe(true)
      expect(hash.delete(u32(1))).toBe(false)
      expect(hash.lookup(u32(1))).toBeNull()
    })

    it('obeys BPF_NOEXIST and BPF_EXIST', () => {
      const hash = map(type, 4, 4, 16)
      expect(failure(() => hash.update(u32(1), u32(1), UpdateFlag.EXIST))).toBe('ENOENT')
      hash.update(u32(1), u32(1), UpdateFlag.NOEXIST)
      expect(failure(() => hash.update(u32(1), u32(2), UpdateFlag.NOEXIST))).toBe('EEXIST')
      hash.update(u32(1), u32(3), UpdateFlag.EXIST)
      expect(readU32(hash.lookup(u32(1)))).toBe(3)
      expect(failure(() => hash.update(u32(1), u32(4), 3))).toBe('EINVAL')
    })

    it('takes keys of any bytes', () => {
      const hash = map(type, 13, 3, 16)
      const key = Uint8Array.from({ length: 13 }, (__, i) => i * 19)
      hash.update(key, Uint8Array.of(1, 2, 3))
      expect(hash.lookup(key)).toEqual(Uint8Array.of(1, 2, 3))
      expect(hash.lookup(key.map((byte, i) => (i === 12 ? byte + 1 : byte)))).toBeNull()
    })

    it('lists every key once', () => {
      const hash = map(type, 4, 4, 64)
      for (let i = 0; i < 20; i++) hash.update(u32(i), u32(i * i))
      const keys = keysOf(hash).map((key) => readU32(key) ?? -1)
      expect(keys.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (__, i) => i))
    })

    it('starts over after a key that it does not have', () => {
      const hash = map(type, 4, 4, 16)
      expect(hash.nextKey(null)).toBeNull()
      hash.update(u32(5), u32(5))
      expect(readU32(hash.nextKey(u32(99)))).toBe(5)
      expect(hash.nextKey(u32(5))).toBeNull()
    })

    it('gives and deletes in one step', () => {
      const hash = map(type, 4, 4, 16)
      hash.update(u32(1), u32(10))
      expect(readU32(hash.lookupAndDelete(u32(1)))).toBe(10)
      expect(hash.lookupAndDelete(u32(1))).toBeNull()
      expect(hash.lookup(u32(1))).toBeNull()
    })

    it('is not made without entries or keys', () => {
      expect(failure(() => map(type, 4, 4, 0))).toBe('EINVAL')
      expect(failure(() => map(type, 0, 4, 4))).toBe('EINVAL')
    })
  })

  describe('hash', () => {
    it('is full at max_entries, and takes new values of old keys then', () => {
      const hash = map(MapType.HASH, 4, 4, 2)
      hash.update(u32(1), u32(1))
      hash.update(u32(2), u32(2))
      expect(failure(() => hash.update(u32(3), u32(3)))).toBe('E2BIG')
      hash.update(u32(2), u32(22))
      expect(readU32(hash.lookup(u32(2)))).toBe(22)
      hash.delete(u32(1))
      hash.update(u32(3), u32(3))
      expect(keysOf(hash)).toHaveLength(2)
    })

    it('works without preallocation', () => {
      const hash = map(MapType.HASH, 4, 4, 2, { flags: MapFlag.NO_PREALLOC })
      hash.update(u32(1), u32(1))
      hash.update(u32(2), u32(2))
      expect(failure(() => hash.update(u32(3), u32(3)))).toBe('E2BIG')
    })
  })

  describe('LRU hash', () => {
    it('makes room instead of being full', () => {
      const hash = map(MapType.LRU_HASH, 4, 4, 8)
      for (let i = 0; i < 100; i++) hash.update(u32(i), u32(i))
      expect(keysOf(hash).length).toBeLessThanOrEqual(8)
      expect(readU32(hash.lookup(u32(99)))).toBe(99)
    })
  })

  describe.each([
    ['per-CPU array', MapType.PERCPU_ARRAY],
    ['per-CPU hash', MapType.PERCPU_HASH],
  ] as const)('%s', (_, type) => {
    it('has a value of 8-byte steps for every CPU', () => {
      const perCpu = map(type, 4, 4, 4)
      expect(perCpu.valueCount).toBe(harness.backend.cpus)
      const value = new Uint8Array(8 * perCpu.valueCount)
      for (let cpu = 0; cpu < perCpu.valueCount; cpu++) value.set(u32(100 + cpu), cpu * 8)
      perCpu.update(u32(1), value)
      const read = perCpu.lookup(u32(1))
      for (let cpu = 0; cpu < perCpu.valueCount; cpu++) expect(readU32(read, cpu * 8)).toBe(100 + cpu)
    })

    it('wants values for all CPUs at once', () => {
      expect(failure(() => map(type, 4, 4, 4).update(u32(1), new Uint8Array(4)))).toBe('usage')
    })
  })

  describe('LPM trie', () => {
    const prefix = (bits: number, ...address: number[]): Uint8Array => Uint8Array.of(bits, 0, 0, 0, ...address)
    const trie = () => map(MapType.LPM_TRIE, 8, 4, 16, { flags: MapFlag.NO_PREALLOC })

    it('finds the longest prefix', () => {
      const lpm = trie()
      lpm.update(prefix(8, 10, 0, 0, 0), u32(8))
      lpm.update(prefix(16, 10, 1, 0, 0), u32(16))
      lpm.update(prefix(32, 10, 1, 2, 3), u32(32))
      expect(readU32(lpm.lookup(prefix(32, 10, 9, 9, 9)))).toBe(8)
      expect(readU32(lpm.lookup(prefix(32, 10, 1, 9, 9)))).toBe(16)
      expect(readU32(lpm.lookup(prefix(32, 10, 1, 2, 3)))).toBe(32)
      expect(lpm.lookup(prefix(32, 11, 0, 0, 0))).toBeNull()
      lpm.update(prefix(0, 0, 0, 0, 0), u32(1))
      expect(readU32(lpm.lookup(prefix(32, 11, 0, 0, 0)))).toBe(1)
    })

    it('deletes exact prefixes only', () => {
      const lpm = trie()
      lpm.update(prefix(8, 10, 0, 0, 0), u32(8))
      expect(lpm.delete(prefix(16, 10, 1, 0, 0))).toBe(false)
      expect(lpm.delete(prefix(8, 10, 0, 0, 0))).toBe(true)
      expect(lpm.lookup(prefix(32, 10, 1, 1, 1))).toBeNull()
    })

    it('lists its prefixes', () => {
      const lpm = trie()
      lpm.update(prefix(8, 10, 0, 0, 0), u32(8))
      lpm.update(prefix(16, 10, 1, 0, 0), u32(16))
      lpm.update(prefix(24, 192, 168, 1, 0), u32(24))
      const bits = keysOf(lpm).map((key) => key[0] ?? -1)
      expect(bits.toSorted((a, b) => a - b)).toEqual([8, 16, 24])
    })

    it('refuses prefixes longer than the key, and existing ones with BPF_NOEXIST', () => {
      const lpm = trie()
      expect(failure(() => lpm.update(prefix(33, 10, 0, 0, 0), u32(1)))).toBe('EINVAL')
      lpm.update(prefix(8, 10, 0, 0, 0), u32(1), UpdateFlag.NOEXIST)
      expect(failure(() => lpm.update(prefix(8, 10, 0, 0, 0), u32(1), UpdateFlag.NOEXIST))).toBe('EEXIST')
      expect(failure(() => lpm.update(prefix(9, 10, 0, 0, 0), u32(1), UpdateFlag.EXIST))).toBe('ENOENT')
    })

    it('is full at max_entries', () => {
      const lpm = map(MapType.LPM_TRIE, 8, 4, 1, { flags: MapFlag.NO_PREALLOC })
      lpm.update(prefix(8, 10, 0, 0, 0), u32(1))
      expect(failure(() => lpm.update(prefix(8, 11, 0, 0, 0), u32(1)))).toBe('ENOSPC')
    })

    it('must be made with BPF_F_NO_PREALLOC', () => {
      expect(failure(() => map(MapType.LPM_TRIE, 8, 4, 16))).toBe('EINVAL')
    })
  })

  describe('misuse', () => {
    const NO_BYTES = new Uint8Array(0)

    it.each([
      ['a hash of values without bytes', MapType.HASH, 4, 0, 4, 0, 'EINVAL'],
      ['an LRU hash without preallocation', MapType.LRU_HASH, 4, 4, 4, MapFlag.NO_PREALLOC, 'ENOTSUPP'],
      ['a hash with a flag of arrays', MapType.HASH, 4, 4, 4, MapFlag.MMAPABLE, 'EINVAL'],
      ['an array without preallocation', MapType.ARRAY, 4, 4, 4, MapFlag.NO_PREALLOC, 'EINVAL'],
      ['a trie of keys without data', MapType.LPM_TRIE, 4, 4, 4, MapFlag.NO_PREALLOC, 'EINVAL'],
      ['a ring buffer without size', MapType.RINGBUF, 0, 0, 0, 0, 'EINVAL'],
      ['a program array of large values', MapType.PROG_ARRAY, 4, 8, 4, 0, 'EINVAL'],
    ])('%s is not made', (_, type, keySize, valueSize, maxEntries, flags, errno) => {
      expect(failure(() => map(type, keySize, valueSize, maxEntries, { flags }))).toBe(errno)
    })

    it.each([
      ['an array', () => map(MapType.ARRAY, 4, 4, 4), 'ENOTSUPP'],
      ['a trie', () => map(MapType.LPM_TRIE, 8, 4, 4, { flags: MapFlag.NO_PREALLOC }), 'ENOTSUPP'],
    ] as const)('%s does not give and delete in one step', (_, make, errno) => {
      const made = make()
      expect(failure(() => made.lookupAndDelete(new Uint8Array(made.keySize)))).toBe(errno)
    })

    it('ring buffers have no keys', () => {
      const ring = map(MapType.RINGBUF, 0, 0, 4096)
      expect(failure(() => ring.nextKey(null))).toBe('ENOTSUPP')
      expect(failure(() => ring.delete(NO_BYTES))).toBe('ENOTSUPP')
    })

    it('ring buffers are rounded up to a power of two of pages', () => {
      expect(map(MapType.RINGBUF, 0, 0, 5000).maxEntries).toBe(8192)
    })

    it('lookups take no flags of updates', () => {
      expect(failure(() => map(MapType.HASH, 4, 4, 4).lookup(u32(1), UpdateFlag.NOEXIST))).toBe('EINVAL')
    })

    it('program arrays take no maps', () => {
      const jumps = map(MapType.PROG_ARRAY, 4, 4, 4)
      expect(failure(() => jumps.setSlot(u32(0), map(MapType.ARRAY, 4, 4, 4)))).toBe('EINVAL')
      expect(jumps.lookup(u32(0))).toBeNull()
    })
  })

  describe('handles', () => {
    it('refuse keys and values of the wrong size', () => {
      const hash = map(MapType.HASH, 4, 4, 4)
      expect(failure(() => hash.lookup(new Uint8Array(8)))).toBe('usage')
      expect(failure(() => hash.update(u32(1), new Uint8Array(3)))).toBe('usage')
    })

    it('close twice, and do nothing afterwards', () => {
      const hash = map(MapType.HASH, 4, 4, 4)
      hash.close()
      hash.close()
      expect(failure(() => hash.lookup(u32(1)))).toBe('closed')
    })

    it('know their shape and a unique id', () => {
      const first = map(MapType.HASH, 4, 16, 4)
      const second = map(MapType.HASH, 4, 16, 4)
      expect(first).toMatchObject({ type: MapType.HASH, keySize: 4, valueSize: 16, maxEntries: 4, valueCount: 1 })
      expect(first.id).not.toBe(second.id)
    })

    it('are for reading only once frozen', () => {
      const array = map(MapType.ARRAY, 4, 4, 1)
      array.update(u32(0), u32(9))
      array.freeze()
      expect(failure(() => array.update(u32(0), u32(1)))).toBe('EPERM')
      expect(readU32(array.lookup(u32(0)))).toBe(9)
      expect(failure(() => array.freeze())).toBe('EPERM')
    })
  })
}
