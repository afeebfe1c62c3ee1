import { describe, expect, it } from 'vitest'
import { Btf, BtfBuilder, BtfKind, dumpRaw, encodeBtfExt, parseBtfExt } from '../../../src/btf/index.ts'
import { encodeUtf8 } from '../../../src/bytes/index.ts'
import {
  parseElf,
  relocationsOf,
  SectionType,
  SymbolType,
  writeElf,
  type ElfRelocation,
  type ElfSymbolInput,
} from '../../../src/elf/index.ts'
import { linkObjects, load, openObject, prepare } from '../../../src/loader/index.ts'
import { createVm } from '../../../src/vm/index.ts'
import { loadFixture } from '../../support/fixture.ts'
import { assemble, op } from '../../support/program.ts'
import { thrown } from '../../support/thrown.ts'
import type { Operation } from '../../../src/isa/index.ts'

const CODE = { type: SectionType.PROGBITS, flags: 6, align: 8 } as const
const call = { kind: 'call', call: 'local', imm: -1, off: 0, target: 0 } as const
const [TEXT, DATA] = [1, 2]

/** Parts of a small object: a function in .text, a program in `xdp`, a variable in .data. */
interface Parts {
  readonly license?: string
  readonly text: readonly Operation[]
  readonly data: readonly number[]
  readonly symbols: readonly ElfSymbolInput[]
  readonly relocations?: readonly ElfRelocation[]
  readonly types: (builder: BtfBuilder, int: number) => void
  readonly littleEndian?: boolean
}

function object(parts: Parts): Uint8Array {
  const builder = new BtfBuilder()
  const int = builder.addInt('int', 4, true)
  parts.types(builder, int)
  const line = { insnOffset: 0, fileName: 'a.c', lineText: 'return 0;', line: 3, column: 2 }
  const ext = encodeBtfExt(
    { funcInfo: new Map(), lineInfo: new Map([['.text', [line]]]), coreRelos: new Map() },
    (text) => builder.addString(text),
  )
  const text = assemble(parts.text).toBytes()
  return writeElf({
    littleEndian: parts.littleEndian ?? true,
    sections: [
      { ...CODE, name: '.text', data: text, relocations: parts.relocations ?? [] },
      { name: '.data', type: SectionType.PROGBITS, flags: 3, align: 4, data: Uint8Array.from(parts.data) },
      { name: 'license', type: SectionType.PROGBITS, flags: 3, data: encodeUtf8(parts.license ?? 'GPL\0') },
      { name: '.BTF', type: SectionType.PROGBITS, data: builder.build() },
      { name: '.BTF.ext', type: SectionType.PROGBITS, data: ext },
      { name: '.debug_info', type: SectionType.PROGBITS, data: Uint8Array.of(1, 2, 3) },
    ],
    symbols: parts.symbols,
  })
}

function func(builder: BtfBuilder, name: string, int: number, linkage: 0 | 1 | 2, params: number = 0): void {
  const list = Array.from({ length: params }, (_, i) => ({ name: linkage === 2 ? '' : `p${i}`, type: int }))
  const proto = builder.add({ kind: BtfKind.FUNC_PROTO, returnType: int, params: list })
  builder.add({ kind: BtfKind.FUNC, name, type: proto, linkage })
}

function variable(builder: BtfBuilder, name: string, type: number, linkage: 0 | 1 | 2, section: string): void {
  const id = builder.add({ kind: BtfKind.VAR, name, type, linkage })
  builder.add({ kind: BtfKind.DATASEC, name: section, size: 0, vars: [{ type: id, offset: 0, size: 4 }] })
}

const symbol = (name: string, type: number, section: number, size: number, more: Partial<ElfSymbolInput> = {}) => ({
  name,
  type,
  section,
  size,
  bind: 'global' as const,
  ...more,
})
const extern = (name: string): ElfSymbolInput => symbol(name, SymbolType.NOTYPE, 0, 0)

/** Calls `helper`, which is extern, and has a variable of its own. */
function caller(more: Partial<Parts> = {}): Uint8Array {
  return object({
    text: [call, op.exit],
    data: [7, 0, 0, 0],
    symbols: [symbol('entry', SymbolType.FUNC, TEXT, 16), symbol('own', SymbolType.OBJECT, DATA, 4), extern('helper')],
    relocations: [{ offset: 0, symbol: 3, type: 10, addend: null }],
    types: (builder, int) => {
      func(builder, 'entry', int, 1)
      func(builder, 'helper', int, 2, 1)
      variable(builder, 'own', int, 1, '.data')
    },
    ...more,
  })
}

/** Defines `helper`, and a variable in the same section. */
function library(more: Partial<Parts> = {}): Uint8Array {
  return object({
    text: [op.mov(0, 42), op.exit],
    data: [9, 0, 0, 0],
    symbols: [symbol('helper', SymbolType.FUNC, TEXT, 16), symbol('other', SymbolType.OBJECT, DATA, 4)],
    types: (builder, int) => {
      func(builder, 'helper', int, 1, 1)
      variable(builder, 'other', int, 1, '.data')
    },
    ...more,
  })
}

const link = (...objects: Uint8Array[]): Uint8Array =>
  linkObjects(objects.map((bytes, i) => ({ name: `${i + 1}.o`, bytes })))

function types(bytes: Uint8Array): string {
  return dumpRaw(Btf.parse(parseElf(bytes).sectionByName('.BTF')?.data ?? new Uint8Array(0)))
}

describe('linkObjects', () => {
  it('joins sections and resolves an extern to the definition', () => {
    for (const objects of [
      [caller(), library()],
      [library(), caller()],
    ]) {
      const elf = parseElf(link(...objects))
      const text = elf.sectionByName('.text')
      expect([text?.size, elf.sectionByName('.data')?.size]).toEqual([32, 8])
      const relocations = relocationsOf(elf, text?.index ?? 0)
      const target = elf.symbols[relocations[0]?.symbol ?? 0]
      expect(target).toMatchObject({ name: 'helper', bind: 'global', type: SymbolType.FUNC, section: text?.index })
      expect(elf.symbols.filter(({ name }) => name === 'helper')).toHaveLength(1)
      const at = relocations[0]?.offset ?? -1
      expect(text?.data[at]).toBe(0x85)
      expect(text?.data[target?.value ?? 0]).toBe(0xb7)
    }
  })

  it('keeps each type once, with the definition in place of the declaration', () => {
    const text = types(link(caller(), library()))
    expect(text.match(/ INT 'int'/g)).toHaveLength(1)
    expect(text.match(/FUNC 'helper'.*linkage=global/g)).toHaveLength(1)
    expect(text).toContain("'p0' type_id=1")
    expect(text).toContain("DATASEC '.data' size=8 vlen=2")
    expect(text).toMatch(/offset=4 size=4 \(VAR 'other'\)/)
  })

  it('moves line records, drops debug information, keeps one license', () => {
    const elf = parseElf(link(caller(), library()))
    const btf = Btf.parse(elf.sectionByName('.BTF')?.data ?? new Uint8Array(0))
    const ext = parseBtfExt(elf.sectionByName('.BTF.ext')?.data ?? new Uint8Array(0), btf)
    expect(ext.lineInfo.get('.text')?.map((line) => [line.insnOffset, line.lineText])).toEqual([
      [0, 'return 0;'],
      [16, 'return 0;'],
    ])
    expect(elf.sectionByName('.debug_info')).toBeUndefined()
    expect(elf.sectionByName('license')?.size).toBe(4)
  })

  it('leaves externs that nothing defines', () => {
    const once = link(caller())
    expect(parseElf(once).symbols.find(({ name }) => name === 'helper')?.section).toBe(0)
    expect(types(link(once, library()))).toBe(types(link(caller(), library())))
  })

  it('takes the strong one of two definitions, and the first of weak ones', () => {
    const weak = (value: number): Uint8Array =>
      library({
        text: [op.mov(0, value), op.exit],
        symbols: [symbol('helper', SymbolType.FUNC, TEXT, 16, { bind: 'weak' })],
        types: (builder, int) => func(builder, 'helper', int, 1, 1),
      })
    const value = (...objects: Uint8Array[]): [number | undefined, string | undefined] => {
      const elf = parseElf(link(...objects))
      const helper = elf.symbols.find(({ name }) => name === 'helper')
      return [elf.sectionByName('.text')?.data[(helper?.value ?? 0) + 4], helper?.bind]
    }
    expect(value(weak(1), weak(2))).toEqual([1, 'weak'])
    expect(value(weak(1), library())).toEqual([42, 'global'])
    expect(value(library(), weak(2))).toEqual([42, 'global'])
    const error = thrown(() => link(library(), library()))
    expect([error.code, error.where.file, error.where.symbol]).toEqual(['malformed', '2.o', 'helper'])
  })

  it('keeps the stricter visibility', () => {
    const hidden = caller({
      symbols: [
        symbol('entry', SymbolType.FUNC, TEXT, 16),
        symbol('own', SymbolType.OBJECT, DATA, 4),
        { ...extern('helper'), visibility: 2 },
      ],
    })
    const elf = parseElf(link(library(), hidden))
    expect(elf.symbols.find(({ name }) => name === 'helper')?.visibility).toBe(2)
  })

  it('refuses a definition of another type, and says what differs', () => {
    const wrong = library({
      symbols: [symbol('helper', SymbolType.FUNC, TEXT, 16)],
      types: (builder, int) => func(builder, 'helper', int, 1, 2),
    })
    const error = thrown(() => link(caller(), wrong))
    expect(error.code).toBe('type-mismatch')
    expect(error.message).toContain('has 1 and 2 parameters')
  })

  it('refuses different licenses and byte orders, and symbols without types', () => {
    const license = thrown(() => link(caller(), library({ license: 'MIT\0' })))
    expect([license.code, license.where.section]).toEqual(['type-mismatch', 'license'])
    const big = thrown(() => link(caller(), library({ littleEndian: false })))
    expect([big.code, big.message]).toEqual(['unsupported', 'the object is big-endian, those before are little-endian'])
    expect(thrown(() => link(library({ types: () => undefined }))).code).toBe('not-found')
    expect(thrown(() => linkObjects([])).code).toBe('usage')
  })

  it('moves references to a section as a whole', () => {
    const withStatic = (value: number): Uint8Array =>
      object({
        text: [{ ...call, target: 2 }, op.exit, op.mov(0, value), op.exit],
        data: [],
        symbols: [{ name: '', type: SymbolType.SECTION, section: TEXT, bind: 'local' }],
        relocations: [{ offset: 0, symbol: 1, type: 10, addend: null }],
        types: () => undefined,
      })
    const elf = parseElf(link(withStatic(1), withStatic(2)))
    const text = elf.sectionByName('.text')?.data ?? new Uint8Array(0)
    const view = new DataView(text.buffer, text.byteOffset, text.length)
    // The second object's part starts at slot 4.
    expect([view.getInt32(4, true), view.getInt32(36, true)]).toEqual([1, 5])
    expect(elf.symbols.filter(({ type }) => type === SymbolType.SECTION)).toHaveLength(1)
  })

  it('links objects that then run', async () => {
    const names = ['packet_counter', 'globals', 'subprograms']
    const inputs = await Promise.all(
      names.map(async (name) => ({ name, bytes: await loadFixture(`fixtures/clang19/${name}.bpf.o`) })),
    )
    const linked = openObject(linkObjects(inputs), { name: 'all.bpf.o' })
    for (const { name, bytes } of inputs) {
      const alone = openObject(bytes, { name })
      const prepared = prepare(linked, { kernelBtf: null, withoutBtf: 'local' }).programs
      for (const result of prepare(alone, { kernelBtf: null, withoutBtf: 'local' }).programs) {
        if (!result.ok) throw result.error
        const { spec, lines } = result.program
        const same = prepared.find((other) => other.ok && other.program.spec.name === spec.name)
        if (same?.ok !== true) throw new Error(`${spec.name} was lost`)
        expect(same.program.insns.length).toBe(result.program.insns.length)
        expect(same.program.lines.map(({ insn, text }) => [insn, text])).toEqual(
          lines.map(({ insn, text }) => [insn, text]),
        )
      }
    }
    linked.variables['bias']?.set(100)
    await using live = await load(linked, createVm(), { strict: true })
    live.programs['update']?.run({ data: new Uint8Array(64).fill(3) })
    expect(live.variables['packets']?.get()).toBe(1n)
    expect(live.variables['balance']?.get()).toBe(-5 + 100 + 3)
    expect(live.programs['count_packets']?.run({ data: new Uint8Array(64) }).verdict).toBe('XDP_PASS')
  })
})
