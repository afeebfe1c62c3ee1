/**
 * Canonical types by hash. Which of several candidates is tried first can decide the outcome where forward
 * declarations match more than one struct, so that they come in the order of libbpf's table (tools/lib/bpf/hashmap.c):
 * the newest first, turned around whenever the table grows.
 */
export class Candidates {
  readonly #lists = new Map<number, number[]>()
  #size = 0
  #capacity = 0

  /** Ids with that hash, in the order to be tried. */
  of(hash: number): readonly number[] {
    return this.#lists.get(hash) ?? NONE
  }

  add(hash: number, id: number): void {
    if (Math.floor(((this.#size + 1) * 4) / 3) > this.#capacity) this.#grow()
    this.#size++
    const list = this.#lists.get(hash)
    if (list === undefined) this.#lists.set(hash, [id])
    else list.unshift(id)
  }

  #grow(): void {
    this.#capacity = Math.max(4, this.#capacity * 2)
    for (const list of this.#lists.values()) if (list.length > 1) list.reverse()
  }
}

const NONE: readonly number[] = []
