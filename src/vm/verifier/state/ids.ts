/**
 * Correspondence between the identities of an old state and those of a new one, built while two states are compared:
 * each old id must always meet the same new id and the other way round.
 */
export class IdMap {
  // Few ids meet in one comparison: searching a short list costs less than a hash table, and so does clearing it.
  readonly #old: number[] = []
  readonly #now: number[] = []
  #count = 0
  #next: number

  /** @param fresh first number that no id of either state uses, for ids that stand alone */
  constructor(fresh: number) {
    this.#next = fresh
  }

  clear(fresh: number): void {
    this.#count = 0
    this.#next = fresh
  }

  /** Ids of references and pointers: both set or both 0, and one-to-one. */
  same(old: number, now: number): boolean {
    if ((old === 0) !== (now === 0)) return false
    if (old === 0) return true
    for (let i = 0; i < this.#count; i++) {
      if (this.#old[i] === old) return this.#now[i] === now
      if (this.#now[i] === now) return false
    }
    this.#old[this.#count] = old
    this.#now[this.#count++] = now
    return true
  }

  /** Ids of scalars: an old scalar without id has no links that the new one could break. */
  sameScalar(old: number, now: number): boolean {
    if (old === 0) return true
    return this.same(old, now === 0 ? ++this.#next : now)
  }
}
