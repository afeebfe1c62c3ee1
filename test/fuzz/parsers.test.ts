// Every parser under mutation: any bytes give a value or a BpfError, in bounded time and memory.
// FUZZ_COUNT is the number of inputs a parser gets (npm run fuzz: 100,000), FUZZ_SEED the first seed.
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { fromHex, isBpfError } from '../../src/bytes/index.ts'
import { Btf, dumpC, dumpRaw, parseBtfExt } from '../../src/btf/index.ts'
import { parseElf, relocationsOf } from '../../src/elf/index.ts'
import { buildCfg, decode, functions, InsnBuffer, slotsAt } from '../../src/isa/index.ts'
import { openObject } from '../../src/loader/index.ts'
import { parseCapture } from '../../src/testing/index.ts'
import { mutate, randomNumbers } from '../support/mutate.ts'

const COUNT = Number(process.env['FUZZ_COUNT'] ?? 1500)
const SEED = Number(process.env['FUZZ_SEED'] ?? 1)
/** No single input may take longer, in ms. Far above what any takes, and far below a hang. */
const TIME_LIMIT = 2000
/** Growth of the process over all inputs of one parser, in bytes. */
const MEMORY_LIMIT = 768 << 20

const fixtures = fileURLToPath(new URL('../../fixtures/', import.meta.url))
const objects = ['clang14', 'clang19', 'clang19-eb'].flatMap((folder) => filesOf(folder, '.o'))

function filesOf(folder: string, suffix: string): Uint8Array[] {
  return readdirSync(`${fixtures}${folder}`)
    .filter((name) => name.endsWith(suffix))
    .map((name) => new Uint8Array(readFileSync(`${fixtures}${folder}/${name}`)))
}

/** The contents of all sections of that name (or those with code) in the fixtures. */
function sections(matches: (section: { name: string; flags: number }) => boolean): Uint8Array[] {
  return objects.flatMap((object) =>
    parseElf(object)
      .sections.filter((section) => section.data.length > 0 && matches({ name: section.name, flags: section.flags }))
      .map((section) => section.data.slice()),
  )
}

/** Runs `parse` on mutations of `seeds`; anything thrown but a BpfError fails with the seed that reproduces it. */
function fuzz(seeds: readonly Uint8Array[], parse: (bytes: Uint8Array) => unknown): { values: number; errors: number } {
  let values = 0
  let errors = 0
  let slowest = 0
  const before = process.memoryUsage().rss
  for (let i = 0; i < COUNT; i++) {
    const numbers = randomNumbers(SEED + i * 7919)
    const input = mutate(seeds[numbers.next().value % seeds.length] as Uint8Array, numbers.next().value)
    const started = performance.now()
    try {
      parse(input)
      values++
    } catch (error) {
      if (!isBpfError(error)) {
        throw new Error(`input ${i} of FUZZ_SEED=${SEED} (${input.length} bytes) threw ${String(error)}`, {
          cause: error,
        })
      }
      expect(error.message.length, `an error without a message for input ${i}`).toBeGreaterThan(0)
      errors++
    }
    const took = performance.now() - started
    if (took > TIME_LIMIT) throw new Error(`input ${i} of FUZZ_SEED=${SEED} took ${Math.round(took)} ms`)
    slowest = Math.max(slowest, took)
  }
  const grown = process.memoryUsage().rss - before
  expect(grown, `memory grew by ${grown >> 20} MB`).toBeLessThan(MEMORY_LIMIT)
  if (COUNT >= 100_000) {
    console.log(
      `${COUNT} inputs: ${values} values, ${errors} errors, slowest ${slowest.toFixed(1)} ms, memory +${grown >> 20} MB`,
    )
  }
  return { values, errors }
}

describe(`mutated inputs (${COUNT} each)`, () => {
  const timeout = 60_000 + COUNT * 20

  /** A mutator that only ever makes good, or only bad, inputs tests nothing: both outcomes must occur. */
  function both({ values, errors }: { values: number; errors: number }): void {
    expect(values).toBeGreaterThan(0)
    expect(errors).toBeGreaterThan(0)
  }

  test('ELF', { timeout }, () => {
    both(
      fuzz(objects, (bytes) => {
        const elf = parseElf(bytes)
        for (const section of elf.sections) relocationsOf(elf, section.index)
      }),
    )
  })

  test('whole objects, opened', { timeout }, () => {
    both(
      fuzz(objects, (bytes) => {
        const spec = openObject(bytes)
        for (const variable of Object.values(spec.variables)) variable.get()
      }),
    )
  })

  test('BTF, and its dumps', { timeout }, () => {
    both(
      fuzz(
        sections(({ name }) => name === '.BTF'),
        (bytes) => {
          const btf = Btf.parse(bytes)
          for (let id = 0; id < btf.typeCount; id++) btf.type(id)
          dumpRaw(btf)
          dumpC(btf)
        },
      ),
    )
  })

  test('BTF.ext', { timeout }, () => {
    const pairs = objects.flatMap((object) => {
      const elf = parseElf(object)
      const btf = elf.sectionByName('.BTF')
      const ext = elf.sectionByName('.BTF.ext')
      return btf && ext ? [{ btf: Btf.parse(btf.data.slice()), ext: ext.data.slice() }] : []
    })
    const btfOf = new Map(pairs.map((pair) => [pair.ext.length, pair.btf]))
    both(
      fuzz(
        pairs.map((pair) => pair.ext),
        (bytes) => parseBtfExt(bytes, btfOf.get(bytes.length) ?? (pairs[0]?.btf as Btf)),
      ),
    )
  })

  test('instructions: decoding, functions, control flow', { timeout }, () => {
    both(
      fuzz(
        sections(({ flags }) => (flags & 4) !== 0),
        (bytes) => {
          const insns = InsnBuffer.fromBytes(bytes)
          for (let at = 0; at < insns.length; at += slotsAt(insns, at)) decode(insns, at)
          for (const { start, end } of functions(insns)) buildCfg(insns, start, end)
        },
      ),
    )
  })

  test('pcap and pcapng', { timeout }, () => {
    both(fuzz(filesOf('packets', '.pcap'), (bytes) => parseCapture(bytes)))
  })

  test('hex', { timeout }, () => {
    const { errors } = fuzz(filesOf('packets', '.hex'), (bytes) => fromHex(new TextDecoder().decode(bytes)))
    expect(errors).toBeGreaterThan(0)
  })
})
