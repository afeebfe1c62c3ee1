// Damaged objects in the vm: whatever they hold, loading gives a report, its refusals are BpfErrors, verification ends,
// and what the verifier takes runs without a trap. FUZZ_COUNT and FUZZ_SEED as in parsers.test.ts.
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { isBpfError } from '../../src/bytes/index.ts'
import { parseElf } from '../../src/elf/index.ts'
import { load, openObject, type LoadedObject } from '../../src/loader/index.ts'
import { createVm } from '../../src/vm/index.ts'
import { mutate, randomNumbers } from '../support/mutate.ts'

const COUNT = Math.ceil(Number(process.env['FUZZ_COUNT'] ?? 1500) / 5)
const SEED = Number(process.env['FUZZ_SEED'] ?? 1)
/** ms for one object: the verifier's million instructions take a second or two of it for each program. */
const TIME_LIMIT = 20_000
/** Backward jumps and calls of a run. */
const FUEL = 10_000
const OBJECTS_PER_VM = 100
const CODE = 4

const fixtures = fileURLToPath(new URL('../../fixtures/', import.meta.url))
const objects = ['clang14', 'clang19'].flatMap((folder) =>
  readdirSync(`${fixtures}${folder}`)
    .filter((name) => name.endsWith('.bpf.o'))
    .map((name) => ({ name, bytes: new Uint8Array(readFileSync(`${fixtures}${folder}/${name}`)) })),
)

/** The object with damage in one section: code three times out of four, else anything. */
function damage(original: Uint8Array, numbers: Iterator<number, never>): Uint8Array {
  const bytes = original.slice()
  const sections = parseElf(bytes).sections.filter(({ data }) => data.length > 8)
  const code = sections.filter(({ flags }) => (flags & CODE) !== 0)
  const from = numbers.next().value % 4 > 0 && code.length > 0 ? code : sections
  const { data } = from[numbers.next().value % from.length] as { data: Uint8Array }
  const damaged = mutate(data, numbers.next().value)
  data.set(damaged.subarray(0, data.length))
  return bytes
}

test(`damaged objects, loaded, verified and run (${COUNT})`, { timeout: 120_000 + COUNT * 100 }, async () => {
  let taken = 0
  let refused = 0
  let vm = createVm()
  for (let i = 0; i < COUNT; i++) {
    if (i % OBJECTS_PER_VM === 0) {
      vm.close()
      vm = createVm({ fuel: FUEL, memoryLimit: 256 << 20 })
    }
    const numbers = randomNumbers(SEED + i * 7919)
    const { name, bytes } = objects[numbers.next().value % objects.length] as (typeof objects)[number]
    const input = `input ${i} of FUZZ_SEED=${SEED} (${name})`
    const started = performance.now()
    let live: LoadedObject
    try {
      live = await load(openObject(damage(bytes, numbers), { name }), vm)
    } catch (error) {
      if (!isBpfError(error)) throw new Error(`${input} threw ${String(error)}`, { cause: error })
      refused++
      continue
    }
    for (const { name: program, status, error } of live.report.programs) {
      if (status === 'failed') {
        if (!isBpfError(error)) throw new Error(`${input}, ${program}: ${String(error)}`, { cause: error })
        refused++
      }
      if (status !== 'loaded') continue
      taken++
      try {
        live.programs[program]?.run({ data: new Uint8Array(64).fill(i) })
      } catch (error) {
        if (!isBpfError(error)) throw new Error(`${input}, ${program} threw ${String(error)}`, { cause: error })
        const isBudget = error.code === 'trap' && /fuel|budget/.test(error.message)
        if (error.code === 'trap' && !isBudget)
          throw new Error(`${input}, ${program}: ${error.message}`, { cause: error })
      }
    }
    live.close()
    const took = performance.now() - started
    if (took > TIME_LIMIT) throw new Error(`${input} took ${Math.round(took)} ms`)
  }
  vm.close()
  expect(taken).toBeGreaterThan(0)
  expect(refused).toBeGreaterThan(0)
})
