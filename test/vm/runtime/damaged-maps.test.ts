import { describe, expect, test } from 'vitest'
import type { Operation } from '../../../src/isa/index.ts'
import { mapSpec } from '../../../src/loader/index.ts'
import { HelperId, MapFlag, MapType, ProgType } from '../../../src/uapi/index.ts'
import { createVm, type Vm, type VmMap } from '../../../src/vm/index.ts'
import { Descriptor, Element, TrieNode } from '../../../src/vm/runtime/maps/descriptor.ts'
import { op, program, u32 } from '../../support/program.ts'
import { thrown } from '../../support/thrown.ts'

const NO_END = /links between elements of a map/
const HUGE = 0x7fffff00

/** A vm whose programs do what they like with the memory. */
class Bench {
  readonly vm: Vm
  readonly map: VmMap

  constructor(jit: boolean, type: number, keySize: number, flags: number = 0) {
    this.vm = createVm({ jit, verify: false, fuel: 10_000 })
    const spec = mapSpec({
      name: 'm',
      type,
      keySize,
      valueSize: keySize === 0 ? 0 : 8,
      maxEntries: keySize === 0 ? 4096 : 8,
      flags,
    })
    this.map = this.vm.createMap({ spec, kernelName: 'm', btf: null, inner: null })
  }

  run(operations: readonly Operation[]): number {
    const loaded = this.vm.loadProgram({
      program: program('damage', ProgType.XDP, operations, ['m']),
      license: 'GPL',
      version: 0,
      btf: null,
      maps: new Map([['m', this.map]]),
      bindMaps: [],
      logLevel: 0,
    })
    return loaded.run({ data: new Uint8Array(64) }).retval
  }

  read(address: number): number {
    return this.run([op.number(1, address, 0), op.load(4, 0, 1, 0), op.exit])
  }

  write(address: number, value: number): void {
    this.run([op.number(1, address, 0), op.store(4, 1, 0, value), op.mov(0, 0), op.exit])
  }

  field(offset: number): number {
    return this.read(this.map.handle + offset)
  }

  /** A helper on the map, with the key's first word, and the key as value too. */
  call(helper: number, key: number): number {
    const stack = [op.store(4, 10, -16, key), op.store(4, 10, -12, 0), op.store(4, 10, -8, key), op.store(4, 10, -4, 0)]
    const points = [op.movReg(2, 10), op.add(2, -16), op.movReg(3, 10), op.add(3, -8), op.mov(4, 0)]
    return this.run([...stack, op.map(1), ...points, op.helper(helper), op.exit])
  }

  /** Every bucket leads to the first element, which comes after itself. */
  closeChains(): number {
    const buckets = this.field(Descriptor.BASE)
    const mask = this.field(Descriptor.STRIDE)
    let element = 0
    for (let i = 0; i <= mask; i++) element ||= this.read(buckets + i * 4)
    for (let i = 0; i <= mask; i++) this.write(buckets + i * 4, element)
    this.write(element + Element.NEXT, element)
    return element
  }
}

const add = (bench: Bench, ...keys: readonly number[]): void => {
  for (const key of keys) bench.map.update(u32(key), new Uint8Array(8))
}

describe.each([
  ['JIT', true],
  ['interpreter', false],
] as const)('%s: a program cannot make a map go on for ever', (_name, jit) => {
  const { map_lookup_elem: lookup, map_update_elem: update, map_delete_elem: remove } = HelperId

  test.each([
    ['hash', MapType.HASH, lookup],
    ['hash', MapType.HASH, update],
    ['hash', MapType.HASH, remove],
    ['lru_hash', MapType.LRU_HASH, update],
  ] as const)('a chain of a %s in a circle', (_type, type, helper) => {
    const bench = new Bench(jit, type, 4)
    add(bench, 1, 2)
    bench.closeChains()
    const error = thrown(() => bench.call(helper, 77))
    expect([error.code, error.where.program]).toEqual(['trap', jit ? 'damage' : error.where.program])
    expect(error.message).toMatch(NO_END)
    expect(thrown(() => bench.map.lookup(u32(77))).message).toMatch(NO_END)
    expect(() => bench.vm.close()).not.toThrow()
  })

  test('an LRU ring without elements in use', () => {
    const bench = new Bench(jit, MapType.LRU_HASH, 4)
    add(bench, 1, 2, 3, 4, 5, 6, 7, 8)
    const hand = bench.field(Descriptor.HEAD)
    const ring = hand + bench.field(Descriptor.VALUE_OFFSET) + 8
    bench.write(ring, hand)
    bench.write(hand + Element.REFERENCED, 2)
    expect(thrown(() => bench.call(update, 77)).message).toMatch(NO_END)
  })

  test.each([lookup, update, remove])('a trie whose node is its own child: helper %i', (helper) => {
    const bench = new Bench(jit, MapType.LPM_TRIE, 8, MapFlag.NO_PREALLOC)
    bench.map.update(Uint8Array.of(4, 0, 0, 0, 0, 0, 0, 0), new Uint8Array(8))
    const root = bench.field(Descriptor.BASE)
    bench.write(root + TrieNode.CHILDREN, root)
    bench.write(root + TrieNode.CHILDREN + 4, root)
    expect(thrown(() => bench.call(helper, 32)).message).toMatch(NO_END)
    expect(thrown(() => bench.map.nextKey(null)).message).toMatch(NO_END)
  })

  test('what is to be used again when the run ends, in a circle', () => {
    const bench = new Bench(jit, MapType.HASH, 4, MapFlag.NO_PREALLOC)
    add(bench, 1)
    const element = bench.closeChains()
    bench.write(element + Element.NEXT, 0)
    // Deletes it, then makes it the next one of itself in the list of what was deleted.
    const stack = [op.store(4, 10, -8, 1), op.map(1), op.movReg(2, 10), op.add(2, -8), op.helper(remove)]
    const entry = element + 8
    expect(bench.run([...stack, op.number(1, entry, 0), op.store(4, 1, 4, entry), op.mov(0, 3), op.exit])).toBe(3)
  })

  test('an element that lies outside of the memory', () => {
    const bench = new Bench(jit, MapType.HASH, 4)
    add(bench, 1)
    const element = bench.closeChains()
    bench.write(element + Element.NEXT, HUGE)
    expect(thrown(() => bench.call(lookup, 77)).code).toBe('trap')
    expect(thrown(() => bench.map.lookup(u32(77))).message).toMatch(NO_END)
    expect(() => bench.vm.close()).not.toThrow()
  })

  test('positions of a ring buffer that are too far apart', () => {
    const bench = new Bench(jit, MapType.RINGBUF, 0)
    const control = bench.field(Descriptor.CONTROL)
    bench.write(control + 4, 0x10000)
    expect(thrown(() => bench.map.drain(() => {})).message).toMatch(NO_END)
  })
})
