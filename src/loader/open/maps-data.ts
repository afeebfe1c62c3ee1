import { BtfKind, type Btf, type BtfComposite } from '../../btf/index.ts'
import { BpfError } from '../../bytes/index.ts'
import { MapFlag, MapType } from '../../uapi/index.ts'
import type { MapSpec } from '../spec.ts'
import { dataMapSpec, mapSpec } from './map-spec.ts'
import type { PlacedMap } from './maps-btf.ts'
import type { ObjectFile } from './symbols.ts'

/** Largest data section: the kernel's limit of an array's value is far above any real one, memory is not. */
const MAX_DATA_SIZE = 1 << 28

/** One map for every data section that is not empty, in the order of sections. */
export function dataMaps(file: ObjectFile, btf: Btf | null): PlacedMap[] {
  const maps: PlacedMap[] = []
  for (const section of file.elf.sections) {
    const role = file.roles[section.index]
    if (role !== 'data' && role !== 'rodata' && role !== 'bss') continue
    if (section.size === 0) continue
    if (section.size > MAX_DATA_SIZE) {
      throw new BpfError('limit', `has ${section.size} bytes, at most ${MAX_DATA_SIZE} are supported`, {
        where: { section: section.name, offset: section.offset },
      })
    }
    const contents = (): Uint8Array => (role === 'bss' ? new Uint8Array(section.size) : section.data.slice())
    const datasec = btf?.findByName(section.name, BtfKind.DATASEC) ?? 0
    const mmapable = datasec !== 0 && btf !== null && hasVisibleVariable(btf, datasec)
    const spec = dataMapSpec(section.name, role, section.size, contents, datasec, mmapable)
    maps.push({ spec, section: section.index, offset: 0, size: section.size, valuesOffset: null })
  }
  return maps
}

/** Only data with variables that others may see is worth mapping into user space. */
export function hasVisibleVariable(btf: Btf, datasecId: number): boolean {
  const datasec = btf.type(datasecId)
  if (datasec.kind !== BtfKind.DATASEC) return false
  return datasec.vars.some((entry) => {
    const variable = btf.type(entry.type)
    return variable.kind === BtfKind.VAR && variable.linkage !== 0
  })
}

/** struct_ops variables, each of which is a map of that kind (sections .struct_ops and .struct_ops.link). */
export function structOpsMaps(file: ObjectFile, btf: Btf | null): PlacedMap[] {
  const maps: PlacedMap[] = []
  for (const section of file.elf.sections) {
    if (file.roles[section.index] !== 'structOps') continue
    const datasecId = btf?.findByName(section.name, BtfKind.DATASEC)
    const datasec = datasecId === undefined ? undefined : btf?.type(datasecId)
    if (btf === null || datasec?.kind !== BtfKind.DATASEC) {
      throw new BpfError('malformed', `its variables are not described: the BTF has no DATASEC ${section.name}`, {
        where: { section: section.name, offset: section.offset },
      })
    }
    for (const entry of datasec.vars) {
      const variable = btf.type(entry.type)
      if (variable.kind !== BtfKind.VAR) continue
      const typeId = btf.skipModifiersAndTypedefs(variable.type)
      const type = btf.type(typeId)
      const isComplete = type.kind === BtfKind.STRUCT && entry.offset + type.size <= section.size
      if (!isComplete || variable.name === '' || type.name === '') {
        throw new BpfError('malformed', `'${variable.name}' is no named struct within ${section.size} bytes`, {
          where: { section: section.name, map: variable.name },
        })
      }
      const spec = structOpsSpec(section.name, variable.name, type, section.data.subarray(entry.offset))
      spec.valueTypeId = typeId
      maps.push({ spec, section: section.index, offset: entry.offset, size: type.size, valuesOffset: null })
    }
  }
  return maps
}

function structOpsSpec(section: string, name: string, type: BtfComposite, bytes: Uint8Array): MapSpec {
  return mapSpec({
    name,
    type: MapType.STRUCT_OPS,
    keySize: 4,
    valueSize: type.size,
    maxEntries: 1,
    flags: section.endsWith('.link') ? MapFlag.LINK : 0,
    autocreate: !section.startsWith('?'),
    contents: bytes.slice(0, type.size),
    dataSection: 'struct_ops',
  })
}
