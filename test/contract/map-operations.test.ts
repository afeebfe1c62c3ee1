import { afterAll, describe, expect, test } from 'vitest'
import { openKernelBackend } from '../../src/kernel/index.ts'
import { load, openObject, type Backend, type LoadedObject } from '../../src/loader/index.ts'
import { createVm } from '../../src/vm/index.ts'
import { loadFixture } from '../support/fixture.ts'
import { kernelTestsRun } from '../support/kernel.ts'
import { OPS, OWN_RESULTS, comparable, contentsFor, operations, performed } from './map-operations.mjs'
import { ArrayModel, HashModel, QueueModel, TrieModel, type MapModel } from './map-model.ts'

const kernelRuns = await kernelTestsRun()
/** The kernel runs programs on whatever CPU this process is on; the oracle stays on one. */
const PER_CPU = /percpu/
/** `npm run oracle` does more. */
const RUNS = 60

const hash = (max: number): MapModel => new HashModel(max, ({ key }) => `key ${key}`)
/** Of what has a simple one. */
const MODELS: Readonly<Record<string, () => MapModel>> = {
  run_hash4: () => hash(40),
  run_hash7: () => hash(40),
  run_hash8: () => hash(40),
  run_hash16: () => hash(40),
  run_hash40: () => hash(200),
  run_hash_alloc: () => hash(40),
  run_percpu_hash: () => hash(40),
  run_percpu_alloc: () => hash(40),
  run_lru: () => hash(8192),
  run_percpu_lru: () => hash(8192),
  run_array: () => new ArrayModel(40),
  run_percpu_array: () => new ArrayModel(40),
  run_trie4: () => new TrieModel(60, 4),
  run_trie5: () => new TrieModel(60, 5),
  run_trie8: () => new TrieModel(60, 8),
  run_trie16: () => new TrieModel(60, 16),
  run_trie20: () => new TrieModel(60, 20),
  run_queue: () => new QueueModel(5, false),
  run_stack: () => new QueueModel(5, true),
}
const OTHERS = [
  'run_small_lru',
  'run_small_percpu_lru',
  'run_locked_hash',
  'run_locked_alloc',
  'run_locked_array',
  'run_cpus',
  'run_hashes',
  'run_arrays',
  'run_bloom',
  'run_rings',
]

async function loaded(backend: Backend): Promise<LoadedObject> {
  return load(openObject(await loadFixture('test/contract/objects/map_operations.bpf.o')), backend, {})
}

describe('random operations on maps by programs', async () => {
  const backends: Backend[] = [createVm({ verify: false }), createVm({ verify: false, jit: false })]
  if (kernelRuns) backends.push(openKernelBackend())
  const [jit, interpreter, kernel] = await Promise.all(backends.map(loaded))
  afterAll(() => backends.forEach((backend) => backend.close()))

  test.each([...Object.keys(MODELS), ...OTHERS])('%s', (program) => {
    const model = MODELS[program]?.()
    for (let seed = 1; seed <= RUNS; seed++) {
      const packet = operations(seed)
      const mine = performed(jit!, program, packet)
      expect(mine, `run ${seed}`).toEqual(performed(interpreter!, program, packet))
      expect(contentsFor(jit!, program)).toEqual(contentsFor(interpreter!, program))
      if (model !== undefined) {
        for (let i = 0; i < OPS; i++) {
          const [what, key, value, prefix] = packet.subarray(i * 4) as unknown as [number, number, number, number]
          const operation = { what, key, value, prefix }
          const expected = model.perform(operation)
          if (expected !== null) expect(mine.results[i], `run ${seed}, ${JSON.stringify(operation)}`).toBe(expected)
        }
      }
      if (kernel !== undefined && !OWN_RESULTS.has(program) && !PER_CPU.test(program)) {
        const theirs = performed(kernel, program, packet)
        expect(comparable(program, packet, mine.results)).toEqual(comparable(program, packet, theirs.results))
        expect(mine.records).toEqual(theirs.records)
      }
    }
  })
})
