import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  parseElf,
  relocationsOf,
  SectionType,
  writeElf,
  type ElfInput,
  type ElfRelocation,
} from '../../src/elf/index.ts'
import { loadFixture } from '../support/fixture.ts'

const name = fc.string({ maxLength: 12, unit: 'grapheme' }).map((s) => s.replaceAll('\0', ''))

const input: fc.Arbitrary<ElfInput> = fc
  .record({
    littleEndian: fc.boolean(),
    flags: fc.nat(4),
    sections: fc.array(
      fc.record({
        name,
        type: fc.constantFrom(SectionType.PROGBITS, SectionType.NOTE),
        flags: fc.nat(7),
        data: fc.uint8Array({ maxLength: 40 }),
        align: fc.constantFrom(1, 4, 8),
      }),
      { maxLength: 5 },
    ),
    symbolShapes: fc.array(
      fc.record({
        name,
        value: fc.nat(),
        size: fc.nat(),
        bind: fc.constantFrom('local' as const, 'global' as const, 'weak' as const),
        type: fc.constantFrom(0, 1, 2, 3),
        visibility: fc.nat(3),
        place: fc.nat(),
      }),
      { maxLength: 6 },
    ),
    relocationShapes: fc.array(
      fc.record({ offset: fc.nat(), symbol: fc.nat(), addend: fc.integer(), section: fc.nat() }),
    ),
    withAddend: fc.boolean(),
  })
  .map(({ symbolShapes, relocationShapes, withAddend, sections, ...rest }) => ({
    ...rest,
    symbols: symbolShapes.map(({ place, ...symbol }) => ({ ...symbol, section: place % (sections.length + 1) })),
    sections: sections.map((section, i) => ({
      ...section,
      relocations: relocationShapes
        .filter((r) => r.section % Math.max(1, sections.length) === i && section.data.length > 0)
        .map((r): ElfRelocation => ({
          offset: r.offset % section.data.length,
          symbol: r.symbol % (symbolShapes.length + 1),
          type: 10,
          addend: withAddend ? r.addend : null,
        })),
    })),
  }))

describe('writeElf', () => {
  it('gives back what was written', () => {
    fc.assert(
      fc.property(input, (written) => {
        const elf = parseElf(writeElf(written))
        expect(elf.littleEndian).toBe(written.littleEndian)
        expect(elf.flags).toBe(written.flags)
        const order = [...(written.symbols ?? []).entries()].sort(
          ([, a], [, b]) => Number(a.bind !== 'local') - Number(b.bind !== 'local'),
        )
        expect(elf.symbols.slice(1)).toMatchObject(order.map(([, symbol]) => symbol))
        written.sections.forEach((section, i) => {
          const parsed = elf.sections[i + 1]
          expect(parsed).toMatchObject({ name: section.name, type: section.type, flags: section.flags })
          expect([...(parsed?.data ?? [])]).toEqual([...(section.data ?? [])])
          const relocations = relocationsOf(elf, i + 1).map((r) => ({
            ...r,
            symbol: r.symbol === 0 ? 0 : (order[r.symbol - 1]?.[0] ?? -2) + 1,
          }))
          expect(relocations).toEqual(section.relocations)
        })
      }),
      { numRuns: 300 },
    )
  })

  it('keeps NOBITS sizes without contents', () => {
    const elf = parseElf(writeElf({ sections: [{ name: '.bss', type: SectionType.NOBITS, size: 1 << 20 }] }))
    expect(elf.sectionByName('.bss')).toMatchObject({ size: 1 << 20, data: new Uint8Array(0) })
  })

  it('rewrites an object of clang with the same contents', async () => {
    for (const build of ['clang14', 'clang19', 'clang19-eb']) {
      const elf = parseElf(await loadFixture(`fixtures/${build}/load_balancer.bpf.o`))
      const kept = elf.sections.filter((s) => s.index > 0 && s.type === SectionType.PROGBITS)
      const newIndex = new Map(kept.map((section, i) => [section.index, i + 1]))
      const symbols = elf.symbols.slice(1).map((s) => ({ ...s, section: newIndex.get(s.section) ?? 0 }))
      const sections = kept.map((s) => ({ ...s, relocations: relocationsOf(elf, s.index) }))
      const copy = parseElf(writeElf({ littleEndian: elf.littleEndian, sections, symbols }))
      for (const section of kept) {
        const other = copy.sections[newIndex.get(section.index) ?? 0]
        expect(other?.name).toBe(section.name)
        expect(other?.data).toEqual(section.data)
        expect(relocationsOf(copy, other?.index ?? 0).map((r) => copy.symbols[r.symbol]?.name)).toEqual(
          relocationsOf(elf, section.index).map((r) => elf.symbols[r.symbol]?.name),
        )
      }
    }
  })
})
