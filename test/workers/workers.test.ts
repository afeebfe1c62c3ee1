import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { LoadedObject } from '../../src/loader/index.ts'
import { MapType } from '../../src/uapi/index.ts'
import { createVm, type Vm } from '../../src/vm/index.ts'
import { builtCli } from '../cli/support.ts'
import { mapSpec } from '../support/program.ts'
import { thrown } from '../support/thrown.ts'
import { packet, packets, sum, Threads } from './threads.ts'

const THREADS = 4
const ROUNDS = 2000

// Threads run what was built.
beforeAll(() => void builtCli())
const threads = new Threads()
afterEach(() => threads.stop())

const setUp = (): Promise<LoadedObject & { readonly backend: Vm }> => threads.load('workers', THREADS)

describe.each(['batch', 'runner'] as const)('four threads, by %s', (way) => {
  test('lose no atomic operation, while this thread takes part', async () => {
    const { programs, maps, variables } = await setUp()
    const running = threads.together(() => ({ program: 'count', packets: packets(0, 10), repeat: ROUNDS, way }))
    programs['count']!.runBatch(packets(0, 10), { repeat: ROUNDS })
    const answers = await running
    const runs = (THREADS + 1) * 10 * ROUNDS
    expect(maps['counters']!.get(0)).toBe(BigInt(runs))
    expect(variables['total']!.get()).toBe(runs)
    expect(Object.values(sum(answers)).reduce((a, b) => a + b)).toBe(THREADS * 10 * ROUNDS)
    expect(
      sum(await threads.together(() => ({ program: 'sum', packets: packets(0, 10), repeat: ROUNDS, way }))),
    ).toEqual({
      2: THREADS * 10 * ROUNDS,
    })
    expect(maps['counters']!.get(2)).toBe(BigInt(3 * THREADS * 10 * ROUNDS))
  })

  test('are each on a CPU of its own', async () => {
    const { maps } = await setUp()
    const answers = await threads.together(() => ({ program: 'here', packets: packets(0, 10), repeat: ROUNDS, way }))
    expect(answers.map(({ cpu }) => cpu)).toEqual([1, 2, 3, 4])
    for (const { cpu, verdicts } of answers) expect(verdicts).toEqual([[cpu, 10 * ROUNDS]])
    expect(maps['percpu']!.get(0)).toEqual([0n, ...Array<bigint>(THREADS).fill(BigInt(10 * ROUNDS))])
  })

  test('share a hash', async () => {
    const { maps } = await setUp()
    // An entry goes when it was seen 50 times: every one is there 7 times after 207 runs.
    const answers = await threads.together((i) => ({ program: 'flow', packets: packets(i, 200), repeat: 207, way }))
    expect(sum(answers)).toEqual({ 2: THREADS * 200 * 203, 1: THREADS * 200 * 4 })
    const entries = [...maps['flows']!.entries()]
    expect(entries).toHaveLength(THREADS * 200)
    expect(new Set(entries.map(([, value]) => value))).toEqual(new Set([7n]))
  })

  test('share a ring buffer', async () => {
    const { maps } = await setUp()
    const answers = await threads.together((i) => ({ program: 'report', packets: packets(i, 200), repeat: 20, way }))
    expect(sum(answers)).toEqual({ 2: THREADS * 200 * 20 })
    const seen = new Map<string, number>()
    maps['events']!.raw.drain((record) => {
      const [cpu, key] = new Uint32Array(record.slice().buffer)
      seen.set(`${cpu} ${key}`, (seen.get(`${cpu} ${key}`) ?? 0) + 1)
    })
    const expected = Array.from({ length: THREADS }, (_, i) =>
      Array.from({ length: 200 }, (__, k) => [`${i + 1} ${(i << 8) | k}`, 20] as const),
    )
    expect(seen).toEqual(new Map(expected.flat()))
  })

  test('have packets, stacks and random numbers of their own', async () => {
    await setUp()
    const same = (i: number): Uint8Array[] => [new Uint8Array(64).fill(i), new Uint8Array(200).fill(100 + i)]
    const answers = await threads.together((i) => ({ program: 'mine', packets: same(i), repeat: ROUNDS, way }))
    expect(sum(answers)).toEqual({ 2: THREADS * 2 * ROUNDS })
  })
})

describe('a shared vm', () => {
  const map = (type: number, flags: number = 0): Parameters<Vm['createMap']>[0] => ({
    spec: { ...mapSpec(type, 4, 8, 16), flags },
    kernelName: 'm',
    btf: null,
    inner: null,
  })

  test.each([
    ['arena', MapType.ARENA, 0],
    ['user_ringbuf', MapType.USER_RINGBUF, 0],
    ['sockmap', MapType.SOCKMAP, 0],
  ])('refuses what threads cannot share: %s', (name, type, flags) => {
    const error = thrown(() => createVm({ shared: true }).createMap(map(type, flags)))
    expect([error.code, error.where.map]).toEqual(['unsupported', 'test_map'])
    expect(error.message).toContain(`of type ${name}`)
  })

  test('has as many threads as CPUs, and none without the option', () => {
    const vm = createVm({ shared: true, cpus: 2 })
    expect(vm.fork().cpu).toBe(1)
    expect(thrown(() => vm.fork()).code).toBe('limit')
    expect(thrown(() => createVm().fork()).code).toBe('usage')
    expect(thrown(() => createVm({ shared: true, jit: false })).code).toBe('unsupported')
  })

  test('leaves its CPU to each thread', async () => {
    const { programs } = await setUp()
    expect(thrown(() => programs['here']!.run({ data: packet(0, 0), cpu: 2, flags: 1 })).code).toBe('usage')
    expect(programs['here']!.run({ data: packet(0, 0) }).retval).toBe(0)
  })

  test('says so when a thread has loaded the vm before', async () => {
    await expect(threads.start(createVm({ shared: true }), 'late.mjs')).rejects.toThrow(
      /import nothing but 'elfbee\/worker'/,
    )
  })
})
