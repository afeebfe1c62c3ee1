import { Errno, UpdateFlag } from '../../uapi/index.ts'
import { CPU_ADDRESS, DEFERRED_ADDRESS, MAX_CHAIN, MAX_ELEMENTS, type MapLayout } from '../engine.ts'
import { Deferred, Descriptor, Element, NOT_IN_USE } from '../runtime/maps/descriptor.ts'
import { HASH_FACTOR, WORD_FACTOR, wordFactor } from '../runtime/maps/hash-table.ts'
import { CodeSink, Op, ValueType, w, type Code, type FunctionType } from './wasm/index.ts'

const { I32 } = ValueType
const { add, and, eq, get, giveBack, i32, load, mul, not, or, rotl, set, shl, shr, store, when, xor } = w

/** Result of a map function that leaves the work to the helper. */
export const SLOW = 0x7fffffff

/** The CPU that the program runs on. */
export const cpu: Code = load(i32(0), CPU_ADDRESS)

/** Address of the key, handle of the map; result: the element or 0. */
export const FIND_FUNCTION: FunctionType = { params: [I32, I32], results: [I32] }
/** Addresses of key and value, handle; result: 0, a negative errno, or SLOW. */
export const UPDATE_FUNCTION: FunctionType = { params: [I32, I32, I32], results: [I32] }
/** Address of the key, handle; result as for an update. */
export const DELETE_FUNCTION: FunctionType = { params: [I32, I32], results: [I32] }
/** Handle, element (0 for the first); result: the element after it, or 0. */
export const NEXT_FUNCTION: FunctionType = { params: [I32, I32], results: [I32] }

/** HashTable.find() for keys of one size. */
export function findBody(keySize: number): CodeSink {
  const [key, handle] = [0, 1]
  const code = new CodeSink(2)
  const hash = code.addLocal(I32)
  const element = code.addLocal(I32)
  writeFind(code, { keySize, key: get(key), handle: get(handle), hash, element })
  code.get(element)
  return code
}

interface Search {
  readonly keySize: number
  readonly key: Code
  readonly handle: Code
  /** Locals for the hash and what was found (0 for nothing). */
  readonly hash: number
  readonly element: number
}

function writeFind(code: CodeSink, { keySize, key, handle, hash, element }: Search): void {
  set(hash, hashOf(keySize, key, code.addLocal(I32)))(code)
  set(element, load(bucketOf(handle, get(hash))))(code)
  // Of a short key, the hash tells no more than the key itself.
  const compare = not(keyDifference(keySize, key, get(element)))
  const found =
    keySize > 8
      ? when(
          eq(load(get(element), Element.HASH), get(hash)),
          w.all(compare, (c) => c.brIf(2)),
        )
      : w.all(compare, (c) => c.brIf(1))
  const step = w.all(not(get(element)), (c) => c.brIf(1), found, set(element, load(get(element), Element.NEXT)))
  code.block()
  code.loop()
  // Twice, so that counting costs less: most elements are among the first two of their bucket.
  w.all(step, step)(code)
  goOn(code.addLocal(I32))(code)
  code.end()
  code.end()
}

/**
 * The end of a loop along links: goes on with it unless it went on for too long (at least `most` steps). The local
 * `steps` counts, from 0, in such units that it comes to 0 again then, which is the cheapest to ask.
 */
export function goOn(steps: number, most: number = MAX_CHAIN): Code {
  return w.all(
    add(get(steps), i32(2 ** (32 - Math.ceil(Math.log2(most))))),
    (c) => c.tee(steps),
    (c) => c.brIf(0),
    (c) => c.op(Op.unreachable),
  )
}

function bucketOf(handle: Code, hash: Code): Code {
  return add(load(handle, Descriptor.BASE), shl(and(hash, load(handle, Descriptor.STRIDE)), i32(2)))
}

/** hashBytes() of hash-table.ts; `scratch` is a local. */
export function hashOf(size: number, address: Code, scratch: number): Code {
  let sum = i32(size)
  let at = 0
  for (; at + 4 <= size; at += 4) sum = add(sum, mixWord(load(address, at), at))
  if (at < size) {
    const first = at
    let tail = w.load8(address, at++)
    for (let shift = 8; at < size; at++, shift += 8) tail = or(tail, shl(w.load8(address, at), i32(shift)))
    sum = add(sum, mixWord(tail, first))
  }
  return w.all(
    set(scratch, sum),
    set(scratch, mul(xor(get(scratch), shr(get(scratch), i32(16))), i32(HASH_FACTOR))),
    xor(get(scratch), shr(get(scratch), i32(15))),
  )
}

function mixWord(word: Code, at: number): Code {
  return mul(rotl(mul(word, i32(WORD_FACTOR)), i32(15)), i32(wordFactor(at)))
}

/** Not 0 when the element's key is another. Words of 4 bytes, as keys are mostly written. */
function keyDifference(keySize: number, key: Code, element: Code): Code {
  let result: Code | null = null
  for (let at = 0; at < keySize;) {
    const isWord = at + 4 <= keySize
    const read = isWord ? load : w.load8
    const difference = xor(read(key, at), read(element, Element.KEY + at))
    result = result === null ? difference : or(result, difference)
    at += isWord ? 4 : 1
  }
  return result ?? i32(0)
}

/** The parts that update and delete are made of; all work on the locals of one function. */
class HashCode {
  readonly #map: MapLayout
  readonly #handle: Code
  readonly #at: number
  readonly #next: number
  readonly #steps: number

  constructor(code: CodeSink, map: MapLayout, handle: Code) {
    this.#map = map
    this.#handle = handle
    this.#at = code.addLocal(I32)
    this.#next = code.addLocal(I32)
    this.#steps = code.addLocal(I32)
  }

  get count(): Code {
    return load(this.#handle, Descriptor.COUNT)
  }

  setCount(count: Code): Code {
    return store(this.#handle, count, Descriptor.COUNT)
  }

  /** HashTable.take(), or back with SLOW when there is no free element. */
  take(element: number): Code {
    return w.all(
      set(element, load(this.#handle, Descriptor.FREE)),
      when(not(get(element)), giveBack(i32(SLOW))),
      store(this.#handle, load(get(element), Element.FREE), Descriptor.FREE),
    )
  }

  /** LruOrder.victim(), taken out of its bucket. */
  evict(element: number): Code {
    const { ringOffset } = this.#map
    const referenced = load(get(element), Element.REFERENCED)
    return w.all(
      (c) => c.block(),
      (c) => c.loop(),
      set(element, load(this.#handle, Descriptor.HEAD)),
      store(this.#handle, load(get(element), ringOffset), Descriptor.HEAD),
      set(this.#next, referenced),
      when(eq(get(this.#next), i32(1)), store(get(element), i32(0), Element.REFERENCED)),
      not(get(this.#next)),
      (c) => c.brIf(1),
      goOn(this.#steps, 2 * MAX_ELEMENTS),
      (c) => c.end(),
      (c) => c.end(),
      this.unlink(element),
    )
  }

  /** Takes an element out of its bucket. */
  unlink(element: number): Code {
    const [at, next] = [this.#at, this.#next]
    return w.all(
      set(at, bucketOf(this.#handle, load(get(element), Element.HASH))),
      set(next, load(get(at))),
      (c) => c.block(),
      (c) => c.loop(),
      or(eq(get(next), get(element)), not(get(next))),
      (c) => c.brIf(1),
      set(at, get(next)),
      set(next, load(get(at), Element.NEXT)),
      goOn(this.#steps),
      (c) => c.end(),
      (c) => c.end(),
      when(get(next), store(get(at), load(get(element), Element.NEXT))),
    )
  }

  /** The end of HashTable.insert(). */
  link(element: number, key: Code, hash: number): Code {
    const at = this.#at
    return w.all(
      set(at, bucketOf(this.#handle, get(hash))),
      w.copy(add(get(element), i32(Element.KEY)), key, this.#map.keySize),
      store(get(element), get(hash), Element.HASH),
      store(get(element), load(get(at)), Element.NEXT),
      store(get(at), get(element)),
    )
  }

  /** HashMap.freeElement(). */
  release(element: number): Code {
    const handle = this.#handle
    if (!this.#map.preallocated) return defer(handle, add(get(element), i32(Deferred.IN_ELEMENT)))
    const push = w.all(
      store(get(element), load(handle, Descriptor.FREE), Element.FREE),
      store(handle, get(element), Descriptor.FREE),
    )
    if (this.#map.kind !== 'lru') return push
    return w.all(store(get(element), i32(NOT_IN_USE), Element.REFERENCED), push)
  }
}

const part = (address: Code, offset: number): Code => (offset === 0 ? address : add(address, i32(offset)))

/** VmMap.copyValue(). */
export function copyValue({ copied }: MapLayout, to: Code, from: Code): Code {
  return w.all(...copied.map(({ offset, size }) => w.copy(part(to, offset), part(from, offset), size)))
}

/** VmMap.clearFields() of values that have no more than locks. */
function clearLocks({ locks }: MapLayout, value: Code): Code {
  return w.all(...locks.map(({ offset, size }) => w.zero(part(value, offset), size)))
}

/** MapHost.reclaimLater() during a run. */
export function defer(handle: Code, entry: Code): Code {
  return w.all(
    store(entry, handle, Deferred.MAP),
    store(entry, load(i32(0), DEFERRED_ADDRESS), Deferred.NEXT),
    store(i32(0), entry, DEFERRED_ADDRESS),
  )
}

/** updateAt() of a hash, per CPU and LRU or not, with one of the flags 0 to 2; plus 4 (BPF_F_LOCK) with locks. */
export function updateBody(map: MapLayout, flags: number): CodeSink {
  const [key, value, handle] = [0, 1, 2]
  const code = new CodeSink(3)
  const [hash, old, element] = [code.addLocal(I32), code.addLocal(I32), code.addLocal(I32)]
  const table = new HashCode(code, map, get(handle))
  const isLru = map.kind === 'lru'
  const isFull = w.atLeast(table.count, load(get(handle), Descriptor.MAX_ENTRIES))
  const setReferenced = (to: number): Code => (isLru ? store(get(element), i32(to), Element.REFERENCED) : w.all())
  // The table may have to grow; when it is full, it did so before.
  const needsRoom = w.above(shl(table.count, i32(1)), load(get(handle), Descriptor.STRIDE))
  const takeNew = when(
    isFull,
    isLru ? table.evict(element) : giveBack(i32(-Errno.E2BIG)),
    w.all(when(needsRoom, giveBack(i32(SLOW))), table.take(element), table.setCount(add(table.count, i32(1)))),
  )
  const valueAt = add(get(element), i32(map.valueOffset))
  writeFind(code, { keySize: map.keySize, key: get(key), handle: get(handle), hash, element: old })
  if ((flags & 3) === 1) when(get(old), giveBack(i32(-Errno.EEXIST)))(code)
  if ((flags & 3) === 2) when(not(get(old)), giveBack(i32(-Errno.ENOENT)))(code)
  if (map.cpuStride !== 0) {
    w.all(
      when(
        get(old),
        w.all(set(element, get(old)), setReferenced(1)),
        w.all(
          takeNew,
          w.zero(valueAt, map.cpuStride * map.valueCount),
          table.link(element, get(key), hash),
          setReferenced(0),
        ),
      ),
      set(element, add(valueAt, mul(cpu, i32(map.cpuStride)))),
      w.copy(get(element), get(value), map.valueSize),
      i32(0),
    )(code)
    return code
  }
  if ((flags & UpdateFlag.LOCK) !== 0) {
    const inPlace = copyValue(map, add(get(old), i32(map.valueOffset)), get(value))
    when(get(old), w.all(inPlace, giveBack(i32(0))))(code)
  }
  const usesSpare = map.preallocated && !isLru
  const spare = add(load(get(handle), Descriptor.SPARE), shl(cpu, i32(2)))
  const takeAnother = usesSpare
    ? w.all(set(element, load(spare)), when(get(element), store(spare, i32(0)), table.take(element)))
    : table.take(element)
  w.all(
    when(get(old), takeAnother, takeNew),
    clearLocks(map, valueAt),
    copyValue(map, valueAt, get(value)),
    when(get(old), table.unlink(old)),
    table.link(element, get(key), hash),
    when(get(old), w.all(usesSpare ? store(spare, get(old)) : table.release(old), setReferenced(1)), setReferenced(0)),
    i32(0),
  )(code)
  return code
}

/** HashMap.deleteAt(). */
export function deleteBody(map: MapLayout): CodeSink {
  const [key, handle] = [0, 1]
  const code = new CodeSink(2)
  const [hash, element] = [code.addLocal(I32), code.addLocal(I32)]
  const table = new HashCode(code, map, get(handle))
  writeFind(code, { keySize: map.keySize, key: get(key), handle: get(handle), hash, element })
  w.all(
    when(not(get(element)), giveBack(i32(-Errno.ENOENT))),
    table.unlink(element),
    table.setCount(w.sub(table.count, i32(1))),
    table.release(element),
    i32(0),
  )(code)
  return code
}

/** HashTable.next(). */
export function nextBody(): CodeSink {
  const [handle, element] = [0, 1]
  const code = new CodeSink(2)
  const bucket = code.addLocal(I32)
  const head = code.addLocal(I32)
  const mask = load(get(handle), Descriptor.STRIDE)
  w.all(
    when(
      get(element),
      w.all(
        set(head, load(get(element), Element.NEXT)),
        when(get(head), giveBack(get(head))),
        set(bucket, add(and(load(get(element), Element.HASH), mask), i32(1))),
      ),
    ),
    w.during(
      w.not(w.above(get(bucket), mask)),
      w.all(
        set(head, load(add(load(get(handle), Descriptor.BASE), shl(get(bucket), i32(2))))),
        when(get(head), giveBack(get(head))),
        set(bucket, add(get(bucket), i32(1))),
      ),
    ),
    i32(0),
  )(code)
  return code
}
