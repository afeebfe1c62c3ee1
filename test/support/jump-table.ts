import { SectionFlag, SectionType, SymbolType, writeElf } from '../../src/elf/index.ts'
import { assemble } from '../../src/isa/index.ts'

const PROGRAM = `
  r0 = 0
  r2 = *(u32 *)(r1 + 4)
  r1 = *(u32 *)(r1 + 0)
  r3 = r1
  r3 += 1
  if r3 > r2 goto out
  r1 = *(u8 *)(r1 + 0)
  if r1 > 2 goto out
  r1 <<= 3
  r2 = 0 ll
  r2 += r1
  r2 = *(u64 *)(r2 + 0)
  gotox r2
  r0 = 10
  exit
  r0 = 11
  exit
  r0 = 12
out:
  exit
`
/** Slots of r0 = 10, 11, 12, and of the load of the table. */
export const CASES = [14, 16, 18] as const
const TABLE_LOAD = 9
/** A function before the program, so that slots of section and program differ. */
const OTHER = 'r0 = 0\nexit'

/**
 * An XDP program with a switch over the first byte of the packet, as clang 22 compiles it: 10, 11, 12 for 0 to 2, 0 for
 * the rest.
 * @param table byte offsets in the section; the size of the table's symbol unless given
 */
export function jumpTableObject(
  table: readonly number[] = CASES.map((slot) => (slot + 2) * 8),
  size: number = table.length * 8,
): Uint8Array {
  const other = assemble(OTHER).toBytes()
  const code = assemble(PROGRAM).toBytes()
  const flags = SectionFlag.ALLOC | SectionFlag.EXECINSTR
  return writeElf({
    sections: [
      {
        name: 'xdp',
        type: SectionType.PROGBITS,
        flags,
        align: 8,
        data: Uint8Array.from([...other, ...code]),
        relocations: [{ offset: other.length + TABLE_LOAD * 8, symbol: 3, type: 1, addend: null }],
      },
      {
        name: '.jumptables',
        type: SectionType.PROGBITS,
        flags: 0,
        align: 8,
        data: new Uint8Array(BigUint64Array.from(table.map(BigInt)).buffer),
      },
      {
        name: 'license',
        type: SectionType.PROGBITS,
        flags: SectionFlag.ALLOC,
        align: 1,
        data: new TextEncoder().encode('GPL\0'),
      },
    ],
    symbols: [
      { name: 'other', section: 1, size: other.length, type: SymbolType.FUNC },
      { name: 'choose', section: 1, value: other.length, size: code.length, type: SymbolType.FUNC },
      { name: 'BPF.JT.0.0', section: 2, size, type: SymbolType.OBJECT, bind: 'local' },
    ],
  })
}
