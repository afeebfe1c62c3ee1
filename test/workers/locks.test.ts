import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { AtomicOp, Operation } from '../../src/isa/index.ts'
import { HelperId, MapType, ProgType } from '../../src/uapi/index.ts'
import { createVm, type Vm, type VmMap, type VmProgram } from '../../src/vm/index.ts'
import { LinearMemory } from '../../src/vm/runtime/memory.ts'
import { LockWords, MapLock } from '../../src/vm/runtime/spin-lock.ts'
import { builtCli } from '../cli/support.ts'
import { mapSpec, op, program, u32 } from '../support/program.ts'
import { thrown } from '../support/thrown.ts'
import { sum, Threads } from './threads.ts'

beforeAll(() => void builtCli())
const threads = new Threads()
afterEach(() => threads.stop())

function loaded(vm: Vm, operations: readonly Operation[], map: VmMap | null = null): VmProgram {
  return vm.loadProgram({
    program: program('p', ProgType.XDP, operations, ['m']),
    license: 'GPL',
    version: 0,
    btf: null,
    maps: new Map(map === null ? [] : [['m', map]]),
    bindMaps: [],
    logLevel: 0,
  })
}

const create = (vm: Vm, type: number, valueSize: number): VmMap =>
  vm.createMap({ spec: mapSpec(type, 4, valueSize, 4), kernelName: 'm', btf: null, inner: null })
const PACKET = { data: new Uint8Array(64) }
/** Leaves the address of value 0 in r0. */
const VALUE = [op.store(4, 10, -4, 0), op.map(1), op.movReg(2, 10), op.add(2, -4), op.helper(HelperId.map_lookup_elem)]

describe('a lock', () => {
  test('of a map whose thread has ended is an error, not a wait for ever', () => {
    const memory = new LinearMemory(1 << 22, true)
    const address = memory.allocate(4)
    const words = new LockWords(memory)
    expect(words.take(address, 3)).toBe(true)
    const lock = new MapLock(words, address, 1, 'flows', 20)
    const error = thrown(() => lock.during(() => 1))
    expect([error.code, error.where.map]).toEqual(['trap', 'flows'])
    expect(error.message).toMatch(/locked by CPU 2 for ever/)
    words.open(address)
    expect(lock.during(() => lock.during(() => 7))).toBe(7)
    expect(
      thrown(() =>
        lock.during(
          () =>
            words.take(address, 2, 5) ||
            lock.during(() => {
              throw thrown(() => createVm().fork())
            }),
        ),
      ).code,
    ).toBe('usage')
    expect(words.holder(address)).toBe(0)
  })

  test('that a run has taken is open again when the run was stopped', () => {
    const vm = createVm({ shared: true, verify: false })
    const map = create(vm, MapType.ARRAY, 16)
    const take = [...VALUE, op.movReg(6, 0), op.movReg(1, 0), op.helper(HelperId.spin_lock)]
    const stops = loaded(vm, [...take, op.mov(1, 0), op.load(4, 0, 1, 16), op.exit], map)
    for (let i = 0; i < 2; i++) expect(thrown(() => stops.run(PACKET)).message).not.toMatch(/never end/)
    const twice = loaded(vm, [...take, op.movReg(1, 6), op.helper(HelperId.spin_lock), op.exit], map)
    expect(thrown(() => twice.run(PACKET)).message).toMatch(/held: it would never end/)
    expect(map.lookup(u32(0))).toEqual(new Uint8Array(16))
  })
})

test('what other threads do not know goes into no slot', () => {
  const vm = createVm({ shared: true, verify: false, cpus: 2 })
  const jumps = create(vm, MapType.PROG_ARRAY, 4)
  const early = loaded(vm, [op.mov(0, 1), op.exit])
  vm.fork()
  const late = loaded(vm, [op.mov(0, 2), op.exit])
  jumps.setSlot(u32(0), early)
  const error = thrown(() => jumps.setSlot(u32(1), late))
  expect([error.code, error.where.map]).toEqual(['usage', 'test_map'])
  expect(jumps.lookup(u32(0))).toEqual(u32(early.id))
  expect(jumps.lookup(u32(1))).toBeNull()
})

test('all threads run as one task, with one value of task storage', async () => {
  const { maps, backend } = await threads.load('storage', 2, { verify: false })
  const answers = await threads.together(() => ({
    program: 'visit',
    packets: [new Uint8Array(8)],
    repeat: 5000,
    way: 'context',
  }))
  expect(sum(answers)).toEqual({ 0: 10_000 })
  const value = maps['tasks']!.raw.lookup(u32(backend.currentTask.fd))
  expect(new BigUint64Array(value!.slice().buffer)[0]).toBe(10_000n)
}, 60_000)

describe('atomic instructions of a shared vm do what the interpreter does', () => {
  const OPS: readonly AtomicOp[] = ['add', 'or', 'and', 'xor', 'xchg', 'cmpxchg']
  const WORDS = [0x89abcdef, 0x01234567, 0xffffffff, 0x80000000, 0, 1]
  const cases = OPS.flatMap((name) =>
    ([4, 8] as const).flatMap((size) =>
      [true, false]
        .filter((fetch) => fetch || (name !== 'xchg' && name !== 'cmpxchg'))
        .map((fetch) => [name, size, fetch] as const),
    ),
  )

  function results(vm: Vm, operation: Operation): string {
    const map = create(vm, MapType.ARRAY, 32)
    const seen: string[] = []
    for (const [i, low] of WORDS.entries()) {
      const high = WORDS[(i + 2) % WORDS.length]!
      const value = [...u32(low), ...u32(high), ...u32(high), ...u32(low), ...new Uint8Array(16)]
      map.update(u32(0), Uint8Array.from(value))
      const before = [op.movReg(6, 0), op.load(8, 7, 6, 8), op.load(8, 0, 6, i % 2 === 0 ? 0 : 8)]
      const keep = (src: number, off: number): Operation => ({ kind: 'store', size: 8, dst: 6, off, src, imm: 0 })
      const after = [keep(0, 16), keep(7, 24), op.mov(0, 0), op.exit]
      loaded(vm, [...VALUE, ...before, operation, ...after], map).run(PACKET)
      seen.push(map.lookup(u32(0))!.join())
    }
    return seen.join('\n')
  }

  const shared = (): Vm => createVm({ shared: true, verify: false })
  const interpreted = (): Vm => createVm({ jit: false, verify: false })

  test.each(cases)('%s of %i bytes, fetch %s', (name, size, fetch) => {
    const atomic: Operation = { kind: 'atomic', op: name, size, fetch, dst: 6, src: 7, off: 0 }
    expect(results(shared(), atomic)).toBe(results(interpreted(), atomic))
  })

  test.each([1, 2, 4, 8] as const)('load-acquire and store-release of %i bytes', (size) => {
    const acquire: Operation = { kind: 'loadAcquire', size, dst: 7, src: 6, off: 8 - size }
    expect(results(shared(), acquire)).toBe(results(interpreted(), acquire))
    const release: Operation = { kind: 'storeRelease', size, dst: 6, src: 7, off: 8 - size }
    expect(results(shared(), release)).toBe(results(interpreted(), release))
  })
})
