import { describe, expect, it } from 'vitest'
import { Writer } from '../../src/bytes/index.ts'
import {
  SectionFlag,
  SectionType,
  SymbolType,
  writeElf,
  type ElfInput,
  type ElfRelocation,
} from '../../src/elf/index.ts'
import type { Operation } from '../../src/isa/index.ts'
import { load, openObject, prepare, type ObjectSpec, type PreparedProgram } from '../../src/loader/index.ts'
import { MapType, ProgType } from '../../src/uapi/index.ts'
import { createVm } from '../../src/vm/index.ts'
import { assemble, op } from '../support/program.ts'
import { thrown } from '../support/thrown.ts'

const CODE = { type: SectionType.PROGBITS, flags: SectionFlag.ALLOC | SectionFlag.EXECINSTR, align: 8 } as const
const DATA = { type: SectionType.PROGBITS, flags: SectionFlag.ALLOC | SectionFlag.WRITE, align: 8 } as const
const { FUNC, OBJECT, SECTION, NOTYPE } = SymbolType

const callback = { kind: 'loadImm64', dst: 2, pseudo: 0, low: 0, high: 0 } as const
/** A call of a function of the object, as compilers leave it for the symbol itself. */
const call = -1

/** Bytes of instructions; a number is a call of a function of the object with that immediate. */
function code(...operations: readonly (Operation | number)[]): Uint8Array {
  const insns = assemble(operations.map((item) => (typeof item === 'number' ? op.helper(item) : item)))
  let at = 0
  for (const item of operations) {
    if (typeof item === 'number') insns.src[at] = 1
    at += typeof item !== 'number' && item.kind === 'loadImm64' ? 2 : 1
  }
  return insns.toBytes()
}

function rel(offset: number, symbol: number, addend: number | null = null, type: number = 1): ElfRelocation {
  return { offset, symbol, type, addend }
}

function words(...values: number[]): Uint8Array {
  const writer = new Writer()
  for (const value of values) writer.u32(value)
  return writer.bytes()
}

function open(input: ElfInput): ObjectSpec {
  return openObject(writeElf(input), { name: 'made.bpf.o' })
}

function prepared(spec: ObjectSpec, name: string): PreparedProgram {
  const [result] = prepare(spec, { kernelBtf: null, programs: [name] }).programs
  if (result?.ok !== true) throw result?.error ?? new Error('no program')
  return result.program
}

describe('relocations', () => {
  it('links calls between sections, by symbol and by section, with and without addends in the entry', () => {
    const text = code(op.mov(0, 1), op.exit, op.mov(0, 2), op.exit)
    for (const withAddend of [false, true]) {
      const relocations = [rel(0, 2, withAddend ? 0 : null, 10), rel(8, 3, withAddend ? 16 : null, 10)]
      // Against a section the target is in the immediate: slot 2 is imm 1, counted from the next instruction.
      const xdp = code(call, withAddend ? -1 : 1, op.exit)
      const spec = open({
        sections: [
          { name: 'xdp', ...CODE, data: xdp, relocations },
          { name: '.text', ...CODE, data: text },
        ],
        symbols: [
          { name: 'main', section: 1, size: 24, type: FUNC },
          { name: 'first', section: 2, size: 16, type: FUNC },
          { name: '', section: 2, type: SECTION, bind: 'local' },
          { name: 'second', section: 2, value: 16, size: 16, type: FUNC, bind: 'local' },
        ],
      })
      const { insns, functions } = prepared(spec, 'main')
      expect(functions.map((fn) => [fn.name, fn.start])).toEqual([
        ['main', 0],
        ['first', 3],
        ['second', 5],
      ])
      expect([insns.imm[0], insns.imm[1]]).toEqual([2, 3])
    }
  })

  it('follows chains of calls depth first, and callbacks', () => {
    // main calls b then a; b calls c and has a as callback.
    const text = code(op.exit, callback, call, op.exit, op.exit)
    const spec = open({
      sections: [
        {
          name: 'tc',
          ...CODE,
          data: code(call, call, op.exit),
          relocations: [rel(0, 3, null, 10), rel(8, 2, null, 10)],
        },
        { name: '.text', ...CODE, data: text, relocations: [rel(8, 2), rel(24, 4, null, 10)] },
      ],
      symbols: [
        { name: 'main', section: 1, size: 24, type: FUNC },
        { name: 'a', section: 2, value: 0, size: 8, type: FUNC },
        { name: 'b', section: 2, value: 8, size: 32, type: FUNC },
        { name: 'c', section: 2, value: 40, size: 8, type: FUNC, bind: 'weak' },
      ],
    })
    const { insns, functions } = prepared(spec, 'main')
    expect(functions.map((fn) => `${fn.name}@${fn.start}`)).toEqual(['main@0', 'b@3', 'a@7', 'c@8'])
    expect([insns.src[3], insns.imm[3]]).toEqual([4, 3])
  })

  it('keeps what is wrong with one function from the others', () => {
    const spec = open({
      sections: [
        {
          name: 'socket',
          ...CODE,
          data: code(callback, op.exit, op.number(1, 0, 0), op.exit, op.mov(0, 0), op.exit, call, op.exit),
          relocations: [rel(0, 6), rel(24, 5), rel(48, 4, null, 10), rel(64, 7, null, 10)],
        },
        { name: 'custom', ...DATA, data: words(1) },
        { name: '.jumptables', ...DATA, data: words(0, 0) },
      ],
      symbols: [
        { name: 'uses_extern', section: 1, value: 0, size: 24, type: FUNC },
        { name: 'uses_section', section: 1, value: 24, size: 24, type: FUNC },
        { name: 'good', section: 1, value: 48, size: 16, type: FUNC },
        { name: 'calls_extern', section: 1, value: 64, size: 16, type: FUNC },
        { name: 'variable', section: 2, size: 4, type: OBJECT },
        { name: 'unknown', section: 0, type: NOTYPE },
        { name: 'elsewhere', section: 0, type: NOTYPE },
      ],
    })
    const messages = Object.fromEntries([...spec.problems].map(([i, e]) => [spec.functions[i]?.name, e.message]))
    expect(messages['uses_extern']).toMatch(/'unknown' has no BTF/)
    expect(messages['uses_section']).toMatch(/section 'custom', which is not loaded/)
    expect(messages['good']).toMatch(/code 0xb7: not a call or ld_imm64/)
    expect(messages['calls_extern']).toMatch(/'elsewhere' has no BTF/)
    const result = prepare(spec, { kernelBtf: null }).programs
    expect(result.map((r) => r.ok)).toEqual([false, false, false, false])
  })

  it('refuses calls to where no function starts', () => {
    const input = (imm: number): ElfInput => ({
      sections: [{ name: 'xdp', ...CODE, data: code(imm, op.exit, op.mov(0, 0), op.exit) }],
      symbols: [
        { name: 'main', section: 1, size: 16, type: FUNC },
        { name: 'sub', section: 1, value: 16, size: 16, type: FUNC },
      ],
    })
    expect(prepared(open(input(1)), 'main').functions).toHaveLength(2)
    expect([...open(input(2)).problems.values()].map((e) => e.message)).toEqual([
      expect.stringMatching(/calls slot 3 of its section, where no function starts/),
    ])
    expect(open(input(1000)).problems.size).toBe(1)
  })
})

describe('functions', () => {
  it('keeps a program of an unknown section, which loads once it has a type', async () => {
    const spec = open({
      sections: [{ name: 'nonsense', ...CODE, data: code(op.mov(0, 2), op.exit) }],
      symbols: [{ name: 'main', section: 1, size: 16, type: FUNC }],
    })
    // Without a section for it the license is none, which is not GPL-compatible.
    expect(spec.license).toBe('')
    const { report } = await load(spec, createVm())
    expect(report.programs[0]?.error).toMatchObject({ code: 'unsupported' })
    expect(report.programs[0]?.error?.message).toContain("section 'nonsense' says no program type")
    const program = spec.programs['main']
    if (program !== undefined) program.type = ProgType.XDP
    await using live = await load(spec, createVm())
    expect(live.programs['main']?.run({ data: new Uint8Array(64) }).verdict).toBe('XDP_PASS')
  })

  it('takes a section without symbols as one program', () => {
    const spec = open({ sections: [{ name: 'socket', ...CODE, data: code(op.mov(0, 0), op.exit) }] })
    expect(Object.keys(spec.programs)).toEqual(['socket'])
    expect(spec.functions[0]?.insns.length).toBe(2)
  })

  it('takes a single function of .text as a program', () => {
    const spec = open({
      sections: [{ name: '.text', ...CODE, data: code(op.exit) }],
      symbols: [{ name: 'lonely', section: 1, size: 8, type: FUNC }],
    })
    expect(spec.programs['lonely']).toMatchObject({ section: '.text', type: 0 })
  })

  it('refuses functions that lie outside of their section', () => {
    const input = (value: number, size: number): ElfInput => ({
      sections: [{ name: 'xdp', ...CODE, data: code(op.mov(0, 0), op.exit) }],
      symbols: [{ name: 'f', section: 1, value, size, type: FUNC }],
    })
    for (const [value, size] of [
      [8, 16],
      [4, 8],
      [0, 12],
      [16, 0],
      [1 << 20, 8],
    ] as const) {
      expect(thrown(() => open(input(value, size))).code).toBe('malformed')
    }
  })

  it('bounds how often symbols may cover the same code', () => {
    const symbols = Array.from({ length: 50 }, (_, i) => ({ name: `f${i}`, section: 1, size: 16, type: FUNC }))
    const input = { sections: [{ name: 'xdp', ...CODE, data: code(op.mov(0, 0), op.exit) }], symbols }
    expect(thrown(() => open(input)).code).toBe('limit')
  })
})

describe('legacy maps', () => {
  const definition = (extra: readonly number[]): Uint8Array => words(MapType.HASH, 4, 8, 100, 1, ...extra)
  const input = (name: string, data: Uint8Array, symbolNames: readonly string[]): ElfInput => ({
    sections: [{ name, ...DATA, data }],
    symbols: symbolNames.map((symbol, i) => ({
      name: symbol,
      section: 1,
      value: (i * data.length) / symbolNames.length,
      type: NOTYPE,
    })),
  })

  it('reads definitions of all sizes', () => {
    const shortest = open(input('maps', words(MapType.ARRAY, 4, 8, 2), ['m']))
    expect(shortest.maps['m']).toMatchObject({ type: MapType.ARRAY, keySize: 4, valueSize: 8, maxEntries: 2, flags: 0 })
    // iproute2: id, pinning (2 is by name in the global namespace), inner_id, inner_idx.
    const iproute2 = open(input('maps', definition([7, 2, 0, 0]), ['pinned']))
    expect(iproute2.maps['pinned']).toMatchObject({ type: MapType.HASH, flags: 1, pinning: 'by-name' })
    const older = open(input('maps', definition([7, 0]), ['plain']))
    expect(older.maps['plain']).toMatchObject({ maxEntries: 100, pinning: 'none' })
  })

  it('takes names from symbols, or from the section', () => {
    const two = new Writer().write(definition([])).write(definition([])).bytes()
    expect(Object.keys(open(input('maps', two, ['a', 'b'])).maps)).toEqual(['a', 'b'])
    expect(Object.keys(open(input('maps/events', definition([]), [])).maps)).toEqual(['events'])
    expect(thrown(() => open(input('maps', two, ['a', 'a']))).message).toMatch(/two maps called 'a'/)
    expect(thrown(() => open(input('maps', words(1, 2), ['a']))).code).toBe('malformed')
  })

  it('finds inner maps by iproute2 ids', () => {
    const outer = words(MapType.ARRAY_OF_MAPS, 4, 4, 10, 0, 1, 0, 9, 0)
    const inner = words(MapType.ARRAY, 4, 8, 3, 0, 9, 0, 0, 0)
    const data = new Writer().write(outer).write(inner).bytes()
    const spec = open(input('maps', data, ['outer', 'inner']))
    expect(spec.maps['outer']?.inner).toMatchObject({ name: 'inner', maxEntries: 3 })
  })

  it('refers to data by section and offset', () => {
    const spec = open({
      sections: [
        { name: 'xdp', ...CODE, data: code(op.number(1, 12, 0), op.exit), relocations: [rel(0, 2)] },
        { name: '.bss', type: SectionType.NOBITS, flags: 3, size: 64 },
      ],
      symbols: [
        { name: 'main', section: 1, size: 24, type: FUNC },
        { name: '', section: 2, type: SECTION, bind: 'local' },
        { name: 'counter', section: 2, value: 8, size: 4, type: OBJECT },
      ],
    })
    expect(prepared(spec, 'main').lateReferences).toEqual([{ kind: 'mapValue', insn: 0, map: '.bss', offset: 12 }])
    // Without BTF variables come from the symbols, as bytes.
    spec.variables['counter']?.set(Uint8Array.of(1, 2, 3, 4))
    expect(spec.variables['counter']?.get()).toEqual(Uint8Array.of(1, 2, 3, 4))
    expect(spec.maps['.bss']?.contents?.[8]).toBe(1)
    expect(thrown(() => spec.variables['counter']?.set(5)).code).toBe('type-mismatch')
  })
})
