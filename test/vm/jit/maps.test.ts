import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isBpfError } from '../../../src/bytes/index.ts'
import type { Operation } from '../../../src/isa/index.ts'
import { bareProgram } from '../../../src/loader/index.ts'
import { MapType, ProgType } from '../../../src/uapi/index.ts'
import { createVm, type Vm, type VmMap, type VmProgram } from '../../../src/vm/index.ts'
import { mapSpec } from '../../support/program.ts'
import { alu, assemble, branch, callHelper, exit, load, mov, store } from './support.ts'

const MAP: Operation = { kind: 'loadImm64', dst: 1, pseudo: 1, low: 0, high: 0 }

/** A syscall program, which takes any context; instruction `mapAt` loads the map. */
function loadProgram(vm: Vm, map: VmMap, ops: readonly Operation[], mapAt: number): VmProgram {
  const { insns } = assemble(ops)
  const lateReferences = [{ kind: 'map', insn: mapAt, map: 'm' } as const]
  const program = bareProgram(insns, { name: 'p', type: ProgType.SYSCALL }, { lateReferences })
  return vm.loadProgram({
    program,
    license: 'GPL',
    version: 0,
    btf: null,
    maps: new Map([['m', map]]),
    bindMaps: [],
    logLevel: 0,
  })
}

/** Returns the value of the key that is the context, or 0xffffffff. */
const LOOKUP = [
  alu('mov', 2, 1),
  MAP,
  callHelper(1),
  branch('ne', 0, { imm: 0 }, 7),
  mov(0, -1),
  exit,
  load(8, 0, 0, 0),
  exit,
]

/** The same in both engines. */
function setUp(type: number, keySize: number, maxEntries: number): { map: VmMap; program: VmProgram }[] {
  return [true, false].map((jit) => {
    const vm = createVm({ verify: false, jit, cpus: 3 })
    expect(vm.engine).toBe(jit ? 'jit' : 'interpreter')
    const map = vm.createMap({ spec: mapSpec(type, keySize, 8, maxEntries), kernelName: 'm', btf: null, inner: null })
    return { map, program: loadProgram(vm, map, LOOKUP, 1) }
  })
}

function values(...numbers: number[]): Uint8Array {
  return new Uint8Array(new BigUint64Array(numbers.map(BigInt)).buffer)
}

describe('lookups that stay in wasm', () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 16, 31, 40, 64, 65])('hash with keys of %i bytes', (keySize) => {
    const engines = setUp(MapType.HASH, keySize, 5000)
    const key = fc.uint8Array({ minLength: keySize, maxLength: keySize })
    fc.assert(
      fc.property(fc.array(key, { minLength: 1, maxLength: 40 }), key, (keys, other) => {
        for (const { map } of engines) keys.forEach((k, i) => map.update(k, values(i)))
        for (const k of [...keys, other]) {
          const expected = engines[1]?.map.lookup(k)
          for (const { program } of engines) {
            const { retval } = program.run({ ctx: k })
            expect(retval).toBe(expected === null || expected === undefined ? 0xffffffff : expected[0])
          }
        }
        for (const { map } of engines) for (const k of keys) map.delete(k)
        expect(engines[0]?.program.run({ ctx: keys[0] as Uint8Array }).retval).toBe(0xffffffff)
      }),
      { numRuns: 20 },
    )
  })

  test('a hash that has grown', () => {
    const [engine] = setUp(MapType.HASH, 4, 5000)
    for (let i = 0; i < 3000; i++) engine?.map.update(new Uint8Array(new Uint32Array([i]).buffer), values(i * 2))
    for (let i = 0; i < 3100; i += 7) {
      const { retval } = engine?.program.run({ ctx: new Uint8Array(new Uint32Array([i]).buffer) }) ?? {}
      expect(retval).toBe(i < 3000 ? i * 2 : 0xffffffff)
    }
  })

  test('array', () => {
    for (const { map, program } of setUp(MapType.ARRAY, 4, 10)) {
      for (let i = 0; i < 10; i++) map.update(new Uint8Array([i, 0, 0, 0]), values(1000 + i))
      const at = (...key: number[]): number => program.run({ ctx: new Uint8Array(key) }).retval
      expect([at(0, 0, 0, 0), at(9, 0, 0, 0)]).toEqual([1000, 1009])
      expect([at(10, 0, 0, 0), at(0, 0, 0, 0x80), at(255, 255, 255, 255)]).toEqual([0xffffffff, 0xffffffff, 0xffffffff])
    }
  })

  test.each([
    ['array', MapType.PERCPU_ARRAY],
    ['hash', MapType.PERCPU_HASH],
  ])('per-CPU %s', (_, type) => {
    for (const { map, program } of setUp(type, 4, 4)) {
      for (const k of [0, 1]) map.update(new Uint8Array([k, 0, 0, 0]), values(10 + k, 20 + k, 30 + k))
      for (const cpu of [0, 1, 2]) {
        // BPF_F_TEST_RUN_ON_CPU.
        const at = (k: number): number => program.run({ ctx: new Uint8Array([k, 0, 0, 0]), cpu, flags: 1 }).retval
        expect([at(0), at(1), at(9)]).toEqual([10 * (cpu + 1), 10 * (cpu + 1) + 1, 0xffffffff])
      }
    }
  })

  test('a key on the stack, and one that is nowhere', () => {
    for (const jit of [true, false]) {
      const vm = createVm({ verify: false, jit })
      const map = vm.createMap({ spec: mapSpec(MapType.ARRAY, 4, 8, 4), kernelName: 'm', btf: null, inner: null })
      map.update(new Uint8Array([3, 0, 0, 0]), values(77))
      const onStack = [mov(3, 3), store(4, 10, -4, 3), alu('mov', 2, 10), alu('add', 2, { imm: -4 })]
      const rest = [MAP, callHelper(1), load(8, 0, 0, 0), exit]
      expect(loadProgram(vm, map, [...onStack, ...rest], 4).run({ ctx: new Uint8Array(8) }).retval).toBe(77)
      const bad = loadProgram(vm, map, [mov(2, 4), ...rest], 1)
      let caught: unknown
      try {
        bad.run({ ctx: new Uint8Array(8) })
      } catch (error) {
        caught = error
      }
      expect(isBpfError(caught) && [caught.code, caught.where.insn]).toEqual(['trap', 3])
      expect((caught as Error).message).toMatch(/r2.* does not point to a key/)
    }
  })
})

test('the number of the CPU', () => {
  for (const jit of [true, false]) {
    const vm = createVm({ verify: false, jit, cpus: 4 })
    const map = vm.createMap({ spec: mapSpec(MapType.ARRAY, 4, 8, 4), kernelName: 'm', btf: null, inner: null })
    const program = loadProgram(vm, map, [MAP, callHelper(8), exit], 0)
    expect(program.run({ ctx: new Uint8Array(8), cpu: 3, flags: 1 }).retval).toBe(3)
  }
})
