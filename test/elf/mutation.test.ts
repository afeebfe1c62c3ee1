import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isBpfError } from '../../src/errors.ts'
import { parseElf, relocationsOf } from '../../src/elf/index.ts'
import { loadFixture } from '../support/fixture.ts'
import { mutate, mutationRuns } from '../support/mutate.ts'

describe('parseElf on damaged objects', () => {
  it('gives a file or a BpfError', async () => {
    const originals = [
      await loadFixture('fixtures/clang14/packet_counter.bpf.o'),
      await loadFixture('fixtures/clang19-eb/map_in_map.bpf.o'),
    ]
    let parsed = 0
    fc.assert(
      fc.property(fc.nat(originals.length - 1), fc.nat(), (index, seed) => {
        const bytes = mutate(originals[index] as Uint8Array, seed)
        try {
          const elf = parseElf(bytes)
          for (const section of elf.sections) relocationsOf(elf, section.index)
          parsed++
        } catch (error) {
          if (!isBpfError(error)) throw error
          expect(error.message).not.toBe('')
        }
      }),
      { numRuns: mutationRuns(2000) },
    )
    // The mutator must not only make files that fail at once.
    expect(parsed).toBeGreaterThan(0)
  })
})
