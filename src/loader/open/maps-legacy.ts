import { BtfKind, type Btf } from '../../btf/index.ts'
import { BpfError, Reader } from '../../bytes/index.ts'
import { SymbolType, type ElfSection, type ElfSymbol } from '../../elf/index.ts'
import type { MapSpec } from '../spec.ts'
import { mapSpec } from './map-spec.ts'
import type { PlacedMap } from './maps-btf.ts'
import type { ObjectFile } from './symbols.ts'

/** type, key_size, value_size, max_entries: what every generation of struct bpf_map_def starts with. */
const SHORTEST_DEFINITION = 16
/** struct bpf_elf_map of iproute2 up to `pinning`, and with inner_id and inner_idx. */
const IPROUTE2_PINNING = 28
const IPROUTE2_FULL = 36
const PIN_GLOBAL_NS = 2

/**
 * Maps of `SEC("maps")` and `SEC("maps/NAME")`: arrays of struct bpf_map_def as libbpf before 1.0 (bpf_helpers.h) and
 * bcc's and iproute2's loaders (bpf_elf.h) defined it. The size of a definition is its symbol's.
 * @throws BpfError `malformed`
 */
export function legacyMaps(file: ObjectFile, btf: Btf | null): PlacedMap[] {
  const maps: PlacedMap[] = []
  for (const section of file.elf.sections) {
    if (file.roles[section.index] !== 'legacyMaps') continue
    maps.push(...mapsOfSection(file, section, btf))
  }
  linkInnerMaps(maps)
  return maps
}

/** Ids that iproute2's definitions give to maps, for inner maps to be named by. */
interface LegacyMap extends PlacedMap {
  readonly id: number
  readonly innerId: number
}

function mapsOfSection(file: ObjectFile, section: ElfSection, btf: Btf | null): LegacyMap[] {
  const symbols = file
    .symbolsOf(section.index)
    .filter((s) => s.name !== '' && (s.type === SymbolType.OBJECT || s.type === SymbolType.NOTYPE))
    .filter((s) => !/^(\.L|L)/.test(s.name) || s.bind !== 'local')
    .sort((a, b) => a.value - b.value)
  const named: readonly Pick<ElfSymbol, 'name' | 'value' | 'size'>[] =
    symbols.length > 0 ? symbols : [{ name: section.name.replace(/^maps\//, ''), value: 0, size: section.size }]
  return named.map((symbol, i) => {
    const next = named[i + 1]?.value ?? section.size
    const size = symbol.size > 0 ? symbol.size : next - symbol.value
    if (size < SHORTEST_DEFINITION || symbol.value + size > section.size) {
      throw new BpfError(
        'malformed',
        `its definition at ${symbol.value} has ${size} bytes; ${SHORTEST_DEFINITION} to ${section.size - symbol.value} fit`,
        { where: { section: section.name, map: symbol.name, offset: section.offset } },
      )
    }
    const bytes = section.data.subarray(symbol.value, symbol.value + size)
    return { ...readDefinition(file, bytes, symbol.name, btf), section: section.index, offset: symbol.value, size }
  })
}

function readDefinition(
  file: ObjectFile,
  bytes: Uint8Array,
  name: string,
  btf: Btf | null,
): Pick<LegacyMap, 'spec' | 'valuesOffset' | 'id' | 'innerId'> {
  const reader = new Reader(bytes, { name: `map '${name}'`, littleEndian: file.elf.littleEndian })
  const spec = mapSpec({
    name,
    type: reader.u32(),
    keySize: reader.u32(),
    valueSize: reader.u32(),
    maxEntries: reader.u32(),
    ...annotatedTypes(btf, name),
  })
  if (reader.remaining >= 4) spec.flags = reader.u32()
  let id = 0
  let innerId = 0
  // Other loaders use the same room otherwise; only iproute2's layout is known by its size.
  if (bytes.length === IPROUTE2_PINNING || bytes.length === IPROUTE2_FULL) {
    id = reader.u32()
    if (reader.u32() === PIN_GLOBAL_NS) spec.pinning = 'by-name'
    if (bytes.length === IPROUTE2_FULL) innerId = reader.u32()
  }
  return { spec, valuesOffset: null, id, innerId }
}

/** Types that BPF_ANNOTATE_KV_PAIR put in struct ____btf_map_NAME. */
function annotatedTypes(btf: Btf | null, name: string): Partial<MapSpec> {
  const id = btf?.findByName(`____btf_map_${name}`, BtfKind.STRUCT)
  const type = id === undefined ? undefined : btf?.type(id)
  if (type?.kind !== BtfKind.STRUCT) return {}
  const key = type.members.find((member) => member.name === 'key')
  const value = type.members.find((member) => member.name === 'value')
  return key === undefined || value === undefined ? {} : { keyTypeId: key.type, valueTypeId: value.type }
}

function linkInnerMaps(maps: readonly PlacedMap[]): void {
  for (const outer of maps as readonly LegacyMap[]) {
    if (outer.innerId === 0) continue
    const inner = (maps as readonly LegacyMap[]).find((map) => map.id === outer.innerId && map !== outer)
    if (inner !== undefined) outer.spec.inner = inner.spec
  }
}
