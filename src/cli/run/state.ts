import { BtfKind, readValue, type Btf } from '../../btf/index.ts'
import { isBpfError } from '../../bytes/index.ts'
import type { BackendMap, MapSpec, ObjectSpec } from '../../loader/index.ts'
import { MapType } from '../../uapi/index.ts'
import { mapType } from '../object/words.ts'
import { elementsOf, isArray } from './elements.ts'

/** Types whose keys can be listed and whose values are data. */
const LISTED: ReadonlySet<number> = new Set<number>([
  MapType.HASH,
  MapType.ARRAY,
  MapType.PERCPU_HASH,
  MapType.PERCPU_ARRAY,
  MapType.LRU_HASH,
  MapType.LRU_PERCPU_HASH,
  MapType.LPM_TRIE,
])
const EVENT_MAPS: ReadonlySet<number> = new Set<number>([MapType.RINGBUF, MapType.PERF_EVENT_ARRAY])
/** More entries than anybody reads; the count goes on. */
const MAX_ENTRIES = 4096
/** Event structs that hold no type of the map are found by these words in their name. */
const EVENT_NAME = /event|evt|record|sample|msg|data/i

/** One element of a map; `values` has one for each CPU, or just one. */
export interface EntryState {
  readonly key: Uint8Array
  readonly values: readonly Uint8Array[]
}

/** What a map holds after the runs. */
export interface MapState {
  readonly spec: MapSpec
  readonly perCpu: boolean
  /** Elements by key; of arrays only those that are not all zeros. */
  readonly entries: readonly EntryState[]
  /** Elements that are not in `entries` because there are too many. */
  readonly more: number
}

/** One record of a ring or perf buffer. */
export interface EventState {
  readonly map: string
  readonly cpu: number
  readonly data: Uint8Array
  /** Its type in the object's BTF, 0 when unknown. */
  readonly typeId: number
}

/** Contents of all maps that can be listed and hold something, data sections included. */
export function collectMaps(spec: ObjectSpec, maps: ReadonlyMap<string, BackendMap>): MapState[] {
  const states: MapState[] = []
  for (const map of Object.values(spec.maps)) {
    const raw = maps.get(map.name)
    if (raw === undefined || !LISTED.has(raw.type)) continue
    const state = stateOf(map, raw)
    if (state.entries.length > 0) states.push(state)
  }
  return states
}

function stateOf(spec: MapSpec, raw: BackendMap): MapState {
  const entries: EntryState[] = []
  let more = 0
  const skipZeros = isArray(raw)
  for (const { key, value } of elementsOf(raw)) {
    if (skipZeros && value.every((b) => b === 0)) continue
    if (entries.length >= MAX_ENTRIES) more++
    else entries.push({ key: key.slice(), values: split(value.slice(), raw) })
  }
  // Hashes have no order, and another one each time in the kernel.
  if (!isArray(raw)) entries.sort((a, b) => compareKeys(a.key, b.key))
  return { spec, perCpu: raw.valueCount > 1 || isPerCpu(raw.type), entries, more }
}

/** Keys of up to 8 bytes as little-endian numbers, which most of them are; longer ones byte by byte. */
function compareKeys(a: Uint8Array, b: Uint8Array): number {
  const isNumber = a.length <= 8
  for (let i = 0; i < a.length; i++) {
    const at = isNumber ? a.length - 1 - i : i
    const difference = (a[at] ?? 0) - (b[at] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

function isPerCpu(type: number): boolean {
  return type === MapType.PERCPU_ARRAY || type === MapType.PERCPU_HASH || type === MapType.LRU_PERCPU_HASH
}

function split(value: Uint8Array, raw: BackendMap): Uint8Array[] {
  if (raw.valueCount <= 1) return [value.subarray(0, raw.valueSize)]
  const stride = (raw.valueSize + 7) & ~7
  return Array.from({ length: raw.valueCount }, (_, cpu) => value.subarray(cpu * stride, cpu * stride + raw.valueSize))
}

/** Takes records out of ring buffers and perf event arrays; often enough, or they are full and lose some. */
export class EventCollector {
  readonly events: EventState[] = []
  readonly #btf: Btf | null
  readonly #sources: readonly { readonly spec: MapSpec; readonly raw: BackendMap }[]
  readonly #types = new Map<string, number>()

  constructor(spec: ObjectSpec, maps: ReadonlyMap<string, BackendMap>) {
    this.#btf = spec.btf
    this.#sources = Object.values(spec.maps).flatMap((map) => {
      const raw = maps.get(map.name)
      return raw !== undefined && EVENT_MAPS.has(raw.type) ? [{ spec: map, raw }] : []
    })
  }

  /** Takes what there is now. */
  collect(): void {
    for (const { spec, raw } of this.#sources) {
      raw.drain((data, cpu) => {
        this.events.push({ map: spec.name, cpu, data: data.slice(), typeId: this.#typeOf(spec, data.length) })
      })
    }
  }

  /** Records that did not fit their buffer. */
  get lost(): number {
    return this.#sources.reduce((sum, { raw }) => sum + raw.lost, 0)
  }

  #typeOf(map: MapSpec, size: number): number {
    const key = `${size} ${map.name}`
    let typeId = this.#types.get(key)
    if (typeId === undefined) this.#types.set(key, (typeId = eventType(this.#btf, map, size)))
    return typeId
  }
}

/**
 * The type of a record: what the map declares, or else the one struct of the object that has the record's size and
 * the name of an event.
 */
function eventType(btf: Btf | null, map: MapSpec, size: number): number {
  if (btf === null) return 0
  if (map.valueTypeId !== 0 && map.type === MapType.RINGBUF) return map.valueTypeId
  let found = 0
  for (const type of btf.types()) {
    // Records of perf buffers are padded to 8 bytes with the record's size.
    if (type.kind !== BtfKind.STRUCT || !EVENT_NAME.test(type.name)) continue
    const isSize = map.type === MapType.RINGBUF ? type.size === size : type.size <= size && size - type.size < 8
    if (!isSize) continue
    if (found !== 0) return 0
    found = type.id
  }
  return found
}

/** A value by its type for JSON; its bytes (hex digits) when there is no type or it does not fit. */
export function jsonValue(btf: Btf | null, typeId: number, bytes: Uint8Array): unknown {
  if (btf === null || typeId === 0) return bytes
  try {
    return readValue(btf, typeId, bytes, { addresses: 'text' })
  } catch (error) {
    if (!isBpfError(error)) throw error
    return bytes
  }
}

/** Maps as JSON: `{ NAME: { type, entries: [{ key, value | values }] } }`; data sections: `{ NAME: { type, value } }`. */
export function mapsJson(btf: Btf | null, states: readonly MapState[]): Record<string, unknown> {
  const json: Record<string, unknown> = {}
  for (const { spec, perCpu, entries, more } of states) {
    const type = mapType(spec.type)
    if (spec.dataSection !== null) {
      json[spec.name] = { type, value: jsonValue(btf, spec.valueTypeId, entries[0]?.values[0] ?? new Uint8Array(0)) }
      continue
    }
    const list = entries.map(({ key, values }) => {
      const typed = values.map((value) => jsonValue(btf, spec.valueTypeId, value))
      return { key: jsonValue(btf, spec.keyTypeId, key), ...(perCpu ? { values: typed } : { value: typed[0] }) }
    })
    json[spec.name] = { type, entries: list, ...(more > 0 ? { more } : {}) }
  }
  return json
}

/** Events as JSON: `{ map, cpu, data, value? }`. */
export function eventsJson(btf: Btf | null, events: readonly EventState[]): Record<string, unknown>[] {
  return events.map(({ map, cpu, data, typeId }) => ({
    map,
    cpu,
    data,
    ...(typeId === 0 ? {} : { value: jsonValue(btf, typeId, data) }),
  }))
}
