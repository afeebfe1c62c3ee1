import { afterAll, beforeAll, expect, test } from 'vitest'
import type { LoadedObject } from '../../src/loader/index.ts'
import type { Vm } from '../../src/vm/index.ts'
import { builtCli } from '../cli/support.ts'
import { readU32, u32 } from '../support/program.ts'
import { packets, sum, Threads, type Answer } from './threads.ts'

const THREADS = 3
const NO_KEY = new Uint8Array(0)
const threads = new Threads()
let loaded: LoadedObject & { readonly backend: Vm }

// One vm for all: each test has maps of its own.
beforeAll(async () => {
  builtCli()
  loaded = await threads.load('races', THREADS, {}, ({ maps, programs }) => {
    for (const [index, name] of ['link', 'with_callback'].entries()) {
      maps['jumps']!.raw.setSlot(u32(index), programs[name]!.raw)
    }
  })
}, 120_000)
afterAll(() => threads.stop())

/** All threads run a program, on keys of their own, so many times each. */
function race(program: string, keys: number, repeat: number): Promise<Answer[]> {
  return threads.together((i) => ({ program, packets: packets(i, keys), repeat, way: 'batch' }))
}

test('tail calls go to the same programs in every thread, to the limit', async () => {
  const { maps } = loaded
  expect(sum(await race('chain', 10, 2000))).toEqual({ 7: THREADS * 20_000 })
  expect(maps['counters']!.get(0)).toBe(BigInt(33 * THREADS * 20_000))
})

test('a prog array changes for all threads at once', async () => {
  const { maps, programs } = loaded
  const slots = maps['jumps']!.raw
  // Callbacks take another way than the WebAssembly of the caller.
  expect(sum(await race('choose', 1, 100))).toEqual({ 8: THREADS * 100 })
  expect(maps['counters']!.get(1)).toBe(BigInt(3 * THREADS * 100))
  slots.delete(u32(1))
  expect(sum(await race('choose', 1, 10))).toEqual({ 5: THREADS * 10 })
  const running = race('choose', 1, 20_000)
  for (let i = 0; i < 2000; i++) {
    if (i % 3 === 2) slots.delete(u32(1))
    else slots.setSlot(u32(1), programs[i % 3 === 0 ? 'remember' : 'link']!.raw)
  }
  const verdicts = sum(await running)
  expect(Object.keys(verdicts).filter((verdict) => !['2', '5', '7'].includes(verdict))).toEqual([])
})

test.each([
  ['locked', 'guards', 100_000],
  ['locked_hash', 'guarded_hash', 20_000],
] as const)('bpf_spin_lock lets one thread at a time in: %s', async (program, map, rounds) => {
  const { maps, programs } = loaded
  maps[map]!.set(0, { lock: { val: 0 }, wrong: 0, first: 0n, second: 0n })
  const running = race(program, 10, rounds)
  programs[program]!.runBatch(packets(9, 10), { repeat: rounds })
  expect(sum(await running)).toEqual({ 2: THREADS * 10 * rounds })
  const runs = BigInt((THREADS + 1) * 10 * rounds)
  expect(maps[map]!.get(0)).toMatchObject({ wrong: 0, first: runs, second: runs })
})

test('BPF_F_LOCK reads and writes whole values', async () => {
  const { maps } = loaded
  const { raw } = maps['wide']!
  const running = race('locked_update', 10, 20_000)
  const isOver = running.then(() => true)
  const isNotYet = (): Promise<boolean> => new Promise((resolve) => setTimeout(() => resolve(false)))
  let torn = 0
  do {
    for (let i = 0; i < 1000; i++) {
      const words = new Uint32Array(raw.lookup(u32(0), 4)!.slice().buffer, 4)
      if (words.some((word) => word !== words[0])) torn++
    }
  } while (!(await Promise.race([isOver, isNotYet()])))
  expect(sum(await running)).toEqual({ 2: THREADS * 200_000 })
  expect(torn).toBe(0)
})

test('atomic operations of all kinds lose nothing', async () => {
  const { variables } = loaded
  // The bit of a CPU is on after an odd number of runs.
  expect(sum(await race('toggle', 1, 2_000_001))).toEqual({ 2: THREADS * 2_000_001 })
  expect(variables['bits64']!.get()).toBe(0b1110n << 32n)
  expect(variables['bits32']!.get()).toBe(0b1110)
  expect(sum(await race('exchange', 1, 2_000_000))).toEqual({ 2: THREADS * 2_000_000 })
  const [into, out, left] = ['tokens_in', 'tokens_out', 'token'].map((name) => variables[name]!.get() as bigint)
  expect(out! + left!).toBe(into)
})

test('an LRU hash at capacity keeps keys and values together', async () => {
  const { maps } = loaded
  expect(sum(await race('evict', 250, 30))).toEqual({ 2: THREADS * 250 * 30 })
  const entries = [...maps['lru']!.entries()] as [number, bigint][]
  expect(entries.length).toBeGreaterThan(20)
  expect(entries.length).toBeLessThanOrEqual(50)
  for (const [key, value] of entries) expect(value).toBe(BigInt(key) * 3n)
  for (let key = 0xf000; key < 0xf100; key++) maps['lru']!.set(key, BigInt(key) * 3n)
  expect([...maps['lru']!.entries()]).toHaveLength(50)
})

test('a per-CPU LRU hash at capacity stays whole', async () => {
  const { maps } = loaded
  expect(sum(await race('evict_percpu', 250, 30))).toEqual({ 2: THREADS * 250 * 30 })
  const entries = [...maps['lru_percpu']!.entries()] as [number, bigint[]][]
  expect(entries).toHaveLength(50)
  expect(new Set(entries.map(([key]) => key)).size).toBe(50)
  // Only its own thread counts a key.
  for (const [key, values] of entries) {
    expect(values.map((value, cpu) => value > 0n && cpu !== (key >> 8) + 1)).not.toContain(true)
  }
})

test('a hash without preallocation takes and gives elements, while others walk over it', async () => {
  const { maps, programs } = loaded
  const running = race('grow', 200, 100)
  expect(programs['walk']!.runBatch(packets(9, 10), { repeat: 500 }).counts).toEqual(new Map([[2, 5000]]))
  expect(sum(await running)).toEqual({ 2: THREADS * 200 * 100 })
  expect([...maps['grown']!.entries()]).toEqual([])
  for (let key = 0; key < 64; key++) maps['grown']!.set(key, 1n)
  expect([...maps['grown']!.entries()]).toHaveLength(64)
})

test('a trie finds its longest prefixes while others come and go', async () => {
  const { maps } = loaded
  maps['routes']!.set({ bits: 8, address: [10, 0, 0, 0] }, 8)
  expect(sum(await race('route', 200, 40))).toEqual({ 2: THREADS * 200 * 40 })
  expect([...maps['routes']!.entries()]).toEqual([[{ bits: 8, address: [10, 0, 0, 0] }, 8]])
  const routes = maps['routes']!
  for (let i = 0; i < 63; i++) routes.set({ bits: 32, address: [10, i, 0, i] }, 32)
  expect([...routes.entries()]).toHaveLength(64)
})

test.each(['queue', 'stack'])('what goes through a %s comes out once', async (name) => {
  const { maps, variables } = loaded
  const marks = (map: string): number[] => Array.from(maps[map]!.entries(), ([, times]) => times as number)
  const before = marks('popped')
  expect(marks('pushed')).toEqual(before)
  variables['sequence']!.set(0)
  await race(`pass_${name}`, 1, 5000)
  const popped = marks('popped')
  expect(popped.filter((times, number) => times !== before[number]).length).toBeGreaterThan(THREADS * 1000)
  const { raw } = maps[name]!
  for (let left = raw.lookupAndDelete(NO_KEY); left !== null; left = raw.lookupAndDelete(NO_KEY)) {
    popped[readU32(left)!]!++
  }
  expect(popped).toEqual(marks('pushed'))
  popped.forEach((times, number) => times !== before[number] && maps['popped']!.set(number, times))
})

test('a bloom filter forgets nothing that any thread has added', async () => {
  expect(sum(await race('remember', 250, 4))).toEqual({ 2: THREADS * 250 * 4 })
  const { raw } = loaded.maps['bloom']!
  for (let thread = 0; thread < THREADS; thread++) {
    for (let i = 0; i < 250; i++) expect(raw.lookup(u32((thread << 8) | i))).not.toBeNull()
  }
})

test.each([
  ['inside_array', 'by_index', 0],
  ['inside_hash', 'by_key', 1],
] as const)('maps in maps change under all threads: %s', async (program, outer, slot) => {
  const { maps } = loaded
  for (const name of ['odd', 'even']) maps[name]!.set(0, 0n)
  const running = race(program, 10, 2000)
  for (let i = 0; i < 500; i++) maps[outer]!.raw.setSlot(u32(slot), maps[i % 2 === 0 ? 'odd' : 'even']!.raw)
  expect(sum(await running)).toEqual({ 2: THREADS * 20_000 })
  const counts = ['odd', 'even'].map((name) => maps[name]!.get(0) as bigint)
  expect(counts[0]! + counts[1]!).toBe(BigInt(THREADS * 20_000))
})
