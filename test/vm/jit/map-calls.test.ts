import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encode, InsnBuffer, type Operation } from '../../../src/isa/index.ts'
import { bareProgram, mapSpec, type PreparedProgram } from '../../../src/loader/index.ts'
import { HelperId, MapFlag, MapType, ProgType } from '../../../src/uapi/index.ts'
import { createVm, type Vm, type VmMap, type VmProgram } from '../../../src/vm/index.ts'
import { alu, assemble, branch, callHelper, exit, imm64, load, mov, store } from './support.ts'

interface Shape {
  readonly type: number
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  readonly flags?: number
}

function createMap(vm: Vm, name: string, shape: Shape, inner: VmMap | null = null): VmMap {
  const spec = mapSpec({ name, ...shape })
  return vm.createMap({ spec, kernelName: name, btf: null, inner })
}

/** ld_imm64 of a map; the loader's late references find it by its high half, an index of `maps`. */
const mapRef = (dst: number, index: number = 0): Operation => ({
  kind: 'loadImm64',
  dst,
  pseudo: 1,
  low: 0,
  high: index,
})

function loadProgram(vm: Vm, ops: readonly Operation[], maps: readonly VmMap[], starts: number[] = [0]): VmProgram {
  const { insns } = assemble(ops)
  const lateReferences: PreparedProgram['lateReferences'][number][] = []
  let at = 0
  for (const op of ops) {
    if (op.kind === 'loadImm64' && op.pseudo === 1) {
      lateReferences.push({ kind: 'map', insn: at, map: `m${op.high}` })
      encode({ ...op, high: 0 }, insns, at)
    }
    at += encode(op, new InsnBuffer(2), 0)
  }
  const functions = starts.map((start, i) => ({ name: `f${i}`, start, btfId: 0 }))
  const program = bareProgram(insns, { name: 'p', type: ProgType.SYSCALL }, { functions, lateReferences })
  return vm.loadProgram({
    program,
    license: 'GPL',
    version: 0,
    btf: null,
    maps: new Map(maps.map((map, i) => [`m${i}`, map])),
    bindMaps: [],
    logLevel: 0,
  })
}

const ENGINES = [true, false]

function contents(map: VmMap): string[] {
  const entries: string[] = []
  for (let key = map.nextKey(null); key !== null; key = map.nextKey(key)) {
    entries.push(`${key.join()}=${map.lookup(key)?.join()}`)
  }
  return entries.sort()
}

const HASH = { type: MapType.HASH, valueSize: 12, maxEntries: 40 }

describe('updates and deletes', () => {
  test.each([
    ['hash, keys of 4 bytes', { ...HASH, keySize: 4 }],
    ['hash, keys of 7 bytes', { ...HASH, keySize: 7 }],
    ['hash, keys of 16 bytes and large values', { ...HASH, keySize: 16, valueSize: 200 }],
    ['hash without preallocation', { ...HASH, keySize: 4, flags: MapFlag.NO_PREALLOC }],
    ['per-CPU hash', { ...HASH, keySize: 4, type: MapType.PERCPU_HASH }],
    ['LRU hash', { ...HASH, keySize: 4, type: MapType.LRU_HASH }],
    ['array', { ...HASH, keySize: 4, type: MapType.ARRAY }],
    ['per-CPU array', { ...HASH, keySize: 4, type: MapType.PERCPU_ARRAY }],
  ])('%s', (_, shape: Shape) => {
    const { keySize, valueSize } = shape
    const engines = ENGINES.map((jit) => {
      const vm = createVm({ verify: false, jit, cpus: 2 })
      const map = createMap(vm, 'm0', shape)
      const update = (flags: number): VmProgram =>
        loadProgram(
          vm,
          [
            alu('mov', 2, 1),
            alu('mov', 3, 1),
            alu('add', 3, { imm: keySize }),
            mov(4, flags),
            mapRef(1),
            callHelper(HelperId.map_update_elem),
            exit,
          ],
          [map],
        )
      const remove = loadProgram(vm, [alu('mov', 2, 1), mapRef(1), callHelper(HelperId.map_delete_elem), exit], [map])
      return { map, programs: [update(0), update(1), update(2), remove, update(3)] }
    })
    const step = fc.record({
      // More keys than entries, and enough to make the table grow.
      key: fc.integer({ min: 0, max: 47 }),
      value: fc.integer({ min: 0, max: 255 }),
      program: fc.constantFrom(0, 0, 0, 1, 2, 3, 4),
      cpu: fc.constantFrom(0, 1),
    })
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 80 }), (steps) => {
        for (const { key, value, program, cpu } of steps) {
          const ctx = new Uint8Array(keySize + valueSize).fill(value, keySize)
          ctx[0] = key
          const results = engines.map((e) => e.programs[program]?.run({ ctx, cpu, flags: cpu === 0 ? 0 : 1 }).retval)
          expect(results[0]).toBe(results[1])
        }
        expect(contents(engines[0]!.map)).toEqual(contents(engines[1]!.map))
      }),
      { numRuns: 12 },
    )
  })
})

describe('maps in maps', () => {
  test.each([
    ['array', MapType.ARRAY],
    ['hash', MapType.HASH],
  ])('an inner %s', (_, type) => {
    const shape = { type, keySize: 4, valueSize: 8, maxEntries: 4 }
    const results = ENGINES.map((jit) => {
      const vm = createVm({ verify: false, jit })
      const inner = [createMap(vm, 'a', shape), createMap(vm, 'b', shape)] as const
      const outer = createMap(
        vm,
        'm0',
        { type: MapType.ARRAY_OF_MAPS, keySize: 4, valueSize: 4, maxEntries: 4 },
        inner[0],
      )
      inner.forEach((map, i) => {
        outer.setSlot(Uint8Array.of(i, 0, 0, 0), map)
        for (let k = 0; k < 3; k++)
          map.update(Uint8Array.of(k, 0, 0, 0), Uint8Array.of(10 * i + k + 1, 0, 0, 0, 0, 0, 0, 0))
      })
      const program = loadProgram(
        vm,
        [
          alu('mov', 6, 1),
          alu('mov', 2, 1),
          mapRef(1),
          callHelper(HelperId.map_lookup_elem),
          branch('eq', 0, { imm: 0 }, 12),
          alu('mov', 1, 0),
          alu('mov', 2, 6),
          alu('add', 2, { imm: 4 }),
          callHelper(HelperId.map_lookup_elem),
          branch('eq', 0, { imm: 0 }, 12),
          load(8, 0, 0, 0),
          exit,
        ],
        [outer],
      )
      const answers: number[] = []
      for (let o = 0; o < 5; o++) {
        for (let i = 0; i < 5; i++) answers.push(program.run({ ctx: Uint8Array.of(o, 0, 0, 0, i, 0, 0, 0) }).retval)
      }
      return answers
    })
    expect(results[0]).toEqual(results[1])
    expect(results[0]?.slice(0, 10)).toEqual([1, 2, 3, 0, 0, 11, 12, 13, 0, 0])
  })

  test('an inner map that engines know nothing of', () => {
    for (const jit of ENGINES) {
      const vm = createVm({ verify: false, jit })
      const inner = createMap(vm, 'inner', { type: MapType.CGROUP_ARRAY, keySize: 4, valueSize: 4, maxEntries: 1 })
      const outer = createMap(vm, 'm0', { type: MapType.ARRAY_OF_MAPS, keySize: 4, valueSize: 4, maxEntries: 2 }, inner)
      outer.setSlot(Uint8Array.of(1, 0, 0, 0), inner)
      const program = loadProgram(
        vm,
        [
          alu('mov', 2, 1),
          mapRef(1),
          callHelper(HelperId.map_lookup_elem),
          branch('eq', 0, { imm: 0 }, 6),
          load(4, 0, 0, 0),
          exit,
        ],
        [outer],
      )
      const run = (key: number): number => program.run({ ctx: Uint8Array.of(key, 0, 0, 0) }).retval
      // A map's first field is its type.
      expect([run(0), run(1)]).toEqual([0, MapType.CGROUP_ARRAY])
    }
  })
})

test('ring buffer records', () => {
  const results = ENGINES.map((jit) => {
    const vm = createVm({ verify: false, jit })
    const ring = createMap(vm, 'm0', { type: MapType.RINGBUF, keySize: 0, valueSize: 0, maxEntries: 4096 })
    const ops = (size: number, discard: boolean): Operation[] =>
      [
        load(8, 6, 1, 0),
        mov(2, size),
        mov(3, 0),
        mapRef(1),
        callHelper(HelperId.ringbuf_reserve),
        branch('eq', 0, { imm: 0 }, 11),
        store(8, 0, size - 8, 6),
        alu('mov', 1, 0),
        mov(2, 0),
        callHelper(discard ? HelperId.ringbuf_discard : HelperId.ringbuf_submit),
        exit,
        mov(0, -1),
        exit,
      ].map((op) => (op.kind === 'branch' ? { ...op, target: 12 } : op))
    const programs = [
      loadProgram(vm, ops(24, false), [ring]),
      loadProgram(vm, ops(13, true), [ring]),
      loadProgram(vm, ops(1000, false), [ring]),
    ]
    const log: unknown[] = []
    for (let i = 0; i < 60; i++) {
      log.push(programs[i % 3]?.run({ ctx: Uint8Array.of(i, 0, 0, 0, 0, 0, 0, 0) }).retval)
      if (i % 7 === 0)
        log.push(
          ring.lost,
          ring.drain((data) => log.push(data.length, data[data.length - 8])),
        )
    }
    return log
  })
  expect(results[0]).toEqual(results[1])
  expect(results[0]).toContain(1000)
})

test('bpf_csum_diff', () => {
  const sizes = [0, 4, 6, 20, 33]
  const engines = ENGINES.map((jit) => {
    const vm = createVm({ verify: false, jit })
    return sizes.flatMap((from) =>
      sizes.map((to) =>
        loadProgram(
          vm,
          [
            load(4, 5, 1, 0),
            alu('add', 1, { imm: 4 }),
            alu('mov', 3, 1),
            alu('add', 3, { imm: 33 }),
            mov(2, from),
            mov(4, to),
            callHelper(HelperId.csum_diff),
            exit,
          ],
          [],
        ),
      ),
    )
  })
  const byte = fc.oneof(fc.constantFrom(0, 0xff), fc.integer({ min: 0, max: 255 }))
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 70, maxLength: 70 }),
      fc.array(byte, { minLength: 70, maxLength: 70 }),
      fc.boolean(),
      (a, b, even) => {
        const ctx = even ? Uint8Array.from(b) : a
        const [one, two] = engines.map((programs) => programs.map((p) => p.run({ ctx }).retval))
        expect(one).toEqual(two)
      },
    ),
    { numRuns: 40 },
  )
})

describe('bpf_for_each_map_elem', () => {
  test.each([
    ['array', MapType.ARRAY],
    ['per-CPU array', MapType.PERCPU_ARRAY],
    ['hash', MapType.HASH],
    ['LRU hash', MapType.LRU_HASH],
  ])('%s', (_, type) => {
    const results = ENGINES.map((jit) => {
      const vm = createVm({ verify: false, jit, cpus: 2 })
      const map = createMap(vm, 'm0', { type, keySize: 4, valueSize: 8, maxEntries: 20 })
      // The callback adds key * value to the word that r4 points to and stops when the sum is above the one behind it.
      const ops = [
        alu('mov', 3, 1),
        mapRef(1),
        { kind: 'loadImm64', dst: 2, pseudo: 4, low: 4, high: 0 } as const,
        mov(4, 0),
        callHelper(HelperId.for_each_map_elem),
        exit,
        load(4, 6, 2, 0),
        load(8, 7, 3, 0),
        alu('mul', 6, 7),
        load(8, 8, 4, 0),
        alu('add', 8, 6),
        store(8, 4, 0, 8),
        load(8, 9, 4, 8),
        mov(0, 0),
        branch('le', 8, 9, 17),
        mov(0, 1),
        exit,
      ] satisfies Operation[]
      const program = loadProgram(vm, ops, [map], [0, 8])
      const log: unknown[] = []
      const run = (limit: number): void => {
        const { retval, ctx } = program.run({ ctx: new Uint8Array(new BigUint64Array([0n, BigInt(limit)]).buffer) })
        log.push(retval, ctx === null ? null : [...ctx])
      }
      run(1e6)
      const cpus = type === MapType.PERCPU_ARRAY ? 2 : 1
      for (let i = 0; i < 18; i++) {
        const value = new BigUint64Array(cpus).fill(BigInt(i + 3))
        map.update(Uint8Array.of(i, 0, 0, 0), new Uint8Array(value.buffer))
      }
      run(1e6)
      run(100)
      return log
    })
    expect(results[0]).toEqual(results[1])
  })
})

describe('tail calls', () => {
  const ARRAY = { type: MapType.PROG_ARRAY, keySize: 4, valueSize: 4, maxEntries: 4 }
  const COUNTER = { type: MapType.ARRAY, keySize: 4, valueSize: 8, maxEntries: 1 }

  /** Counts in the context, then goes on with the program that `index` names; returns what it adds otherwise. */
  const hop = (index: number, result: number): Operation[] => [
    load(8, 6, 1, 0),
    alu('add', 6, { imm: 1 }),
    store(8, 1, 0, 6),
    mapRef(2),
    mov(3, index),
    callHelper(HelperId.tail_call),
    alu('mov', 0, 6),
    alu('add', 0, { imm: result }),
    exit,
  ]

  function engines(): { vm: Vm; array: VmMap; counter: VmMap }[] {
    return ENGINES.map((jit) => {
      const vm = createVm({ verify: false, jit })
      return { vm, array: createMap(vm, 'm0', ARRAY), counter: createMap(vm, 'm1', COUNTER) }
    })
  }

  test('two programs in turn, until the limit', () => {
    const results = engines().map(({ vm, array }) => {
      const one = loadProgram(vm, hop(1, 1000), [array])
      const two = loadProgram(vm, hop(0, 2000), [array])
      const log: unknown[] = []
      const run = (repeat: number): void => {
        const { retval, ctx } = one.run({ ctx: new Uint8Array(8), repeat })
        log.push(retval, ctx === null ? null : [...ctx])
      }
      run(1)
      array.setSlot(Uint8Array.of(1, 0, 0, 0), two)
      run(1)
      array.setSlot(Uint8Array.of(0, 0, 0, 0), one)
      run(1)
      run(3)
      array.delete(Uint8Array.of(1, 0, 0, 0))
      run(1)
      array.setSlot(Uint8Array.of(1, 0, 0, 0), one)
      run(1)
      return log
    })
    expect(results[0]).toEqual(results[1])
    // 33 tail calls: the 34th run of a program is the second one's.
    expect(results[0]?.slice(0, 6).filter((_, i) => i % 2 === 0)).toEqual([1001, 2002, 2034])
  })

  test('a program that goes on with itself starts anew', () => {
    const results = ENGINES.map((jit) => {
      // Enough for the loop of one run, not of two.
      const vm = createVm({ verify: false, jit, fuel: 50 })
      const array = createMap(vm, 'm0', ARRAY)
      const itself: Operation[] = [
        load(8, 6, 1, 0),
        alu('add', 6, { imm: 1 }),
        store(8, 1, 0, 6),
        // What registers hold is not what the last run left there.
        alu('add', 6, 7),
        alu('add', 6, 8),
        mov(7, 0),
        mov(8, 0),
        store(8, 10, -8, 7),
        load(8, 2, 10, -8),
        alu('add', 2, { imm: 1 }),
        store(8, 10, -8, 2),
        alu('add', 7, { imm: 1 }),
        branch('lt', 7, { imm: 40 }, 8),
        // Inside of a branch.
        branch('gt', 6, { imm: 1000 }, 19),
        mapRef(2),
        mov(3, 1),
        callHelper(HelperId.tail_call),
        mov(9, 5),
        load(8, 0, 1, 0),
        alu('mul', 0, { imm: 100 }),
        load(8, 2, 10, -8),
        alu('add', 0, 2),
        exit,
      ]
      const program = loadProgram(vm, itself, [array])
      array.setSlot(Uint8Array.of(1, 0, 0, 0), program)
      const log = [1, 1, 3].map((repeat) => program.run({ ctx: new Uint8Array(8), repeat }).retval)
      // A trap in a later run is one at its instruction.
      const trapping = loadProgram(
        vm,
        [
          load(8, 6, 1, 0),
          alu('add', 6, { imm: 9000 }),
          store(8, 1, 0, 6),
          alu('add', 1, 6),
          mapRef(2),
          mov(3, 2),
          callHelper(HelperId.tail_call),
          exit,
        ],
        [array],
      )
      array.setSlot(Uint8Array.of(2, 0, 0, 0), trapping)
      let insn: unknown = null
      try {
        trapping.run({ ctx: new Uint8Array(8) })
      } catch (error) {
        insn = (error as { where: { insn: number } }).where.insn
      }
      return [...log, insn]
    })
    expect(results[0]).toEqual(results[1])
    expect(results[0]).toEqual([3440, 3440, 10240, results[1]?.[3]])
  })

  test('a subprogram that makes one returns to its program', () => {
    const results = engines().map(({ vm, array }) => {
      const target = loadProgram(vm, hop(3, 100), [array])
      array.setSlot(Uint8Array.of(1, 0, 0, 0), target)
      const main: Operation[] = [
        alu('mov', 7, 1),
        { kind: 'call', call: 'local', imm: 4, off: 0, target: 6 },
        alu('mul', 0, { imm: 10 }),
        load(8, 1, 7, 0),
        alu('add', 0, 1),
        exit,
      ]
      const program = loadProgram(vm, [...main, ...hop(1, 5)], [array], [0, 6])
      return [program.run({ ctx: new Uint8Array(8) }).retval, program.run({ ctx: new Uint8Array(8), repeat: 2 }).retval]
    })
    expect(results[0]).toEqual(results[1])
    expect(results[0]?.[0]).toBe(1022)
  })

  test('a trap names the program that made it', () => {
    const errors = engines().map(({ vm, array }) => {
      const target = loadProgram(vm, [imm64(2, 8n), load(8, 0, 2, 0), exit], [array])
      array.setSlot(Uint8Array.of(1, 0, 0, 0), target)
      const program = loadProgram(vm, hop(1, 0), [array])
      try {
        program.run({ ctx: new Uint8Array(8) })
      } catch (error) {
        return (error as { where: { insn: number } }).where.insn
      }
      return null
    })
    expect(errors).toEqual([2, 2])
  })

  test('a helper that fails in the target', () => {
    const errors = engines().map(({ vm, array }) => {
      const target = loadProgram(vm, [mov(0, 0), mov(1, 8), callHelper(HelperId.spin_lock), exit], [array])
      array.setSlot(Uint8Array.of(1, 0, 0, 0), target)
      const program = loadProgram(vm, hop(1, 0), [array])
      try {
        program.run({ ctx: new Uint8Array(8) })
      } catch (error) {
        return (error as { where: { insn: number } }).where.insn
      }
      return null
    })
    expect(errors).toEqual([2, 2])
  })
})
