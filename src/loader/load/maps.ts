import { BpfError, isBpfError } from '../../bytes/index.ts'
import { MapType } from '../../uapi/index.ts'
import type { Backend, BackendMap } from '../backend.ts'
import { kernelMapName } from '../map-names.ts'
import type { ObjectSpec } from '../object.ts'
import type { ResolvedStructOps } from '../prepare/struct-ops.ts'
import { pinPath, reusablePin } from './pins.ts'
import type { MapSpec, PreparedProgram } from '../spec.ts'

/** What became of a map. */
export interface MapReport {
  readonly name: string
  readonly status: 'created' | 'reused' | 'skipped' | 'failed'
  /** Where it is pinned, for maps that declare pinning by name. */
  readonly pin?: string
  /** Why it failed; of a map that was created, why a slot of it could not be filled. */
  readonly error?: BpfError
}

/** Maps by name, and how it went. */
export interface CreatedMaps {
  readonly maps: Map<string, BackendMap>
  readonly reports: Map<string, MapReport>
}

/**
 * Creates the maps of an object: inner templates, contents of data sections (frozen when they are constant), and slots
 * that hold maps. A map that fails does not hide the others.
 * @param replacements maps to use instead of new ones, by name
 * @param programs to which maps may be exclusive
 */
export function createMaps(
  spec: ObjectSpec,
  backend: Backend,
  kconfig: Uint8Array | null,
  replacements: Readonly<Record<string, BackendMap>>,
  structOps: ResolvedStructOps['maps'],
  pinRoot: string | null = null,
  programs: readonly PreparedProgram[] = [],
): CreatedMaps {
  const maps = new Map<string, BackendMap>()
  const reports = new Map<string, MapReport>()
  const deferred: MapSpec[] = []
  const create = (map: MapSpec): void => {
    const { name } = map
    const existing = replacements[name]
    if (existing !== undefined) {
      maps.set(name, existing)
      reports.set(name, { name, status: 'reused' })
      return
    }
    if (!map.autocreate) {
      reports.set(name, { name, status: 'skipped' })
      return
    }
    const pin = map.pinning === 'by-name' && pinRoot !== null ? pinPath(pinRoot, name) : null
    try {
      const pinned = pin === null ? null : reusablePin(backend, map, pin)
      if (pin !== null && pinned !== null) {
        maps.set(name, pinned)
        reports.set(name, { name, status: 'reused', pin })
        return
      }
      maps.set(name, createMap(spec, backend, map, kconfig, maps, structOps, programs))
      reports.set(name, { name, status: 'created' })
    } catch (error) {
      if (!isBpfError(error)) throw error
      reports.set(name, { name, status: 'failed', error: error.within({ file: spec.file, map: name }) })
    }
  }
  try {
    for (const map of Object.values(spec.maps)) {
      // Without a definition of inner maps those in its slots serve as template, so they come first.
      if (HOLDS_MAPS.has(map.type) && map.inner === null) deferred.push(map)
      else create(map)
    }
    deferred.forEach(create)
    for (const map of Object.values(spec.maps)) {
      if (HOLDS_MAPS.has(map.type) && map.slots.size > 0) fillSlots(spec, map, maps, maps, reports)
    }
  } catch (error) {
    for (const [name, map] of maps) if (replacements[name] === undefined) map.close()
    throw error
  }
  return { maps, reports }
}

/** Puts maps or programs in the slots that the object initialises; one that is missing is reported, not fatal. */
export function fillSlots(
  spec: ObjectSpec,
  map: MapSpec,
  maps: ReadonlyMap<string, BackendMap>,
  targets: ReadonlyMap<string, Parameters<BackendMap['setSlot']>[1]>,
  reports: Map<string, MapReport>,
): void {
  const created = maps.get(map.name)
  if (created === undefined || reports.get(map.name)?.status !== 'created') return
  for (const [slot, name] of map.slots) {
    try {
      const target = targets.get(name)
      if (target === undefined) throw new BpfError('not-found', `slot ${slot}: '${name}' was not loaded`)
      created.setSlot(indexKey(slot), target)
    } catch (error) {
      if (!isBpfError(error)) throw error
      const located = error.within({ file: spec.file, map: map.name })
      reports.set(map.name, { name: map.name, status: 'created', error: located })
    }
  }
}

function createMap(
  spec: ObjectSpec,
  backend: Backend,
  map: MapSpec,
  kconfig: Uint8Array | null,
  others: ReadonlyMap<string, BackendMap>,
  structOps: ResolvedStructOps['maps'],
  programs: readonly PreparedProgram[],
): BackendMap {
  const layout = structOps.get(map.name)
  if (layout instanceof BpfError) throw layout
  const { exclusiveProgram } = map
  const exclusiveTo = programs.find((program) => program.spec.name === exclusiveProgram)
  if (exclusiveProgram !== undefined && exclusiveTo === undefined) {
    throw new BpfError('not-found', `it is exclusive to program '${exclusiveProgram}', which is not loaded`)
  }
  let template: BackendMap | null = null
  let ownsTemplate = false
  if (map.inner !== null) {
    const inner = map.inner
    template = backend.createMap({
      spec: inner,
      kernelName: kernelMapName(spec.name, inner),
      btf: spec.btf,
      inner: null,
    })
    ownsTemplate = true
  } else if (HOLDS_MAPS.has(map.type)) {
    const first = [...map.slots.values()][0]
    template = first === undefined ? null : (others.get(first) ?? null)
    if (template === null) throw new BpfError('malformed', 'a map of maps needs the definition of its inner maps')
  }
  try {
    const request = {
      spec: map,
      kernelName: kernelMapName(spec.name, map),
      btf: spec.btf,
      inner: template,
      ...(layout === undefined ? {} : { structOps: layout }),
      ...(exclusiveTo === undefined ? {} : { exclusiveTo }),
    }
    const created = backend.createMap(request)
    try {
      writeContents(created, map, kconfig)
    } catch (error) {
      created.close()
      throw error
    }
    return created
  } finally {
    if (ownsTemplate) template?.close()
  }
}

function writeContents(created: BackendMap, map: MapSpec, kconfig: Uint8Array | null): void {
  // The value of a struct_ops map is written when it is registered.
  if (map.dataSection === null || map.dataSection === 'struct_ops') return
  const contents = map.dataSection === 'kconfig' ? (kconfig ?? map.contents) : map.contents
  // A new map is all zeros.
  if (contents !== null && contents.some((byte) => byte !== 0)) created.update(indexKey(0), contents)
  if (map.frozen) created.freeze()
}

function indexKey(index: number): Uint8Array {
  const key = new Uint8Array(4)
  new DataView(key.buffer).setUint32(0, index, true)
  return key
}

const HOLDS_MAPS: ReadonlySet<number> = new Set([MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS])
