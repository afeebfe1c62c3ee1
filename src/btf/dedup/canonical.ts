const UNSET = 0xffff_ffff

/** What stands for each type: itself, or an equal type, perhaps by more than one step. */
export class CanonicalMap {
  readonly #map: Uint32Array

  constructor(count: number) {
    this.#map = new Uint32Array(count).fill(UNSET)
    this.#map[0] = 0
  }

  has(id: number): boolean {
    return this.#map[id] !== UNSET
  }

  /** The next step; undefined before it is known. */
  get(id: number): number | undefined {
    const next = this.#map[id]
    return next === UNSET ? undefined : next
  }

  set(id: number, canonical: number): void {
    this.#map[id] = canonical
  }

  /** The canonical type of a type as far as it is known, or the type itself. */
  resolve(id: number): number {
    let current = id
    for (;;) {
      const next = this.#map[current] as number
      if (next === UNSET || next === current) return current
      current = next
    }
  }
}
