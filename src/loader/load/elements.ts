import { isBpfError } from '../../bytes/index.ts'
import type { BackendMap, MapBatch } from '../backend.ts'

/** Elements that are read by one system call, at first. */
const BATCH = 4096
/** An entry that is added or changed while entries are walked may be met again; this many more ends it. */
const WALK_SLACK = 64

/** Elements of a map, one after the other in both arrays. */
export type ElementBlock = Pick<MapBatch, 'count' | 'keys' | 'values'>

/**
 * All elements of a map: many by one call where the backend can, otherwise one by one. Those that come, go or change
 * meanwhile may be missed, or met as they were a block before. Values may be more bytes than the map's value size: see
 * {@link BackendMap}.
 */
export function* elementBlocks(map: BackendMap): Generator<ElementBlock, void> {
  const first = tryBatch(map, null)
  if (first !== null) yield* batches(map, first)
  else yield* walk(map)
}

/** Keys one by one; ends also when others keep changing the map. */
export function* walkKeys(map: BackendMap): Generator<Uint8Array, void> {
  let left = map.maxEntries + WALK_SLACK
  for (let key = map.nextKey(null); key !== null && left > 0; left--) {
    const next = map.nextKey(key)
    yield key
    key = next
  }
}

function* walk(map: BackendMap): Generator<ElementBlock, void> {
  for (const keys of walkKeys(map)) {
    const values = map.lookup(keys)
    if (values !== null) yield { count: 1, keys, values }
  }
}

function* batches(map: BackendMap, first: MapBatch): Generator<ElementBlock, void> {
  let batch: MapBatch | null = first
  // A hash that others keep filling has as many buckets as before, so this ends.
  while (batch !== null) {
    yield batch
    batch = batch.cursor === null ? null : tryBatch(map, batch.cursor)
  }
}

/** Null where the backend or its kernel has no batches for the map (Linux 5.6 has them for arrays and hashes). */
function tryBatch(map: BackendMap, cursor: Uint8Array | null): MapBatch | null {
  if (map.lookupBatch === undefined || map.maxEntries <= 1) return null
  for (let count = Math.min(BATCH, map.maxEntries); ; count *= 2) {
    try {
      return map.lookupBatch(cursor, count)
    } catch (error) {
      if (!isBpfError(error) || error.code !== 'syscall') throw error
      // A bucket of a hash that does not fit as a whole.
      if (error.errno === 'ENOSPC' && count <= map.maxEntries) continue
      if (cursor !== null) throw error
      return null
    }
  }
}
