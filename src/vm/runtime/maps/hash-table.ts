import { BpfError, isBpfError } from '../../../bytes/index.ts'
import type { LinearMemory } from '../memory.ts'
import { Descriptor, Element, NOT_IN_USE } from './descriptor.ts'
import { checkLinks } from './links.ts'
import { roundUp8 } from './map.ts'
import { Slabs } from './slabs.ts'

/** Elements that are allocated at a time. */
const SLAB_BYTES = 16384
const FIRST_BUCKETS = 16

/**
 * A chained hash table in linear memory: bucket heads and elements by the layout in descriptor.ts. Elements never
 * move; the array of bucket heads is doubled when more than half as many elements are in it.
 */
export class HashTable {
  readonly #memory: LinearMemory
  readonly #handle: number
  readonly keySize: number
  readonly valueOffset: number
  readonly elementSize: number
  #buckets: number
  #mask: number
  readonly #slabs: Slabs
  /** Bytes from an element to the link that makes a ring of all elements there are; 0 when there is none. */
  readonly ringOffset: number
  /** Elements that there are, free ones too. */
  #made = 0
  /** The element whose link closes the ring. */
  #ringEnd = 0

  /** @param ring whether all elements, free ones too, make a ring, which Descriptor.HEAD is in */
  constructor(memory: LinearMemory, handle: number, keySize: number, valueBytes: number, ring: boolean = false) {
    this.#memory = memory
    this.#slabs = new Slabs(memory)
    this.#handle = handle
    this.keySize = keySize
    this.valueOffset = Element.KEY + roundUp8(keySize)
    this.ringOffset = ring ? this.valueOffset + valueBytes : 0
    this.elementSize = this.valueOffset + valueBytes + (ring ? 8 : 0)
    this.#mask = FIRST_BUCKETS - 1
    this.#buckets = memory.allocate(FIRST_BUCKETS * 4)
    memory.setU32(handle + Descriptor.VALUE_OFFSET, this.valueOffset)
    this.#publish()
  }

  /** Elements in the table. In memory, because compiled programs add and remove elements too. */
  get count(): number {
    return this.#memory.u32(this.#handle + Descriptor.COUNT)
  }

  /** Address of the element with the key at `key`, 0 for none. */
  find(key: number): number {
    const view = this.#memory.view
    const hash = this.hashOf(key)
    let element = view.getUint32(this.#buckets + (hash & this.#mask) * 4, true)
    for (let steps = 1; element !== 0; steps++) {
      if (view.getInt32(element + Element.HASH, true) === hash && this.#sameKey(element + Element.KEY, key)) {
        return element
      }
      element = view.getUint32(element, true)
      checkLinks(steps, this.#made)
    }
    return 0
  }

  /** A free element, its header and contents undefined. */
  take(): number {
    const memory = this.#memory
    const element = memory.u32(this.#handle + Descriptor.FREE)
    if (element !== 0) {
      memory.setU32(this.#handle + Descriptor.FREE, memory.u32(element + Element.FREE))
      return element
    }
    const count = Math.max(1, Math.min(1024, Math.floor(SLAB_BYTES / this.elementSize)))
    const slab = this.#slabs.add(count * this.elementSize)
    this.#made += count
    const last = slab + (count - 1) * this.elementSize
    if (this.ringOffset !== 0) this.#extendRing(slab, last)
    for (let element = last; element > slab; element -= this.elementSize) this.give(element)
    return slab
  }

  /** Allocates buckets and elements for so many at once. */
  reserve(elements: number): void {
    while (elements * 2 > this.#mask) {
      const before = this.#mask
      this.#double()
      if (this.#mask === before)
        throw new BpfError('limit', `no memory for a hash of ${elements} elements`, { errno: 'ENOMEM' })
    }
    const taken = Array.from({ length: elements }, () => this.take())
    for (const element of taken.reverse()) this.give(element)
  }

  /** Elements that there are, in buckets or not. */
  get size(): number {
    return this.#made
  }

  /** The element of the ring behind `element`. */
  nextInRing(element: number): number {
    return this.#memory.u32(element + this.ringOffset)
  }

  #extendRing(first: number, last: number): void {
    const memory = this.#memory
    const head = this.#handle + Descriptor.HEAD
    if (this.#ringEnd === 0) memory.setU32(head, first)
    const start = this.#ringEnd === 0 ? first : this.nextInRing(this.#ringEnd)
    if (this.#ringEnd !== 0) memory.setU32(this.#ringEnd + this.ringOffset, first)
    for (let element = first; element < last; element += this.elementSize) {
      memory.setU32(element + this.ringOffset, element + this.elementSize)
    }
    memory.setU32(last + this.ringOffset, start)
    this.#ringEnd = last
  }

  /** Puts an element, that no bucket holds any more, back. */
  give(element: number): void {
    const memory = this.#memory
    if (this.ringOffset !== 0) memory.setU32(element + Element.REFERENCED, NOT_IN_USE)
    memory.setU32(element + Element.FREE, memory.u32(this.#handle + Descriptor.FREE))
    memory.setU32(this.#handle + Descriptor.FREE, element)
  }

  /** Adds an element with the key at `key`, which must not be in the table. */
  insert(element: number, key: number): void {
    const memory = this.#memory
    const { count } = this
    if (count * 2 > this.#mask) this.#double()
    const hash = this.hashOf(key)
    const bucket = this.#buckets + (hash & this.#mask) * 4
    memory.copy(element + Element.KEY, key, this.keySize)
    memory.view.setInt32(element + Element.HASH, hash, true)
    memory.setU32(element + Element.NEXT, memory.u32(bucket))
    memory.setU32(bucket, element)
    memory.setU32(this.#handle + Descriptor.COUNT, count + 1)
  }

  /** Takes an element out of its bucket; its contents stay for those who hold a pointer. */
  remove(element: number): void {
    const memory = this.#memory
    let at = this.#buckets + (memory.u32(element + Element.HASH) & this.#mask) * 4
    for (let steps = 1; ; steps++) {
      const next = memory.u32(at)
      if (next === 0) return
      if (next === element) break
      at = next + Element.NEXT
      checkLinks(steps, this.#made)
    }
    memory.setU32(at, memory.u32(element + Element.NEXT))
    memory.setU32(this.#handle + Descriptor.COUNT, this.count - 1)
  }

  /** The element after `element` in the order of the table, the first one for 0; 0 at the end. */
  next(element: number): number {
    const memory = this.#memory
    let bucket = 0
    if (element !== 0) {
      const next = memory.u32(element + Element.NEXT)
      if (next !== 0) return next
      bucket = (memory.u32(element + Element.HASH) & this.#mask) + 1
    }
    for (; bucket <= this.#mask; bucket++) {
      const head = memory.u32(this.#buckets + bucket * 4)
      if (head !== 0) return head
    }
    return 0
  }

  /** All elements, for when the map goes away: ends early where a program has overwritten links. */
  *elements(): Generator<number> {
    let left = this.count
    for (let element = this.next(0); element !== 0 && left > 0; element = this.next(element), left--) {
      if (element + this.elementSize > this.#memory.size) return
      yield element
    }
  }

  /** Gives all memory back. */
  release(): void {
    this.#memory.free(this.#buckets, (this.#mask + 1) * 4)
    this.#slabs.release()
  }

  hashOf(key: number): number {
    return hashBytes(this.#memory.view, key, this.keySize)
  }

  #sameKey(a: number, b: number): boolean {
    const view = this.#memory.view
    const size = this.keySize
    let at = 0
    for (; at + 4 <= size; at += 4) {
      if (view.getInt32(a + at, true) !== view.getInt32(b + at, true)) return false
    }
    for (; at < size; at++) {
      if (view.getUint8(a + at) !== view.getUint8(b + at)) return false
    }
    return true
  }

  #double(): void {
    const memory = this.#memory
    const old = this.#buckets
    const oldMask = this.#mask
    try {
      this.#buckets = memory.allocate((oldMask + 1) * 8)
    } catch (error) {
      // Longer chains are better than no update.
      if (isBpfError(error)) return
      throw error
    }
    this.#mask = oldMask * 2 + 1
    for (let bucket = 0; bucket <= oldMask; bucket++) {
      let element = memory.u32(old + bucket * 4)
      for (let steps = 1; element !== 0; steps++) {
        checkLinks(steps, this.#made)
        const next = memory.u32(element + Element.NEXT)
        const to = this.#buckets + (memory.u32(element + Element.HASH) & this.#mask) * 4
        memory.setU32(element + Element.NEXT, memory.u32(to))
        memory.setU32(to, element)
        element = next
      }
    }
    memory.free(old, (oldMask + 1) * 4)
    this.#publish()
  }

  #publish(): void {
    this.#memory.setU32(this.#handle + Descriptor.BASE, this.#buckets)
    this.#memory.setU32(this.#handle + Descriptor.STRIDE, this.#mask)
  }
}

/** Factors of the hash, as in MurmurHash3; that of a word is different for each place. */
export const HASH_FACTOR = 0x85ebca6b
export const WORD_FACTOR = 0xcc9e2d51
export const wordFactor = (at: number): number => (Math.imul(0x1b873593, at * 2 + 1) | 1) >>> 0

/**
 * Hash of a key: the sum of its 32-bit words (the last bytes are one too), each mixed by itself with a factor for its
 * place, so that processors work on several at a time, and mixed again.
 */
export function hashBytes(view: DataView, address: number, size: number): number {
  let hash = size
  let at = 0
  for (; at + 4 <= size; at += 4) hash = (hash + mixWord(view.getInt32(address + at, true), at)) | 0
  if (at < size) {
    const first = at
    let tail = 0
    for (let shift = 0; at < size; at++, shift += 8) tail |= view.getUint8(address + at) << shift
    hash = (hash + mixWord(tail, first)) | 0
  }
  hash = Math.imul(hash ^ (hash >>> 16), HASH_FACTOR)
  return hash ^ (hash >>> 15)
}

function mixWord(word: number, at: number): number {
  const k = Math.imul(word, WORD_FACTOR)
  return Math.imul((k << 15) | (k >>> 17), wordFactor(at))
}
