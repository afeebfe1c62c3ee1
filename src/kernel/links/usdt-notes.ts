import { BpfError, decodeUtf8, Reader } from '../../bytes/index.ts'
import { parseElf, type ElfFile } from '../../elf/index.ts'

const NOTE_TYPE = 3
const PT_LOAD = 1
const PF_X = 1
const ET_DYN = 3
/** Loadable parts of a file; more are made up. */
const MOST_SEGMENTS = 256

/** One place in a binary where a USDT probe stands. */
export interface UsdtProbe {
  readonly provider: string
  readonly name: string
  /** Arguments in the assembler's words. */
  readonly args: string
  /** Bytes from the start of the file. */
  readonly offset: number
  /** Address in memory of a binary that is not relocated; null for shared libraries and PIE. */
  readonly address: bigint | null
  /** Bytes from the start of the file to the counter that turns the probe on; 0 for none. */
  readonly semaphore: number
}

interface Segment {
  readonly start: bigint
  readonly end: bigint
  readonly offset: bigint
  readonly executable: boolean
}

/**
 * The USDT probes of an executable or shared library, from its section .note.stapsdt
 * (sourceware.org/systemtap/wiki/UserSpaceProbeImplementation).
 * @throws BpfError `malformed` for a file that is damaged
 */
export function usdtProbes(path: string, bytes: Uint8Array): UsdtProbe[] {
  const elf = parseElf(bytes, path, { accept: 'any' })
  const section = elf.sectionByName('.note.stapsdt')
  if (section === undefined) return []
  const segments = segmentsOf(path, bytes, elf)
  // A linker that moves code in a finished file (prelink) does not change notes, but does move this section.
  const base = elf.sectionByName('.stapsdt.base')?.address ?? 0
  const reader = new Reader(section.data, {
    name: `${path}: .note.stapsdt`,
    littleEndian: elf.littleEndian,
    baseOffset: section.offset,
  })
  const probes: UsdtProbe[] = []
  while (reader.remaining >= 12) {
    const nameSize = reader.u32()
    const descSize = reader.u32()
    const type = reader.u32()
    reader.skip(aligned(nameSize))
    if (type === NOTE_TYPE && descSize >= 24) {
      const note = reader.sub(reader.pos, descSize, `${path}: probe`)
      const location = note.u64()
      const noteBase = note.u64()
      const semaphore = note.u64()
      const [provider = '', name = '', args = ''] = decodeUtf8(note.take(note.remaining)).split('\0')
      const moved = base !== 0 && noteBase !== 0n ? BigInt(base) - noteBase : 0n
      probes.push({
        provider,
        name,
        args: args.startsWith(':') ? '' : args,
        offset: fileOffset(path, segments, location + moved, true),
        address: elf.type === ET_DYN ? null : location + moved,
        semaphore: semaphore === 0n ? 0 : fileOffset(path, segments, semaphore + moved, false),
      })
    }
    reader.skip(aligned(descSize))
  }
  return probes
}

function aligned(size: number): number {
  return (size + 3) & ~3
}

function fileOffset(path: string, segments: readonly Segment[], address: bigint, executable: boolean): number {
  const segment = segments.find(({ start, end }) => address >= start && address < end)
  if (segment === undefined || segment.executable !== executable) {
    const what = executable ? 'code' : 'data'
    throw new BpfError(
      'malformed',
      `a probe of ${path} refers to ${what} at 0x${address.toString(16)}, where is none`,
      {
        where: { file: path },
      },
    )
  }
  return Number(address - segment.start + segment.offset)
}

/** Program headers of type PT_LOAD (System V gABI). */
function segmentsOf(path: string, bytes: Uint8Array, elf: ElfFile): Segment[] {
  const header = new Reader(bytes, { name: path, littleEndian: elf.littleEndian })
  const table = header.seek(32).size64('the offset of the program headers')
  const entrySize = header.seek(54).u16()
  const count = Math.min(header.u16(), MOST_SEGMENTS)
  const segments: Segment[] = []
  for (let i = 0; i < count; i++) {
    header.seek(table + i * entrySize)
    const type = header.u32()
    const flags = header.u32()
    const offset = header.u64()
    const start = header.u64()
    header.u64()
    header.u64()
    const size = header.u64()
    if (type === PT_LOAD) segments.push({ start, end: start + size, offset, executable: (flags & PF_X) !== 0 })
  }
  return segments
}
