import type { Chunk } from './chunk.ts'
import type { BtfValue } from './types.ts'

/** Reads a part of the record at an offset that was checked before. */
export type PartReader = (chunk: Chunk, at: number) => BtfValue

interface BtfRecord {
  [member: string]: BtfValue
}

/** Members that have a statement of their own below. */
const UNROLLED = 12

/**
 * A function that makes plain objects with these members, in this order. A constructor gives all of them one hidden
 * class, and one statement for each position, rather than a loop, lets the engine learn each position's name: this is as
 * fast as an object literal, without generating source text (which content security policies forbid).
 */
export function recordMaker(members: readonly string[], readers: readonly PartReader[]): PartReader {
  // Text out of a decoder is compared letter by letter when it is used as a key; the keys of an object are not.
  const names = members.map((name) => Object.keys({ [name]: 0 })[0] as string)
  const count = names.length
  const [n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, n10, n11] = names as string[] & NamesOf
  const [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11] = readers as PartReader[] & ReadersOf
  function fill(this: BtfRecord, chunk: Chunk, at: number): void {
    if (count === 0) return
    this[n0] = r0(chunk, at)
    if (count === 1) return
    this[n1] = r1(chunk, at)
    if (count === 2) return
    this[n2] = r2(chunk, at)
    if (count === 3) return
    this[n3] = r3(chunk, at)
    if (count === 4) return
    this[n4] = r4(chunk, at)
    if (count === 5) return
    this[n5] = r5(chunk, at)
    if (count === 6) return
    this[n6] = r6(chunk, at)
    if (count === 7) return
    this[n7] = r7(chunk, at)
    if (count === 8) return
    this[n8] = r8(chunk, at)
    if (count === 9) return
    this[n9] = r9(chunk, at)
    if (count === 10) return
    this[n10] = r10(chunk, at)
    if (count === 11) return
    this[n11] = r11(chunk, at)
    for (let i = UNROLLED; i < count; i++) this[names[i] as string] = (readers[i] as PartReader)(chunk, at)
  }
  // What it makes are objects like any other, not instances of something.
  fill.prototype = Object.prototype
  const Plain = fill as unknown as new (chunk: Chunk, at: number) => BtfRecord
  return (chunk, at) => new Plain(chunk, at)
}

type Twelve<T> = readonly [T, T, T, T, T, T, T, T, T, T, T, T]
type NamesOf = Twelve<string>
type ReadersOf = Twelve<PartReader>
