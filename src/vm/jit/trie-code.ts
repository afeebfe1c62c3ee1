import { Errno } from '../../uapi/index.ts'
import type { MapLayout } from '../engine.ts'
import { Deferred, Descriptor, TrieNode } from '../runtime/maps/descriptor.ts'
import { defer, goOn, SLOW } from './hash-code.ts'
import { CodeSink, ValueType, w, type Code, type FunctionType } from './wasm/index.ts'

const { I32, I64 } = ValueType
const { add, and, eq, get, giveBack, i32, load, not, set, shl, shr, store, sub, when, xor } = w

/** Bytes of the prefix length in front of a key's data. */
const PREFIX_BYTES = 4

/** Address of the key, handle; result: address of the value or 0. */
export const TRIE_LOOKUP_FUNCTION: FunctionType = { params: [I32, I32], results: [I32] }

/** Whether tries with such keys are compiled: their data are whole words. */
export function isTrieKey(keySize: number): boolean {
  return keySize % 4 === 0
}

/** Bit `index` of data, where the first bit is the highest of the first byte; times 4. */
function bitTimes4(data: Code, index: Code): Code {
  const byte = w.load8(add(data, shr(index, i32(3))))
  return and(shr(shl(byte, i32(2)), and(xor(index, i32(7)), i32(7))), i32(4))
}

/**
 * LpmTrieMap.lookupAt(). Only stored prefixes are compared: below a fork that the key has left, none matches. The time
 * goes into waiting for the next node, so both children are read before it is known which one it is.
 */
export function trieLookupBody(map: MapLayout): CodeSink {
  const [key, handle] = [0, 1]
  const code = new CodeSink(2)
  const [prefix, node, bits, found, left] = [0, 0, 0, 0, 0].map(() => code.addLocal(I32)) as [
    number,
    number,
    number,
    number,
    number,
  ]
  const dataSize = map.keySize - PREFIX_BYTES
  const { prepare, isOne } = keyBits(code, key, dataSize, get(bits))
  let mismatch: Code
  if (dataSize === 4) {
    mismatch = and(xor(load(get(key), PREFIX_BYTES), load(get(node), TrieNode.DATA)), load(get(node), TrieNode.MASK))
  } else {
    const common = new CommonBits(code, get(key), get(node))
    mismatch = w.all(common.find(get(bits)), w.below(get(common.bits), get(bits)))
  }
  const right = load(get(node), TrieNode.CHILDREN + 4)
  const step = w.all(
    not(get(node)),
    (c) => c.brIf(1),
    set(bits, load(get(node), TrieNode.PREFIX)),
    set(left, load(get(node), TrieNode.CHILDREN)),
    w.above(get(bits), get(prefix)),
    (c) => c.brIf(1),
    when(
      load(get(node), TrieNode.STORED),
      w.all(
        mismatch,
        (c) => c.brIf(2),
        set(found, get(node)),
        eq(get(bits), get(prefix)),
        (c) => c.brIf(2),
      ),
    ),
    set(node, xor(get(left), and(xor(get(left), right), isOne))),
  )
  w.all(
    set(prefix, load(get(key))),
    when(w.above(get(prefix), i32(dataSize * 8)), giveBack(i32(0))),
    prepare,
    set(node, load(get(handle), Descriptor.BASE)),
    (c) => c.block(),
    (c) => c.loop(),
    // Twice, so that counting costs less.
    step,
    step,
    goOn(code.addLocal(I32), mostNodes(dataSize)),
    (c) => c.end(),
    (c) => c.end(),
    w.choose(get(found), add(get(found), i32(map.valueOffset)), i32(0)),
  )(code)
  return code
}

/** Nodes on the way down at most: one for each length of a prefix. */
const mostNodes = (dataSize: number): number => dataSize * 8 + 2

/** `isOne`: -1 when bit `index` of the key at a local's address is 1, otherwise 0; `prepare` goes before. */
function keyBits(code: CodeSink, key: number, dataSize: number, index: Code): { prepare: Code; isOne: Code } {
  const word = (at: number): Code => w.reverseBytes(load(get(key), PREFIX_BYTES + at))
  if (dataSize === 4) {
    const bits = code.addLocal(I32)
    return { prepare: set(bits, word(0)), isOne: w.shrSigned(shl(get(bits), index), i32(31)) }
  }
  if (dataSize > 16) {
    const byte = w.load8(add(get(key), shr(index, i32(3))), PREFIX_BYTES)
    return { prepare: w.all(), isOne: w.shrSigned(shl(byte, add(i32(24), and(index, i32(7)))), i32(31)) }
  }
  const [high, low] = [code.addLocal(I64), code.addLocal(I64)]
  const half = (at: number): Code => {
    const upper = w.shl64(w.extend(word(at)), w.i64(32))
    return at + 4 < dataSize ? w.or64(upper, w.extend(word(at + 4))) : upper
  }
  const bits = dataSize > 8 ? w.choose(w.below(index, i32(64)), get(high), get(low)) : get(high)
  return {
    prepare: w.all(set(high, half(0)), dataSize > 8 ? set(low, half(8)) : w.all()),
    isOne: w.wrap(w.shrSigned64(w.shl64(bits, w.extend(index)), w.i64(63))),
  }
}

/** LpmTrieMap's number of bits that a key and nodes on the way down have in common. */
class CommonBits {
  /** Local for the result. A node further down has those of the node above too. */
  readonly bits: number
  readonly #key: Code
  readonly #node: Code
  readonly #difference: number

  constructor(code: CodeSink, key: Code, node: Code) {
    this.#key = key
    this.#node = node
    this.bits = code.addLocal(I32)
    this.#difference = code.addLocal(I32)
  }

  /** Finds up to `limit` of them, by whole words from where the node above has ended. */
  find(limit: Code): Code {
    const at = get(this.bits)
    const bytes = shr(at, i32(3))
    const difference = xor(load(add(this.#key, bytes), PREFIX_BYTES), load(add(this.#node, bytes), TrieNode.DATA))
    return w.all(
      set(this.bits, and(at, i32(~31))),
      (c) => c.block(),
      (c) => c.loop(),
      w.not(w.below(at, limit)),
      (c) => c.brIf(1),
      set(this.#difference, difference),
      when(
        get(this.#difference),
        w.all(set(this.bits, add(at, w.clz(w.reverseBytes(get(this.#difference))))), (c) => c.br(2)),
      ),
      set(this.bits, add(at, i32(32))),
      (c) => c.br(0),
      (c) => c.end(),
      (c) => c.end(),
      set(this.bits, w.choose(w.below(at, limit), at, limit)),
    )
  }
}

/** What update and delete share: the way down to where the key is or belongs. */
class TrieCode {
  readonly prefix: number
  /** The node, 0 for none, and where its address is. */
  readonly node: number
  readonly link: number
  readonly parent: number
  readonly parentLink: number
  readonly bits: number
  readonly common: CommonBits
  readonly #depth: number
  readonly #map: MapLayout
  readonly #key: number
  readonly #handle: number

  constructor(code: CodeSink, map: MapLayout, key: number, handle: number) {
    this.#map = map
    this.#key = key
    this.#handle = handle
    this.prefix = code.addLocal(I32)
    this.node = code.addLocal(I32)
    this.link = code.addLocal(I32)
    this.parent = code.addLocal(I32)
    this.parentLink = code.addLocal(I32)
    this.bits = code.addLocal(I32)
    this.#depth = code.addLocal(I32)
    this.common = new CommonBits(code, get(key), get(this.node))
  }

  get count(): Code {
    return load(get(this.#handle), Descriptor.COUNT)
  }

  /** Goes down until there is no node, the key's prefix is the node's, or they part. */
  descend(): Code {
    const { prefix, node, link, bits, common } = this
    const { keySize } = this.#map
    const limit = w.choose(w.below(get(bits), get(prefix)), get(bits), get(prefix))
    return w.all(
      set(prefix, load(get(this.#key))),
      when(w.above(get(prefix), i32((keySize - PREFIX_BYTES) * 8)), giveBack(i32(-Errno.EINVAL))),
      set(link, add(get(this.#handle), i32(Descriptor.BASE))),
      (c) => c.block(),
      (c) => c.loop(),
      set(node, load(get(link))),
      not(get(node)),
      (c) => c.brIf(1),
      set(bits, load(get(node), TrieNode.PREFIX)),
      common.find(limit),
      w.below(get(common.bits), get(bits)),
      (c) => c.brIf(1),
      eq(get(bits), get(prefix)),
      (c) => c.brIf(1),
      set(this.parent, get(node)),
      set(this.parentLink, get(link)),
      set(link, add(get(node), bitTimes4(add(get(this.#key), i32(PREFIX_BYTES)), get(bits)))),
      goOn(this.#depth, mostNodes(keySize - PREFIX_BYTES)),
      (c) => c.end(),
      (c) => c.end(),
    )
  }

  /** Whether the node is the key's prefix, or a fork there. */
  get isExact(): Code {
    const { node, bits, prefix, common } = this
    return and(and(w.ne(get(node), i32(0)), eq(get(bits), get(prefix))), eq(get(common.bits), get(prefix)))
  }

  /** A node for `prefix` bits of data, as #newNode(); there is a free one. */
  newNode(to: number, data: Code, prefix: Code, stored: number): Code {
    const handle = get(this.#handle)
    const mask = w.reverseBytes(shl(i32(-1), sub(i32(32), prefix)))
    return w.all(
      set(to, load(handle, Descriptor.FREE)),
      store(handle, load(get(to), TrieNode.FREE), Descriptor.FREE),
      w.zero(add(get(to), i32(TrieNode.CHILDREN)), 8),
      store(get(to), prefix, TrieNode.PREFIX),
      store(get(to), i32(stored), TrieNode.STORED),
      store(get(to), w.choose(w.above(prefix, i32(31)), i32(-1), w.choose(prefix, mask, i32(0))), TrieNode.MASK),
      w.copy(add(get(to), i32(TrieNode.DATA)), data, this.#map.keySize - PREFIX_BYTES),
    )
  }

  /** Back with SLOW unless there are two free nodes. */
  needNodes(): Code {
    const first = load(get(this.#handle), Descriptor.FREE)
    return w.all(when(not(first), giveBack(i32(SLOW))), when(not(load(first, TrieNode.FREE)), giveBack(i32(SLOW))))
  }

  /** Puts `child` below a node of `prefix` bits. */
  setChild(node: number, child: number, prefix: Code): Code {
    return store(add(get(node), bitTimes4(add(get(child), i32(TrieNode.DATA)), prefix)), get(child))
  }

  discard(node: number): Code {
    return defer(get(this.#handle), add(get(node), i32(Deferred.IN_NODE)))
  }

  changed(count: Code): Code {
    const handle = get(this.#handle)
    return w.all(
      store(handle, count, Descriptor.COUNT),
      store(handle, add(load(handle, Descriptor.EXTRA), i32(1)), Descriptor.EXTRA),
    )
  }
}

/** LpmTrieMap.updateAt() with one of the flags 0 to 2; parameters are those of a hash's update. */
export function trieUpdateBody(map: MapLayout, flags: number): CodeSink {
  const [key, value, handle] = [0, 1, 2]
  const code = new CodeSink(3)
  const trie = new TrieCode(code, map, key, handle)
  const [exact, replaces, added, fork] = [0, 0, 0, 0].map(() => code.addLocal(I32)) as [number, number, number, number]
  const { node, link, common } = trie
  const isFull = w.atLeast(trie.count, load(get(handle), Descriptor.MAX_ENTRIES))
  const setLink = (to: number): Code => store(get(link), get(to))
  w.all(
    trie.descend(),
    set(exact, trie.isExact),
    when(get(exact), set(replaces, load(get(node), TrieNode.STORED))),
    flags === 1 ? when(get(replaces), giveBack(i32(-Errno.EEXIST))) : w.all(),
    flags === 2 ? when(not(get(replaces)), giveBack(i32(-Errno.ENOENT))) : w.all(),
    when(not(get(replaces)), when(isFull, giveBack(i32(-Errno.ENOSPC)))),
    trie.needNodes(),
    trie.newNode(added, add(get(key), i32(PREFIX_BYTES)), get(trie.prefix), 1),
    w.copy(add(get(added), i32(map.valueOffset)), get(value), map.valueSize),
    when(
      get(exact),
      w.all(
        w.copy(add(get(added), i32(TrieNode.CHILDREN)), add(get(node), i32(TrieNode.CHILDREN)), 8),
        setLink(added),
        trie.discard(node),
      ),
      when(
        not(get(node)),
        setLink(added),
        when(
          eq(get(common.bits), get(trie.prefix)),
          w.all(trie.setChild(added, node, get(trie.prefix)), setLink(added)),
          w.all(
            trie.newNode(fork, add(get(node), i32(TrieNode.DATA)), get(common.bits), 0),
            trie.setChild(fork, added, get(common.bits)),
            trie.setChild(fork, node, get(common.bits)),
            setLink(fork),
          ),
        ),
      ),
    ),
    trie.changed(add(trie.count, not(get(replaces)))),
    i32(0),
  )(code)
  return code
}

/** LpmTrieMap.deleteAt(). */
export function trieDeleteBody(map: MapLayout): CodeSink {
  const [key, handle] = [0, 1]
  const code = new CodeSink(2)
  const trie = new TrieCode(code, map, key, handle)
  const [left, right, fork] = [0, 0, 0].map(() => code.addLocal(I32)) as [number, number, number]
  const { node, link, parent, parentLink } = trie
  const sibling = add(get(parent), shl(eq(get(link), get(parent)), i32(2)))
  w.all(
    trie.descend(),
    when(not(trie.isExact), giveBack(i32(-Errno.ENOENT))),
    when(not(load(get(node), TrieNode.STORED)), giveBack(i32(-Errno.ENOENT))),
    set(left, load(get(node), TrieNode.CHILDREN)),
    set(right, load(get(node), TrieNode.CHILDREN + 4)),
    when(
      and(w.ne(get(left), i32(0)), w.ne(get(right), i32(0))),
      w.all(
        trie.needNodes(),
        trie.newNode(fork, add(get(node), i32(TrieNode.DATA)), get(trie.prefix), 0),
        w.copy(add(get(fork), i32(TrieNode.CHILDREN)), add(get(node), i32(TrieNode.CHILDREN)), 8),
        store(get(link), get(fork)),
      ),
      w.all(
        store(get(link), w.or(get(left), get(right))),
        // A fork with one branch left is none.
        when(
          and(not(w.or(get(left), get(right))), w.ne(get(parent), i32(0))),
          when(
            not(load(get(parent), TrieNode.STORED)),
            w.all(store(get(parentLink), load(sibling)), trie.discard(parent)),
          ),
        ),
      ),
    ),
    trie.discard(node),
    trie.changed(sub(trie.count, i32(1))),
    i32(0),
  )(code)
  return code
}
