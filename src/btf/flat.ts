import type { Btf } from './btf.ts'

/** Access to the words of type records; a Btf is one. */
export interface TypeWords {
  readonly typeCount: number
  readonly pointerSize: 4 | 8
  word(id: number, index: number): number
}

/**
 * The type records of a BTF and those below it in one array, for code that visits all of them: `words[at[id] + n]` is
 * word `n` of a type, void included. A copy, which takes a millisecond for vmlinux.
 */
export class FlatTypes implements TypeWords {
  readonly typeCount: number
  readonly pointerSize: 4 | 8
  readonly words: Uint32Array
  readonly at: Uint32Array

  constructor(btf: Btf) {
    this.typeCount = btf.typeCount
    this.pointerSize = btf.pointerSize
    const parts: Btf[] = []
    for (let part: Btf | null = btf; part !== null; part = part.base) parts.unshift(part)
    const voidWords = 3
    const words = new Uint32Array(parts.reduce((sum, part) => sum + part.words.length, voidWords))
    const at = new Uint32Array(btf.typeCount)
    let start = voidWords
    for (const { words: own, offsets, firstId } of parts) {
      words.set(own, start)
      for (let i = 0; i < offsets.length; i++) at[firstId + i] = start + (offsets[i] as number)
      start += own.length
    }
    this.words = words
    this.at = at
  }

  word(id: number, index: number): number {
    return this.words[(this.at[id] as number) + index] as number
  }
}
