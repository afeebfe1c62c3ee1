import { describe, expect, it } from 'vitest'
import { parseElf, relocationsOf, SectionIndex, SectionType, SymbolType } from '../../src/elf/index.ts'
import { loadFixture } from '../support/fixture.ts'
import { thrown } from '../support/thrown.ts'

/** Asserts that `work` throws a BpfError of that code whose message has that text. */
function expectError(work: () => unknown, code: string, message: RegExp): void {
  const error = thrown(work)
  expect(error.code).toBe(code)
  expect(error.message).toMatch(message)
}

describe('parseElf on objects of clang', () => {
  for (const [build, littleEndian] of [
    ['clang14', true],
    ['clang19', true],
    ['clang19-eb', false],
  ] as const) {
    it(`reads packet_counter of ${build}`, async () => {
      const elf = parseElf(await loadFixture(`fixtures/${build}/packet_counter.bpf.o`), 'packet_counter.bpf.o')
      expect(elf.littleEndian).toBe(littleEndian)
      expect(elf.machine).toBe(247)
      const xdp = elf.sections.find((s) => s.name.startsWith('xdp'))
      expect(xdp?.type).toBe(SectionType.PROGBITS)
      expect((xdp?.size ?? 0) % 8).toBe(0)
      const functions = elf.symbols.filter((s) => s.type === SymbolType.FUNC && s.section === xdp?.index)
      expect(functions.length).toBeGreaterThan(0)
      const relocations = relocationsOf(elf, xdp?.index ?? 0)
      expect(relocations.length).toBeGreaterThan(0)
      for (const relocation of relocations) {
        expect(relocation.offset % 8).toBe(0)
        expect(relocation.addend).toBe(null)
        expect(elf.symbols[relocation.symbol]?.section).not.toBe(SectionIndex.UNDEF)
      }
      expect(elf.sectionByName('license')?.data[0]).toBe('D'.charCodeAt(0))
    })
  }
})

describe('parseElf refuses', () => {
  /** A fixture with some bytes changed: [offset, ...bytes]. */
  async function changed(...edits: readonly (readonly number[])[]): Promise<Uint8Array> {
    const bytes = (await loadFixture('fixtures/clang19/packet_counter.bpf.o')).slice()
    for (const [offset, ...values] of edits) bytes.set(values, offset)
    return bytes
  }

  it('an empty file', () => expectError(() => parseElf(new Uint8Array(0)), 'truncated', /ELF header/))
  it('another magic', async () => {
    const bytes = await changed([0, 0x50])
    expectError(() => parseElf(bytes), 'malformed', /magic/)
  })
  it('32-bit files', async () => {
    const bytes = await changed([4, 1])
    expectError(() => parseElf(bytes), 'unsupported', /class is 1/)
  })
  it('other machines, but reads them when asked to', async () => {
    const bytes = await changed([18, 62, 0])
    expectError(() => parseElf(bytes), 'unsupported', /machine is 62/)
    expect(parseElf(bytes, 'x', { accept: 'any' }).machine).toBe(62)
  })
  it('shared objects', async () => {
    const bytes = await changed([16, 3, 0])
    expectError(() => parseElf(bytes), 'unsupported', /type is 3/)
  })
  it('a section count beyond the file', async () => {
    const bytes = await changed([60, 0xff, 0xfe])
    expectError(() => parseElf(bytes), 'malformed', /section headers at/)
  })
  it('a section beyond the file, without allocating for it', async () => {
    const original = await changed()
    const headers = Number(new DataView(original.buffer).getBigUint64(40, true))
    const bytes = await changed([headers + 64 + 32, 0, 0, 0, 0, 0, 1, 0, 0])
    expectError(() => parseElf(bytes), 'malformed', /outside the file's/)
  })
  it('a size above 2^53', async () => {
    const original = await changed()
    const headers = Number(new DataView(original.buffer).getBigUint64(40, true))
    const bytes = await changed([headers + 64 + 32, 255, 255, 255, 255, 255, 255, 255, 255])
    expectError(() => parseElf(bytes), 'malformed', /absurd/)
  })
  it('sections that overlap', async () => {
    const original = await changed()
    const elf = parseElf(original)
    const headers = Number(new DataView(original.buffer).getBigUint64(40, true))
    const stored = elf.sections.filter((s) => s.data.length > 0).sort((x, y) => x.offset - y.offset)
    const [a, b] = stored
    const edit = [headers + (b?.index ?? 0) * 64 + 24, (a?.offset ?? 0) & 255, (a?.offset ?? 0) >> 8]
    const bytes = await changed(edit)
    expectError(() => parseElf(bytes), 'malformed', /overlaps section/)
  })
})
