import { BpfError } from '../../bytes/index.ts'
import { relocationsIn, type ElfRelocation } from '../../elf/index.ts'
import { MapType } from '../../uapi/index.ts'
import type { ProgramSpec } from '../spec.ts'
import type { FunctionTable } from './functions.ts'
import { isMapInMap } from './map-spec.ts'
import type { PlacedMap } from './maps-btf.ts'
import { symbolName, type ObjectFile } from './symbols.ts'

/** Most slots that one initialiser may have; keeps a hostile offset from asking for a huge list. */
const MAX_SLOT = 1 << 20

/**
 * Static initialisers of `values`: maps in maps of maps, programs in prog arrays, as relocations of section `.maps`
 * (libbpf.c, bpf_object__collect_map_relos).
 * @throws BpfError `malformed`, `relocation`
 */
export function collectSlots(
  file: ObjectFile,
  maps: readonly PlacedMap[],
  functions: FunctionTable,
  programs: ReadonlyMap<number, ProgramSpec>,
): void {
  const section = file.roles.indexOf('btfMaps')
  if (section < 0) return
  const inSection = maps.filter((map) => map.section === section).sort((a, b) => a.offset - b.offset)
  const byName = new Map(inSection.map((map) => [map.spec.name, map]))
  for (const relocationSection of file.relocationSections.get(section) ?? []) {
    for (const relocation of relocationsIn(file.elf, relocationSection)) {
      placeSlot(file, { inSection, byName }, relocation, functions, programs)
    }
  }
}

function placeSlot(
  file: ObjectFile,
  maps: { readonly inSection: readonly PlacedMap[]; readonly byName: ReadonlyMap<string, PlacedMap> },
  relocation: ElfRelocation,
  functions: FunctionTable,
  programs: ReadonlyMap<number, ProgramSpec>,
): void {
  const symbol = file.elf.symbols[relocation.symbol]
  if (symbol === undefined) return
  const name = symbolName(file.elf, symbol)
  const map = mapAt(maps.inSection, relocation.offset)
  const fail = (message: string): never => {
    throw new BpfError('relocation', `the initialiser '${name}' ${message}`, {
      where: { section: '.maps', symbol: name, ...(map === undefined ? {} : { map: map.spec.name }) },
    })
  }
  if (map === undefined) return fail(`at byte ${relocation.offset} is in no map`)
  const { spec, valuesOffset } = map
  if (valuesOffset === null) return fail(`belongs to a map without 'values'`)
  const offset = relocation.offset - map.offset - valuesOffset
  if (offset < 0 || offset % 8 !== 0 || offset / 8 > MAX_SLOT) return fail(`is at byte ${offset} of 'values', no slot`)
  const slots = spec.slots as Map<number, string>
  if (isMapInMap(spec.type)) {
    if (spec.type === MapType.HASH_OF_MAPS && spec.keySize !== 4) {
      return fail(`needs keys of 4 bytes, not ${spec.keySize}`)
    }
    const inner = maps.byName.get(name)
    if (inner === undefined || inner.section !== symbol.section) return fail('is no map of section .maps')
    slots.set(offset / 8, inner.spec.name)
    return
  }
  if (spec.type !== MapType.PROG_ARRAY) return fail(`is for maps of maps and prog arrays, not for type ${spec.type}`)
  const implicit = relocation.addend ?? 0
  const fn = functions.holding(symbol.section, Math.floor((symbol.value + implicit) / 8))
  const program = fn === undefined ? undefined : programs.get(fn.index)
  if (fn === undefined || program === undefined || fn.start * 8 !== symbol.value + implicit) {
    return fail('is no entry program')
  }
  slots.set(offset / 8, program.name)
}

/** The map whose 8 bytes at `offset` are; `maps` is sorted by offset. */
function mapAt(maps: readonly PlacedMap[], offset: number): PlacedMap | undefined {
  let low = 0
  let high = maps.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if ((maps[middle] as PlacedMap).offset <= offset) low = middle
    else high = middle - 1
  }
  const map = maps[low]
  return map !== undefined && map.offset <= offset && offset + 8 <= map.offset + map.size ? map : undefined
}
