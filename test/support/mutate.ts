/** Values that break length and offset checks when they are wrong. */
const EDGES = [0, 1, 2, 7, 8, 16, 0x7f, 0x80, 0xff, 0xfffe, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff]

/** A stream of pseudo-random 32-bit numbers (xorshift32) that a seed decides. */
export function* randomNumbers(seed: number): Generator<number, never> {
  let x = (seed ^ 0x9e3779b9) >>> 0 || 1
  for (;;) {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    yield x >>> 0
  }
}

/**
 * A damaged copy of `original`: a few random edits of bytes, 16- and 32-bit fields, swapped and copied pieces, and at
 * times a cut end. The seed decides everything, so a failing case can be replayed.
 */
export function mutate(original: Uint8Array, seed: number): Uint8Array {
  const source = randomNumbers(seed)
  const below = (limit: number): number => (limit <= 0 ? 0 : source.next().value % limit)
  let bytes = original.slice()
  const edits = 1 + below(6)
  for (let i = 0; i < edits && bytes.length > 8; i++) {
    const at = below(bytes.length - 8)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    switch (below(7)) {
      case 0:
        bytes[at] = below(256)
        break
      case 1:
        bytes[at] = (bytes[at] as number) ^ (1 << below(8))
        break
      case 2:
        view.setUint16(at & ~1, EDGES[below(EDGES.length)] as number, true)
        break
      case 3:
        view.setUint32(at & ~3, EDGES[below(EDGES.length)] as number, true)
        break
      case 4:
        view.setUint32(at & ~3, below(bytes.length * 2), true)
        break
      case 5: {
        const length = 1 + below(64)
        bytes.copyWithin(at, below(bytes.length), below(bytes.length) + length)
        break
      }
      default:
        if (below(8) === 0) bytes = bytes.slice(0, below(bytes.length))
        else bytes.fill(below(256), at, at + below(16))
    }
  }
  return bytes
}

/** Number of inputs for a mutation test: `usual`, or ELFBEE_FUZZ_RUNS in the environment. */
export function mutationRuns(usual: number): number {
  const wanted = typeof process === 'undefined' ? undefined : process.env['ELFBEE_FUZZ_RUNS']
  return wanted === undefined ? usual : Number(wanted)
}
