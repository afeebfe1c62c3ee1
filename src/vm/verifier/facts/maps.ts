import type { Btf } from '../../../btf/index.ts'
import { kernelMapName, type MapSpec } from '../../../loader/index.ts'
import { MapFlag, MapType } from '../../../uapi/index.ts'
import { findFields, type SpecialField } from './fields.ts'

const DEVICE_MAPS: ReadonlySet<number> = new Set<number>([MapType.DEVMAP, MapType.DEVMAP_HASH])

/** What the verifier needs to know of a map. */
export interface MapFacts {
  readonly name: string
  /** Name in the kernel, as the log has it. */
  readonly kernelName: string
  readonly type: number
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  readonly flags: number
  readonly inner: MapFacts | null
  /** The shape of maps in a map of maps, rather than one map. */
  readonly isInner: boolean
  readonly btf: Btf | null
  readonly keyTypeId: number
  readonly valueTypeId: number
  /** Fields of the value that only certain calls may touch (locks, timers, kernel pointers), in order of offset. */
  readonly fields: readonly SpecialField[]
  /** Contents that never change after load (.rodata), whose loads are constants. */
  readonly constant: Uint8Array | null
}

/**
 * Facts of a map as its description is now; `cache` lives as long as one verification, since descriptions may change.
 * @param object name of the object, which is part of the names of data maps
 */
export function mapFacts(spec: MapSpec, btf: Btf | null, cache: Map<MapSpec, MapFacts>, object: string): MapFacts {
  const known = cache.get(spec)
  if (known !== undefined) return known
  const made: MapFacts = {
    name: spec.name,
    kernelName: kernelMapName(object, spec),
    type: spec.type,
    keySize: spec.type === MapType.RINGBUF || spec.type === MapType.ARENA ? 0 : spec.keySize,
    valueSize: spec.valueSize,
    maxEntries: spec.maxEntries,
    // Values of device maps are the kernel's.
    flags: DEVICE_MAPS.has(spec.type) ? spec.flags | MapFlag.RDONLY_PROG : spec.flags,
    // The kernel keeps the shape of inner maps without a name.
    inner: spec.inner === null ? null : { ...mapFacts(spec.inner, btf, cache, object), kernelName: '', isInner: true },
    isInner: false,
    btf,
    keyTypeId: spec.keyTypeId,
    valueTypeId: spec.valueTypeId,
    fields: btf === null || spec.valueTypeId === 0 ? [] : findFields(btf, spec.valueTypeId),
    constant:
      spec.frozen && (spec.flags & MapFlag.RDONLY_PROG) !== 0 && spec.type === MapType.ARRAY ? spec.contents : null,
  }
  cache.set(spec, made)
  return made
}
