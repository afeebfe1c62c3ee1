const DEFAULT_SEED = 0x9e3779b9

/** xorshift32: small, seeded, and good enough for what BPF programs do with it. Gives unsigned 32 bits. */
export function seededRandom(seed: number = DEFAULT_SEED): () => number {
  let state = seed >>> 0 || DEFAULT_SEED
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 0
  }
}

/** A second stream of numbers from the same seed, so that drawing from one does not change the other. */
export function seededScheduling(seed: number = DEFAULT_SEED): () => number {
  return seededRandom(Math.imul(seed ^ 0x5bd1e995, 0x85ebca6b))
}
