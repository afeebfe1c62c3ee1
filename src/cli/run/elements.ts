import { isBpfError } from '../../bytes/index.ts'
import type { BackendMap } from '../../loader/index.ts'
import { MapType } from '../../uapi/index.ts'

/** Elements that are read by one system call where the kernel can (Linux 5.6). */
const BATCH = 4096
const ARRAYS: ReadonlySet<number> = new Set<number>([MapType.ARRAY, MapType.PERCPU_ARRAY])

/** One element in bytes; a per-CPU value holds those of all CPUs. */
export interface MapElement {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

/** The part of a kernel map that reads many elements at once. */
interface Batched {
  lookupBatch(
    cursor: Uint8Array | null,
    count: number,
  ): {
    readonly count: number
    readonly keys: Uint8Array
    readonly values: Uint8Array
    readonly cursor: Uint8Array | null
  }
}

/** Whether the elements of a map have an index for key. */
export function isArray(map: BackendMap): boolean {
  return ARRAYS.has(map.type)
}

/** All elements of a map. Those that come or go meanwhile may be missed, or met twice. */
export function* elementsOf(map: BackendMap): Generator<MapElement> {
  if (isArray(map) && map.maxEntries > 1 && 'lookupBatch' in map) {
    const first = tryBatch(map as BackendMap & Batched, null)
    if (first !== null) {
      yield* batches(map as BackendMap & Batched, first)
      return
    }
  }
  // A program may delete while keys are walked, and a hash then starts again: a bound ends that.
  let steps = map.maxEntries * 2 + 16
  for (let key = map.nextKey(null); key !== null && steps > 0; key = map.nextKey(key), steps--) {
    const value = map.lookup(key)
    if (value !== null) yield { key, value }
  }
}

type Batch = ReturnType<Batched['lookupBatch']>

/** Null where the kernel has no batches for the type. */
function tryBatch(map: BackendMap & Batched, cursor: Uint8Array | null): Batch | null {
  try {
    return map.lookupBatch(cursor, Math.min(BATCH, map.maxEntries))
  } catch (error) {
    if (isBpfError(error) && error.code === 'syscall') return null
    throw error
  }
}

function* batches(map: BackendMap & Batched, first: Batch): Generator<MapElement> {
  let batch: Batch | null = first
  while (batch !== null) {
    const valueBytes = batch.count === 0 ? 0 : batch.values.length / batch.count
    for (let i = 0; i < batch.count; i++) {
      yield {
        key: batch.keys.subarray(i * map.keySize, (i + 1) * map.keySize),
        value: batch.values.subarray(i * valueBytes, (i + 1) * valueBytes),
      }
    }
    batch = batch.cursor === null ? null : tryBatch(map, batch.cursor)
  }
}
