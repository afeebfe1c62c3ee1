import { Btf, BtfBuilder, parseBtfExt, type BtfExt } from '../../src/btf/index.ts'
import { parseElf } from '../../src/elf/index.ts'
import { loadFixture } from '../support/fixture.ts'

/** Contents of a section of a fixture object such as "clang19/btf_kinds". */
export async function sectionOf(object: string, name: string): Promise<Uint8Array> {
  const elf = parseElf(await loadFixture(`fixtures/${object}.bpf.o`), object)
  const section = elf.sections.find((one) => one.name === name)
  if (section === undefined) throw new Error(`${object} has no ${name}`)
  return section.data
}

export async function btfOf(object: string): Promise<Btf> {
  return Btf.parse(await sectionOf(object, '.BTF'))
}

export async function extOf(object: string): Promise<{ btf: Btf; ext: BtfExt }> {
  const btf = await btfOf(object)
  return { btf, ext: parseBtfExt(await sectionOf(object, '.BTF.ext'), btf) }
}

/** Adds the integers that most tests need. */
export function addInts(builder: BtfBuilder): {
  int: number
  u8: number
  u16: number
  u32: number
  u64: number
  char: number
} {
  const add = (name: string, size: number, signed: boolean): number => builder.addInt(name, size, signed)
  return {
    int: add('int', 4, true),
    u8: add('unsigned char', 1, false),
    u16: add('unsigned short', 2, false),
    u32: add('unsigned int', 4, false),
    u64: add('unsigned long', 8, false),
    char: add('char', 1, true),
  }
}
