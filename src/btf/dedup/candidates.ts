/**
 * Canonical types by hash. Which of several candidates is tried first can decide the outcome where forward
 * declarations match more than one struct, so that they come in the order of libbpf's table (tools/lib/bpf/hashmap.c):
 * the newest first, turned around whenever the table grows.
 */
export class Candidates {
  /** Ids by hash, the one to be tried first at the end. */
  readonly #lists = new Map<number, number[]>()
  #size = 0
  #capacity = 0

  /** The first id with that hash for which `matches` holds. */
  find(hash: number, matches: (id: number) => boolean): number | undefined {
    const list = this.#lists.get(hash)
    if (list === undefined) return undefined
    for (let i = list.length - 1; i >= 0; i--) {
      const id = list[i] as number
      if (matches(id)) return id
    }
    return undefined
  }

  add(hash: number, id: number): void {
    if (Math.floor(((this.#size + 1) * 4) / 3) > this.#capacity) this.#grow()
    this.#size++
    const list = this.#lists.get(hash)
    if (list === undefined) this.#lists.set(hash, [id])
    else list.push(id)
  }

  #grow(): void {
    this.#capacity = Math.max(4, this.#capacity * 2)
    for (const list of this.#lists.values()) if (list.length > 1) list.reverse()
  }
}
