import { Errno } from '../../uapi/index.ts'
import { CPU_ADDRESS, type MapLayout } from '../engine.ts'
import { Descriptor, Element } from '../runtime/maps/descriptor.ts'
import { CodeSink, Op, ValueType, w, type Code, type FunctionType } from './wasm/index.ts'

const { I32 } = ValueType
const { add, and, eq, get, giveBack, i32, load, mul, ne, not, or, set, shl, shr, store, when, xor } = w

/** Result of a map function that leaves the work to the helper. */
export const SLOW = 0x7fffffff

/** The CPU that the program runs on. */
export const cpu: Code = load(i32(0), CPU_ADDRESS)

/** Address of the key, handle of the map; result: the element or 0. */
export const FIND_FUNCTION: FunctionType = { params: [I32, I32], results: [I32] }
/** Addresses of key and value; result: 0, a negative errno, or SLOW. */
export const UPDATE_FUNCTION: FunctionType = { params: [I32, I32], results: [I32] }
/** Address of the key; result as for an update. */
export const DELETE_FUNCTION: FunctionType = { params: [I32], results: [I32] }
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
  writeHash(code, keySize, key, hash)
  set(element, load(bucketOf(handle, get(hash))))(code)
  code.block()
  code.loop()
  not(get(element))(code)
  code.brIf(1)
  eq(load(get(element), Element.HASH), get(hash))(code)
  code.if()
  not(keyDifference(keySize, key, get(element)))(code)
  code.brIf(2)
  code.end()
  set(element, load(get(element), Element.NEXT))(code)
  code.br(0)
  code.end()
  code.end()
}

function bucketOf(handle: Code, hash: Code): Code {
  return add(load(handle, Descriptor.BASE), shl(and(hash, load(handle, Descriptor.STRIDE)), i32(2)))
}

/** HashTable.hashOf(): words, then what is left, then a final mix (MurmurHash3, 32 bits). */
function writeHash(code: CodeSink, keySize: number, key: Code, hash: number): void {
  set(hash, i32(keySize))(code)
  let at = 0
  for (; at + 4 <= keySize; at += 4) mixWord(hash, load(key, at))(code)
  if (at < keySize) {
    let tail = w.load8(key, at++)
    for (let shift = 8; at < keySize; at++, shift += 8) tail = or(tail, shl(w.load8(key, at), i32(shift)))
    mixWord(hash, tail)(code)
  }
  finish(hash)(code)
}

function mixWord(hash: number, word: Code): Code {
  const mixed = mul(rotate(mul(word, i32(0xcc9e2d51)), 15), i32(0x1b873593))
  return set(hash, add(mul(rotate(xor(mixed, get(hash)), 13), i32(5)), i32(0xe6546b64)))
}

function rotate(value: Code, by: number): Code {
  return (code) => {
    value(code)
    code.i32(by)
    code.op(Op.i32_rotl)
  }
}

function finish(hash: number): Code {
  const shiftXor = (by: number): Code => set(hash, xor(get(hash), shr(get(hash), i32(by))))
  return w.all(
    shiftXor(16),
    set(hash, mul(get(hash), i32(0x85ebca6b))),
    shiftXor(13),
    set(hash, mul(get(hash), i32(0xc2b2ae35))),
    shiftXor(16),
  )
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

/** HashMap.updateAt() of a preallocated or per-CPU map with one of the flags 0 to 2. */
export function updateBody(map: MapLayout, flags: number): CodeSink {
  const [key, value] = [0, 1]
  const code = new CodeSink(2)
  const [hash, old, element, at, next] = [0, 0, 0, 0, 0].map(() => code.addLocal(I32)) as [
    number,
    number,
    number,
    number,
    number,
  ]
  const handle = i32(map.handle)
  writeFind(code, { keySize: map.keySize, key: get(key), handle, hash, element: old })
  if (flags === 1) when(get(old), giveBack(i32(-Errno.EEXIST)))(code)
  if (flags === 2) when(not(get(old)), giveBack(i32(-Errno.ENOENT)))(code)
  if (map.cpuStride !== 0) {
    const to = add(add(get(old), i32(map.valueOffset)), mul(cpu, i32(map.cpuStride)))
    when(not(get(old)), giveBack(i32(SLOW)))(code)
    w.all(set(element, to), w.copy(get(element), get(value), map.valueSize), i32(0))(code)
    return code
  }
  const count = load(handle, Descriptor.COUNT)
  const takeFree = w.all(
    set(element, load(handle, Descriptor.FREE)),
    when(not(get(element)), giveBack(i32(SLOW))),
    store(handle, load(get(element), Element.FREE), Descriptor.FREE),
  )
  const spare = add(i32(map.spare), shl(cpu, i32(2)))
  when(
    get(old),
    w.all(set(element, load(spare)), when(get(element), store(spare, i32(0)), takeFree)),
    w.all(
      when(w.atLeast(count, i32(map.maxEntries)), giveBack(i32(-Errno.E2BIG))),
      // The table has to grow.
      when(w.above(count, load(handle, Descriptor.STRIDE)), giveBack(i32(SLOW))),
      takeFree,
      store(handle, add(count, i32(1)), Descriptor.COUNT),
    ),
  )(code)
  const bucket = bucketOf(handle, get(hash))
  w.all(
    w.copy(add(get(element), i32(map.valueOffset)), get(value), map.valueSize),
    when(get(old), unlink(handle, hash, old, at, next)),
    w.copy(add(get(element), i32(Element.KEY)), get(key), map.keySize),
    store(get(element), get(hash), Element.HASH),
    store(get(element), load(bucket), Element.NEXT),
    store(bucket, get(element)),
    when(get(old), store(spare, get(old))),
    i32(0),
  )(code)
  return code
}

/** Takes an element out of its bucket. */
function unlink(handle: Code, hash: number, element: number, at: number, next: number): Code {
  return w.all(
    set(at, bucketOf(handle, get(hash))),
    set(next, load(get(at))),
    w.during(
      and(ne(get(next), get(element)), ne(get(next), i32(0))),
      w.all(set(at, get(next)), set(next, load(get(at), Element.NEXT))),
    ),
    when(get(next), store(get(at), load(get(element), Element.NEXT))),
  )
}

/** HashMap.deleteAt() of a preallocated map. */
export function deleteBody(map: MapLayout): CodeSink {
  const key = 0
  const code = new CodeSink(1)
  const [hash, element, at, next] = [0, 0, 0, 0].map(() => code.addLocal(I32)) as [number, number, number, number]
  const handle = i32(map.handle)
  writeFind(code, { keySize: map.keySize, key: get(key), handle, hash, element })
  w.all(
    when(not(get(element)), giveBack(i32(-Errno.ENOENT))),
    unlink(handle, hash, element, at, next),
    store(handle, w.sub(load(handle, Descriptor.COUNT), i32(1)), Descriptor.COUNT),
    store(get(element), load(handle, Descriptor.FREE), Element.FREE),
    store(handle, get(element), Descriptor.FREE),
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
