import { describe, expect, test } from 'vitest'
import { HelperId, MapFlag, MapType, ProgType } from '../../../src/uapi/index.ts'
import type { BackendMap } from '../../../src/loader/index.ts'
import { createVm, type Vm } from '../../../src/vm/index.ts'
import type { VmMap } from '../../../src/vm/runtime/maps/map.ts'
import { UserRingBufMap } from '../../../src/vm/runtime/maps/user-ringbuf.ts'
import { mapSpec, op, program, u32 } from '../../support/program.ts'
import { thrown } from '../../support/thrown.ts'

function mapOf(vm: Vm, type: number, keySize: number, valueSize: number, maxEntries: number, flags: number = 0): VmMap {
  const spec = mapSpec(type, keySize, valueSize, maxEntries, { flags })
  return vm.createMap({ spec, kernelName: 'm', btf: null, inner: null })
}

describe('a vm that is out of memory', () => {
  const LIMIT = 1536 * 1024
  const VALUE = 65536
  const PACKET = new Uint8Array(64)

  test('fails updates by user space with ENOMEM and keeps what it has', () => {
    const hash = mapOf(
      createVm({ verify: false, memoryLimit: LIMIT }),
      MapType.HASH,
      4,
      VALUE,
      100,
      MapFlag.NO_PREALLOC,
    )
    let stored = 0
    const error = thrown(() => {
      for (; stored < 100; stored++) hash.update(u32(stored), new Uint8Array(VALUE))
    })
    expect(error.errno).toBe('ENOMEM')
    expect(stored).toBeGreaterThan(0)
    expect(hash.lookup(u32(stored - 1))).toHaveLength(VALUE)
    expect(hash.lookup(u32(stored))).toBeNull()
  })

  test('refuses maps that do not fit, keeps the others, and closes', () => {
    const vm = createVm({ verify: false, memoryLimit: LIMIT })
    const array = mapOf(vm, MapType.ARRAY, 4, 8, 1)
    const tooLarge = [
      () => mapOf(vm, MapType.ARENA, 0, 0, 1 << 20, MapFlag.MMAPABLE),
      () => mapOf(vm, MapType.RINGBUF, 0, 0, 1 << 24),
    ]
    expect(tooLarge.map((make) => thrown(make).code)).toEqual(['limit', 'limit'])
    array.update(u32(0), new Uint8Array(8).fill(7))
    expect(array.lookup(u32(0))?.[0]).toBe(7)
    vm.close()
    expect(array.closed).toBe(true)
  })

  test('fails updates by programs with -ENOMEM', () => {
    const vm = createVm({ verify: false, memoryLimit: LIMIT })
    const source = mapOf(vm, MapType.ARRAY, 4, VALUE, 1)
    const hash = mapOf(vm, MapType.HASH, 4, VALUE, 100, MapFlag.NO_PREALLOC)
    const maps = new Map<string, BackendMap>([
      ['source', source],
      ['hash', hash],
    ])
    const update = program(
      'update',
      ProgType.XDP,
      [
        op.store(4, 10, -4, 0),
        op.movReg(2, 10),
        op.add(2, -4),
        op.map(1),
        op.helper(HelperId.map_lookup_elem),
        op.movReg(6, 0),
        op.helper(HelperId.get_prandom_u32),
        { kind: 'store', size: 4, dst: 10, off: -4, src: 0, imm: 0 },
        op.movReg(2, 10),
        op.add(2, -4),
        op.movReg(3, 6),
        op.map(1),
        op.mov(4, 0),
        op.helper(HelperId.map_update_elem),
        op.exit,
      ],
      ['source', 'hash'],
    )
    const loaded = vm.loadProgram({
      program: update,
      license: 'GPL',
      version: 0,
      btf: null,
      maps,
      bindMaps: [],
      logLevel: 0,
    })
    const results = new Set(Array.from({ length: 40 }, () => loaded.run({ data: PACKET }).retval | 0))
    expect([...results]).toEqual([0, -12])
  })
})

describe('elements that go', () => {
  test.each([
    ['tries', MapType.LPM_TRIE],
    ['hashes without preallocation', MapType.HASH],
  ])('are used again from one repeated run to the next: %s', (_, type) => {
    for (const jit of [true, false]) {
      const vm = createVm({ verify: false, memoryLimit: 1536 * 1024, jit })
      const map = mapOf(vm, type, 8, 1024, 10, MapFlag.NO_PREALLOC)
      // Key and value are at the bottom of the packet; an update takes the place of the one before.
      const update = program(
        'update',
        ProgType.XDP,
        [
          op.load(4, 6, 1, 0),
          op.movReg(2, 6),
          op.movReg(3, 6),
          op.map(1),
          op.mov(4, 0),
          op.helper(HelperId.map_update_elem),
          op.exit,
        ],
        ['map'],
      )
      const maps = new Map<string, BackendMap>([['map', map]])
      const request = { program: update, license: 'GPL', version: 0, btf: null, maps, bindMaps: [], logLevel: 0 }
      const data = new Uint8Array(1024)
      data[0] = 30
      expect(vm.loadProgram(request).run({ data, repeat: jit ? 20_000 : 2000 }).retval).toBe(0)
    }
  })
})

describe('user ring buffer', () => {
  test('takes records until it is full', () => {
    const ring = mapOf(createVm({ verify: false }), MapType.USER_RINGBUF, 0, 0, 4096)
    if (!(ring instanceof UserRingBufMap)) throw new Error('no user ring buffer')
    let stored = 0
    const error = thrown(() => {
      for (; stored < 1000; stored++) ring.push(new Uint8Array(24))
    })
    expect([error.errno, stored]).toEqual(['ENOSPC', 128])
    expect(thrown(() => ring.push(new Uint8Array(4096))).errno).toBe('E2BIG')
    expect(ring.peek()?.size).toBe(24)
  })
})
