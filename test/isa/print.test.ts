import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseElf, SectionFlag, SectionType, SymbolType, type ElfFile, type ElfSection } from '../../src/elf/index.ts'
import { bpftoolNames, InsnBuffer, kernelLines, llvmLines, printKernel, printLlvm } from '../../src/isa/index.ts'
import { loadFixture, loadText } from '../support/fixture.ts'

const OBJECTS = [
  'clang14/packet_counter',
  'clang19/packet_counter',
  'clang19/alu_v4',
  'clang19/atomics',
  'clang19/core_kinds',
  'clang19/execsnoop',
  'clang19/externs',
  'clang19/load_balancer',
  'clang19/subprograms',
  'clang19/tail_calls',
  'clang19-eb/alu_v4',
]

const blessing = typeof process !== 'undefined' && process.env?.['BLESS'] === '1'

function codeOf(elf: ElfFile): ElfSection[] {
  return elf.sections.filter(
    (s) => s.type === SectionType.PROGBITS && (s.flags & SectionFlag.EXECINSTR) !== 0 && s.size > 0,
  )
}

const insnsOf = (elf: ElfFile, section: ElfSection): InsnBuffer =>
  InsnBuffer.fromBytes(section.data, { littleEndian: elf.littleEndian })

function llvmText(elf: ElfFile, alu32: boolean): string {
  return codeOf(elf)
    .map((section) => {
      const symbols = elf.symbols.filter(
        (s) => s.section === section.index && s.type !== SymbolType.SECTION && s.type !== SymbolType.FILE,
      )
      const lines = llvmLines(insnsOf(elf, section), { name: section.name, symbols, alu32 })
      return [`Disassembly of section ${section.name}:`, ...lines].join('\n')
    })
    .join('\n\n')
}

describe.each(OBJECTS)('%s', (name) => {
  const golden = `test/isa/golden/${name.replace('/', '-')}`

  test.each([
    ['llvm', null],
    ['llvm-v4', 'v4'],
  ])('prints what llvm-objdump prints: %s', async (kind, cpu) => {
    const object = `fixtures/${name}.bpf.o`
    if (blessing) {
      const tools = await import('./bless.ts')
      tools.bless(`${golden}.${kind}.txt`, tools.llvmText(object, cpu))
    }
    const elf = parseElf(await loadFixture(object), name)
    expect(`${llvmText(elf, cpu !== null)}\n`).toBe(await loadText(`${golden}.${kind}.txt`))
  })

  test('prints what the kernel prints', async () => {
    const elf = parseElf(await loadFixture(`fixtures/${name}.bpf.o`), name)
    const code = codeOf(elf)
    const head = (section: ElfSection): string => `section ${section.name}:\n`
    if (blessing) {
      const tools = await import('./bless.ts')
      const texts = tools.kernelTexts(code.map((section) => insnsOf(elf, section).toBytes()))
      tools.bless(`${golden}.kernel.txt`, code.map((section, i) => head(section) + texts[i]).join(''))
    }
    const text = code.map(
      (section) => `${head(section)}${kernelLines(insnsOf(elf, section), bpftoolNames()).join('\n')}\n`,
    )
    expect(text.join('')).toBe(await loadText(`${golden}.kernel.txt`))
  })
})

describe('any bytes', () => {
  test('have a line in both syntaxes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 8, maxLength: 24 }), (bytes) => {
        const insns = InsnBuffer.fromBytes(bytes.slice(0, bytes.length & ~7))
        expect(printKernel(insns, 0)).toMatch(/^(\([0-9a-f]{2}\) |BUG_).*\S$/)
        expect(printLlvm(insns, 0)).toMatch(/^\S.*$/)
        const names = bpftoolNames({ jitedFunctions: [0xffffffffc0000000n], symbol: () => undefined })
        expect(kernelLines(insns, names).length).toBeGreaterThan(0)
        expect(llvmLines(insns, { name: 'x', symbols: [] }).length).toBeGreaterThan(1)
      }),
      { numRuns: 5000 },
    )
  })
})

describe('names', () => {
  const one = (hex: string): InsnBuffer =>
    InsnBuffer.fromBytes(Uint8Array.from(hex.match(/../g) ?? [], (b) => parseInt(b, 16)))

  test('of maps, subprograms and kernel symbols are printed as bpftool does', () => {
    const names = bpftoolNames({
      callBase: 0xffffffff81000000n,
      symbol: (address) => (address === 0xffffffff81000200n ? 'array_map_lookup_elem' : undefined),
      jitedFunctions: [0xffffffffc0000000n],
    })
    expect(printKernel(one('18110000050000000000000000000000'), 0, names)).toBe('(18) r1 = map[id:5]')
    expect(printKernel(one('18210000050000000000000008000000'), 0, names)).toBe('(18) r1 = map[id:5][0]+8')
    expect(printKernel(one('18620000010000000000000008000000'), 0, names)).toBe('(18) r2 = map[idx:1]+8')
    expect(printKernel(one('18420000030000000000000000000000'), 0, names)).toBe('(18) r2 = subprog[+3]')
    expect(printKernel(one('18020000efcdab890000000067452301'), 0, names)).toBe('(18) r2 = 0x123456789abcdef')
    expect(printKernel(one('8500000001000000'), 0, names)).toBe('(85) call bpf_map_lookup_elem#1')
    expect(printKernel(one('8500000000020000'), 0, names)).toBe('(85) call array_map_lookup_elem#512')
    expect(printKernel(one('8510070000000000'), 0, names)).toBe('(85) call pc+7#0xffffffffc0000000')
  })

  test('that nobody knows have the words of the kernel', () => {
    expect(printKernel(one('8520000039300000'), 0)).toBe('(85) call kernel-function#12345')
    expect(printKernel(one('8500000039300000'), 0)).toBe('(85) call unknown#12345')
    expect(printKernel(one('85100000ffffffff'), 0)).toBe('(85) call pc-1')
    expect(printKernel(one('c32100000f000000'), 0)).toBe('BUG_c3')
  })

  test('instructions after LLVM 19 and Linux 6.12 are printed as later versions do', () => {
    expect(printKernel(one('db21080000010000'), 0)).toBe('(db) r1 = load_acquire((u64 *)(r2 +8))')
    expect(printKernel(one('c321f8ff10010000'), 0)).toBe('(c3) store_release((u32 *)(r1 -8), r2)')
    expect(printLlvm(one('db21080000010000'), 0)).toBe('r1 = load_acquire((u64 *)(r2 + 0x8))')
    expect(printLlvm(one('c321f8ff10010000'), 0)).toBe('store_release((u32 *)(r1 - 0x8), w2)')
  })
})
