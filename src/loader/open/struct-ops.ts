import { BtfKind, type Btf } from '../../btf/index.ts'
import { BpfError } from '../../bytes/index.ts'
import { relocationsIn, type ElfRelocation } from '../../elf/index.ts'
import type { MapSpec, ProgramSpec } from '../spec.ts'
import { isFunctionPointer } from '../struct-ops.ts'
import type { FunctionTable } from './functions.ts'
import type { PlacedMap } from './maps-btf.ts'
import { symbolName, type ObjectFile } from './symbols.ts'

/**
 * Puts programs in the function pointers of struct_ops variables, as the relocations of their sections say (libbpf.c,
 * bpf_object__collect_st_ops_relos). Slots are member indices.
 * @throws BpfError `relocation` for pointers to anything but entry programs
 */
export function collectStructOps(
  file: ObjectFile,
  btf: Btf | null,
  maps: readonly PlacedMap[],
  functions: FunctionTable,
  programs: ReadonlyMap<number, ProgramSpec>,
): void {
  if (btf === null) return
  file.roles.forEach((role, section) => {
    if (role !== 'structOps') return
    const placed = maps.filter((map) => map.section === section)
    for (const relocationSection of file.relocationSections.get(section) ?? []) {
      for (const relocation of relocationsIn(file.elf, relocationSection)) {
        placeFunction({ file, btf, functions, programs }, placed, relocation)
      }
    }
  })
}

interface Context {
  readonly file: ObjectFile
  readonly btf: Btf
  readonly functions: FunctionTable
  readonly programs: ReadonlyMap<number, ProgramSpec>
}

function placeFunction(context: Context, maps: readonly PlacedMap[], relocation: ElfRelocation): void {
  const { file, btf, functions, programs } = context
  const symbol = file.elf.symbols[relocation.symbol]
  if (symbol === undefined) return
  const at = relocation.offset
  const map = maps.find(({ offset, size }) => at >= offset && at < offset + size)
  const name = symbolName(file.elf, symbol)
  const fail = (message: string): BpfError =>
    new BpfError('relocation', `'${name}' ${message}`, {
      where: { symbol: name, ...(map === undefined ? {} : { map: map.spec.name }) },
    })
  if (map === undefined) throw fail(`at byte ${at} is in no struct_ops variable`)
  const member = memberAt(btf, map.spec, at - map.offset)
  if (member === null) throw fail(`at byte ${at - map.offset} is no function pointer of '${map.spec.name}'`)
  // In a REL section the addend is what the pointer holds.
  const addend = relocation.addend ?? pointerAt(map.spec, at - map.offset, btf.littleEndian)
  const offset = symbol.value + addend
  const fn = functions.holding(symbol.section, Math.floor(offset / 8))
  const program = fn === undefined ? undefined : programs.get(fn.index)
  if (fn === undefined || program === undefined || fn.start * 8 !== offset) {
    throw fail(`is given to '${map.spec.name}' as a function, but is no entry program`)
  }
  ;(map.spec.slots as Map<number, string>).set(member, program.name)
}

function memberAt(btf: Btf, map: MapSpec, offset: number): number | null {
  const type = btf.type(map.valueTypeId)
  if (type.kind !== BtfKind.STRUCT) return null
  const index = type.members.findIndex((member) => member.bitOffset === offset * 8 && isFunctionPointer(btf, member))
  return index < 0 ? null : index
}

function pointerAt(map: MapSpec, offset: number, littleEndian: boolean): number {
  const bytes = map.contents ?? new Uint8Array(0)
  if (offset + 8 > bytes.length) return 0
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(
    offset + (littleEndian ? 0 : 4),
    littleEndian,
  )
}
