import type { MapBatch } from '../../../loader/index.ts'
import { Errno, MapType } from '../../../uapi/index.ts'

/** What batches need of a map: the operations of single elements on addresses, which give 0 or a negative errno. */
export interface BatchTarget {
  readonly type: number
  readonly keySize: number
  /** Bytes of a value as user space sees it. */
  readonly valueSize: number
  /** Address of room for one key and one value. */
  readonly key: number
  readonly value: number
  lookup(): number
  update(flags: number): number
  remove(): number
  /** Puts the key after `key` (0 for none) at `target.key`. */
  next(key: number): number
  read(address: number, size: number): Uint8Array
  write(address: number, bytes: Uint8Array): void
}

export type BatchKind = 'lookup' | 'take' | 'update' | 'delete'

const HASHES: readonly number[] = [
  MapType.HASH,
  MapType.LRU_HASH,
  MapType.PERCPU_HASH,
  MapType.LRU_PERCPU_HASH,
  MapType.HASH_OF_MAPS,
]
const READABLE: readonly number[] = [
  ...HASHES,
  MapType.ARRAY,
  MapType.PERCPU_ARRAY,
  MapType.ARRAY_OF_MAPS,
  MapType.LPM_TRIE,
]

/** Map types that have each batch (the map_*_batch members of struct bpf_map_ops). */
const SUPPORTED: Readonly<Record<BatchKind, ReadonlySet<number>>> = {
  lookup: new Set(READABLE),
  update: new Set(READABLE),
  delete: new Set([...HASHES, MapType.LPM_TRIE]),
  take: new Set(HASHES),
}

export function hasBatch(kind: BatchKind, type: number): boolean {
  return SUPPORTED[kind].has(type)
}

/** Up to `count` elements after the key in `cursor`; `take` also deletes them. A negative errno when it fails. */
export function lookupBatch(
  target: BatchTarget,
  cursor: Uint8Array | null,
  count: number,
  take: boolean,
): MapBatch | number {
  const { keySize, valueSize } = target
  // A hash is at its end when nothing is left, other maps when the next key is asked for in vain.
  const wanted = count > 0 && HASHES.includes(target.type) ? count + 1 : count
  const keys: Uint8Array[] = []
  const values: Uint8Array[] = []
  let last = cursor
  let ended = false
  while (keys.length < wanted) {
    if (last !== null && last.length > 0) target.write(target.key, last.subarray(0, keySize))
    const error = target.next(last === null || last.length === 0 ? 0 : target.key)
    if (error === -Errno.ENOENT) {
      ended = true
      break
    }
    if (error !== 0) return error
    if (keys.length === count) break
    const key = target.read(target.key, keySize)
    const found = target.lookup()
    if (found === 0) {
      keys.push(key)
      values.push(target.read(target.value, valueSize))
    } else if (found !== -Errno.ENOENT) return found
    if (take) {
      target.write(target.key, key)
      target.remove()
    } else last = key
  }
  const next = new Uint8Array(take ? 0 : Math.max(4, keySize))
  if (!take && last !== null) next.set(last.subarray(0, keySize))
  return { count: keys.length, keys: joined(keys), values: joined(values), cursor: ended ? null : next }
}

/** Writes elements one after the other; how many, or the first negative errno. */
export function updateBatch(target: BatchTarget, keys: Uint8Array, values: Uint8Array, flags: number): number {
  const count = keys.length / Math.max(1, target.keySize)
  for (let i = 0; i < count; i++) {
    target.write(target.key, keys.subarray(i * target.keySize, (i + 1) * target.keySize))
    target.write(target.value, values.subarray(i * target.valueSize, (i + 1) * target.valueSize))
    const error = target.update(flags)
    if (error !== 0) return error
  }
  return count
}

/** Deletes elements one after the other; how many, or the first negative errno. */
export function deleteBatch(target: BatchTarget, keys: Uint8Array): number {
  const count = keys.length / Math.max(1, target.keySize)
  for (let i = 0; i < count; i++) {
    target.write(target.key, keys.subarray(i * target.keySize, (i + 1) * target.keySize))
    const error = target.remove()
    if (error !== 0) return error
  }
  return count
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}
