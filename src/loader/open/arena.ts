import { BtfKind, type Btf } from '../../btf/index.ts'
import { BpfError } from '../../bytes/index.ts'
import { MapType } from '../../uapi/index.ts'
import type { PlacedMap } from './maps-btf.ts'
import type { ObjectFile } from './symbols.ts'

/** Smallest page of the machines that run BPF, in bytes; an arena's size counts in pages. */
const MIN_PAGE = 4096

/**
 * Global variables in the address space of an arena (section `.addr_space.1`): they become the first contents of the
 * object's arena, at its start (libbpf 1.5, init_arena_map_data). Null when there are none.
 * @throws BpfError `malformed` without exactly one arena map, or when they do not fit it
 */
export function arenaData(file: ObjectFile, btf: Btf | null, maps: readonly PlacedMap[]): PlacedMap | null {
  const section = file.elf.sections.find(({ index }) => file.roles[index] === 'arena')
  if (section === undefined) return null
  const where = { section: section.name, offset: section.offset }
  const arenas = maps.filter(({ spec }) => spec.type === MapType.ARENA)
  const [arena] = arenas
  if (arena === undefined || arenas.length > 1) {
    throw new BpfError('malformed', `needs one arena map, the object has ${arenas.length}`, { where })
  }
  const { spec } = arena
  if (section.size > spec.maxEntries * MIN_PAGE) {
    const message = `has ${section.size} bytes, which ${spec.maxEntries} pages of map '${spec.name}' do not hold`
    throw new BpfError('malformed', message, { where })
  }
  spec.contents = section.data.slice()
  const datasecId = btf?.findByName(section.name, BtfKind.DATASEC) ?? 0
  return { spec, section: section.index, offset: 0, size: section.size, valuesOffset: null, datasecId }
}
