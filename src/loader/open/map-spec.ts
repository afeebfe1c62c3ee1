import { MapFlag, MapType } from '../../uapi/index.ts'
import type { MapSpec } from '../spec.ts'

/** A map description with defaults for what is not given. */
export function mapSpec(given: Pick<MapSpec, 'name' | 'type'> & Partial<MapSpec>): MapSpec {
  return {
    keySize: 0,
    valueSize: 0,
    maxEntries: 0,
    flags: 0,
    numaNode: null,
    mapExtra: 0n,
    pinning: 'none',
    autocreate: true,
    keyTypeId: 0,
    valueTypeId: 0,
    inner: null,
    slots: new Map(),
    contents: null,
    dataSection: null,
    frozen: false,
    ...given,
  }
}

/** The array of one element that stands for a data section (libbpf.c, bpf_object__init_internal_map). */
export function dataMapSpec(
  name: string,
  kind: 'data' | 'rodata' | 'bss' | 'kconfig',
  size: number,
  contents: () => Uint8Array,
  valueTypeId: number,
  mmapable: boolean,
): MapSpec {
  const readonly = kind === 'rodata' || kind === 'kconfig'
  const spec = mapSpec({
    name,
    type: MapType.ARRAY,
    keySize: 4,
    valueSize: size,
    maxEntries: 1,
    flags: (readonly ? MapFlag.RDONLY_PROG : 0) | (mmapable ? MapFlag.MMAPABLE : 0),
    valueTypeId,
    dataSection: kind,
    frozen: readonly,
  })
  // A .bss has no bytes in the file, so they are made on first use: a hostile size costs nothing until then.
  let made: Uint8Array | null = null
  Object.defineProperty(spec, 'contents', {
    enumerable: true,
    configurable: true,
    get: (): Uint8Array | null => (made ??= contents()),
    set: (value: Uint8Array | null) => {
      made = value
    },
  })
  return spec
}

/** Whether values are other maps. */
export function isMapInMap(type: number): boolean {
  return type === MapType.ARRAY_OF_MAPS || type === MapType.HASH_OF_MAPS
}
