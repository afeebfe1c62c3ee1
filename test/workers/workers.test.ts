import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { load, openObject, type LoadedObject } from '../../src/loader/index.ts'
import { MapType } from '../../src/uapi/index.ts'
import { createVm, type Vm } from '../../src/vm/index.ts'
import { builtCli } from '../cli/support.ts'
import { loadFixture } from '../support/fixture.ts'
import { mapSpec } from '../support/program.ts'
import { thrown } from '../support/thrown.ts'

const THREADS = 4
const ROUNDS = 2000

interface Job {
  readonly program: string
  readonly packets: readonly Uint8Array[]
  readonly repeat: number
  readonly way: 'batch' | 'runner'
}
interface Answer {
  readonly cpu: number
  readonly verdicts?: readonly (readonly [verdict: number, count: number])[]
  readonly error?: string
}

// Threads run what was built.
beforeAll(() => void builtCli())
const threads: Worker[] = []
afterEach(async () => {
  for (const thread of threads.splice(0)) await thread.terminate()
})

function answer<T>(thread: Worker): Promise<T> {
  return new Promise((resolve, reject) => {
    thread.once('message', resolve)
    thread.once('error', reject)
  })
}

async function start(vm: Vm, file: string = 'thread.mjs'): Promise<Worker> {
  const path = fileURLToPath(new URL(file, import.meta.url))
  const thread = new Worker(path, { workerData: { shared: vm.fork() } })
  threads.push(thread)
  await answer(thread)
  return thread
}

async function setUp(): Promise<LoadedObject & { readonly backend: Vm }> {
  const spec = openObject(await loadFixture('test/workers/workers.bpf.o'), { name: 'workers' })
  const loaded = await load(spec, createVm({ shared: true, cpus: THREADS + 1 }), { strict: true })
  const starting = Array.from({ length: THREADS }, () => start(loaded.backend as Vm))
  await Promise.all(starting)
  return loaded as LoadedObject & { readonly backend: Vm }
}

/** All threads at once, each with a job of its own. */
function together(job: (thread: number) => Job): Promise<Answer[]> {
  return Promise.all(
    threads.map((thread, i) => {
      const result = answer<Answer>(thread)
      thread.postMessage(job(i))
      return result
    }),
  )
}

/** Verdicts of all threads added up. */
function sum(answers: readonly Answer[]): Record<number, number> {
  const all: Record<number, number> = {}
  for (const { verdicts, error } of answers) {
    if (error !== undefined) throw new Error(error)
    for (const [verdict, count] of verdicts ?? []) all[verdict] = (all[verdict] ?? 0) + count
  }
  return all
}

const packet = (first: number, second: number): Uint8Array => Uint8Array.of(first, second, ...new Uint8Array(62))
const packets = (first: number, count: number): Uint8Array[] =>
  Array.from({ length: count }, (_, i) => packet(first, i))

describe.each(['batch', 'runner'] as const)('four threads, by %s', (way) => {
  test('lose no atomic operation, while this thread takes part', async () => {
    const { programs, maps, variables } = await setUp()
    const running = together(() => ({ program: 'count', packets: packets(0, 10), repeat: ROUNDS, way }))
    programs['count']!.runBatch(packets(0, 10), { repeat: ROUNDS })
    const answers = await running
    const runs = (THREADS + 1) * 10 * ROUNDS
    expect(maps['counters']!.get(0)).toBe(BigInt(runs))
    expect(variables['total']!.get()).toBe(runs)
    expect(Object.values(sum(answers)).reduce((a, b) => a + b)).toBe(THREADS * 10 * ROUNDS)
    expect(sum(await together(() => ({ program: 'sum', packets: packets(0, 10), repeat: ROUNDS, way })))).toEqual({
      2: THREADS * 10 * ROUNDS,
    })
    expect(maps['counters']!.get(2)).toBe(BigInt(3 * THREADS * 10 * ROUNDS))
  })

  test('are each on a CPU of its own', async () => {
    const { maps } = await setUp()
    const answers = await together(() => ({ program: 'here', packets: packets(0, 10), repeat: ROUNDS, way }))
    expect(answers.map(({ cpu }) => cpu)).toEqual([1, 2, 3, 4])
    for (const { cpu, verdicts } of answers) expect(verdicts).toEqual([[cpu, 10 * ROUNDS]])
    expect(maps['percpu']!.get(0)).toEqual([0n, ...Array<bigint>(THREADS).fill(BigInt(10 * ROUNDS))])
  })

  test('share a hash', async () => {
    const { maps } = await setUp()
    // An entry goes when it was seen 50 times: every one is there 7 times after 207 runs.
    const answers = await together((i) => ({ program: 'flow', packets: packets(i, 200), repeat: 207, way }))
    expect(sum(answers)).toEqual({ 2: THREADS * 200 * 203, 1: THREADS * 200 * 4 })
    const entries = [...maps['flows']!.entries()]
    expect(entries).toHaveLength(THREADS * 200)
    expect(new Set(entries.map(([, value]) => value))).toEqual(new Set([7n]))
  })

  test('share a ring buffer', async () => {
    const { maps } = await setUp()
    const answers = await together((i) => ({ program: 'report', packets: packets(i, 200), repeat: 20, way }))
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
    const answers = await together((i) => ({ program: 'mine', packets: same(i), repeat: ROUNDS, way }))
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
    ['lru_hash', MapType.LRU_HASH, 0],
    ['prog_array', MapType.PROG_ARRAY, 0],
    ['queue', MapType.QUEUE, 0],
    ['hash without preallocation', MapType.HASH, 1],
  ])('refuses what threads cannot share: %s', (_name, type, flags) => {
    const error = thrown(() => createVm({ shared: true }).createMap(map(type, flags)))
    expect([error.code, error.where.map]).toEqual(['unsupported', 'test_map'])
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
    await expect(start(createVm({ shared: true }), 'late.mjs')).rejects.toThrow(/import nothing but 'elfbee\/worker'/)
  })
})
