/**
 * Correspondence between the identities of an old state and those of a new one, built while two states are compared:
 * each old id must always meet the same new id and the other way round.
 */
export class IdMap {
  readonly #from = new Map<number, number>()
  readonly #to = new Set<number>()
  #next: number

  /** @param fresh first number that no id of either state uses, for ids that stand alone */
  constructor(fresh: number) {
    this.#next = fresh
  }

  clear(fresh: number): void {
    this.#from.clear()
    this.#to.clear()
    this.#next = fresh
  }

  /** Ids of references and pointers: both set or both 0, and one-to-one. */
  same(old: number, now: number): boolean {
    if ((old === 0) !== (now === 0)) return false
    if (old === 0) return true
    const known = this.#from.get(old)
    if (known !== undefined) return known === now
    if (this.#to.has(now)) return false
    this.#from.set(old, now)
    this.#to.add(now)
    return true
  }

  /** Ids of scalars: an old scalar without id has no links that the new one could break. */
  sameScalar(old: number, now: number): boolean {
    if (old === 0) return true
    return this.same(old, now === 0 ? ++this.#next : now)
  }
}
