const DEFAULT_SEED = 0x9e3779b9

/** Numbers (unsigned 32 bits, xorshift32) for scheduling, which drawing random numbers in programs does not change. */
export function seededScheduling(seed: number = DEFAULT_SEED): () => number {
  let state = Math.imul(seed ^ 0x5bd1e995, 0x85ebca6b) >>> 0 || DEFAULT_SEED
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state >>> 0
  }
}
