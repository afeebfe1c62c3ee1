import { describe, expect, it } from 'vitest'
import { Writer } from '../../src/bytes/index.ts'
import { SectionFlag, SectionType, SymbolType, writeElf } from '../../src/elf/index.ts'
import { openKernelBackend } from '../../src/kernel/index.ts'
import { load, openObject, type ObjectSpec } from '../../src/loader/index.ts'
import { MapFlag, MapType } from '../../src/uapi/index.ts'
import { kernelTestsRun } from '../support/kernel.ts'
import { assemble, op } from '../support/program.ts'
import { thrown } from '../support/thrown.ts'

const CODE = { type: SectionType.PROGBITS, flags: SectionFlag.ALLOC | SectionFlag.EXECINSTR, align: 8 } as const
const DATA = { type: SectionType.PROGBITS, flags: SectionFlag.ALLOC | SectionFlag.WRITE, align: 8 } as const
const { FUNC, OBJECT, SECTION } = SymbolType

/** `int seven = 7; int second = 1234567` in an arena of some pages, and a program that returns `second`. */
function object(pages: number, arenas: number = 1): ObjectSpec {
  const definition = new Writer()
  for (let i = 0; i < arenas; i++)
    for (const word of [MapType.ARENA, 0, 0, pages, MapFlag.MMAPABLE]) definition.u32(word)
  const code = assemble([
    op.number(1, 4, 0),
    { kind: 'addrSpaceCast', dst: 1, src: 1, from: 1, to: 0 },
    { kind: 'load', size: 4, signed: false, dst: 0, src: 1, off: 0 },
    op.exit,
  ])
  const bytes = writeElf({
    sections: [
      {
        name: 'syscall',
        ...CODE,
        data: code.toBytes(),
        relocations: [{ offset: 0, symbol: 2, type: 1, addend: null }],
      },
      { name: '.addr_space.1', ...DATA, data: new Writer().u32(7).u32(1234567).bytes() },
      { name: 'maps', ...DATA, data: definition.bytes() },
      { name: 'license', ...DATA, data: Uint8Array.of(0x47, 0x50, 0x4c, 0) },
    ],
    symbols: [
      { name: 'main', section: 1, size: code.length * 8, type: FUNC },
      { name: '', section: 2, type: SECTION, bind: 'local' },
      { name: 'seven', section: 2, value: 0, size: 4, type: OBJECT },
      { name: 'second', section: 2, value: 4, size: 4, type: OBJECT },
      ...Array.from({ length: arenas }, (_, i) => ({
        name: `arena${i}`,
        section: 3,
        value: i * 20,
        size: 20,
        type: OBJECT,
      })),
    ],
  })
  return openObject(bytes, { name: 'arena.bpf.o' })
}

describe('arena variables', () => {
  it('are contents of the one arena, which must hold them', () => {
    const spec = object(4)
    expect(spec.variables['second']).toMatchObject({ map: 'arena0', offset: 4, size: 4 })
    expect(spec.variables['second']?.get()).toEqual(Uint8Array.from([0x87, 0xd6, 0x12, 0]))
    expect(thrown(() => object(0)).message).toMatch(/8 bytes, which 0 pages of map 'arena0' do not hold/)
    expect(thrown(() => object(4, 2)).message).toMatch(/needs one arena map, the object has 2/)
  })
})

describe.runIf(await kernelTestsRun())('arena variables in the kernel', () => {
  it.each([
    ['where the kernel likes', 0n],
    ['at a fixed address', 0x1_0000_0000_0000n / 4n],
  ])('are there when a program looks: %s', async (_, mapExtra) => {
    const backend = openKernelBackend()
    const spec = object(4)
    const arena = spec.maps['arena0']
    if (arena !== undefined) arena.mapExtra = mapExtra
    await using first = await load(spec, backend, { strict: true })
    expect(first.programs['main']?.run({}).retval).toBe(1234567)
    first.close()
    spec.variables['second']?.set(Uint8Array.of(9, 0, 0, 0))
    await using second = await load(spec, backend, { strict: true })
    expect(second.programs['main']?.run({}).retval).toBe(9)
  })
})
