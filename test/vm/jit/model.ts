import type { AluOp, AtomicOp, BranchOp } from '../../../src/isa/index.ts'

/**
 * What RFC 9669 says about single instructions, on unsigned 64-bit BigInts. Written from the document, for tests
 * only: it shares nothing with the engines.
 */
const M64 = (1n << 64n) - 1n
const M32 = (1n << 32n) - 1n

const signed = (value: bigint, bits: number): bigint => BigInt.asIntN(bits, value)

/** Section 4.1. `b` is the source as a register value, or the immediate as the signed 32-bit number it is. */
export function aluModel(op: AluOp, wide: boolean, a: bigint, b: bigint): bigint {
  const bits = wide ? 64 : 32
  const mask = wide ? M64 : M32
  const x = a & mask
  const y = b & mask
  const sx = signed(x, bits)
  const sy = signed(y, bits)
  const shift = y & BigInt(bits - 1)
  const results: Record<AluOp, () => bigint> = {
    add: () => (x + y) & mask,
    sub: () => (x - y) & mask,
    mul: () => (x * y) & mask,
    div: () => (y === 0n ? 0n : x / y),
    // BigInt division truncates, as the document wants; the one overflow wraps.
    sdiv: () => (y === 0n ? 0n : (sx / sy) & mask),
    mod: () => (y === 0n ? x : x % y),
    smod: () => (y === 0n ? x : (sx % sy) & mask),
    or: () => x | y,
    and: () => x & y,
    xor: () => x ^ y,
    lsh: () => (x << shift) & mask,
    rsh: () => x >> shift,
    arsh: () => (sx >> shift) & mask,
    neg: () => -x & mask,
    mov: () => y,
    movsx8: () => signed(y, 8) & mask,
    movsx16: () => signed(y, 16) & mask,
    movsx32: () => signed(y, 32) & mask,
  }
  return results[op]()
}

/** Section 4.2, on a little-endian machine. */
export function endianModel(op: 'le' | 'be' | 'bswap', bits: number, a: bigint): bigint {
  const value = BigInt.asUintN(bits, a)
  if (op === 'le') return value
  let swapped = 0n
  for (let i = 0; i < bits; i += 8) swapped = (swapped << 8n) | ((value >> BigInt(i)) & 0xffn)
  return swapped
}

/** Section 4.3. */
export function branchModel(op: BranchOp, wide: boolean, a: bigint, b: bigint): boolean {
  const bits = wide ? 64 : 32
  const x = BigInt.asUintN(bits, a)
  const y = BigInt.asUintN(bits, b)
  const sx = signed(x, bits)
  const sy = signed(y, bits)
  const results: Record<BranchOp, boolean> = {
    eq: x === y,
    ne: x !== y,
    gt: x > y,
    ge: x >= y,
    lt: x < y,
    le: x <= y,
    set: (x & y) !== 0n,
    sgt: sx > sy,
    sge: sx >= sy,
    slt: sx < sy,
    sle: sx <= sy,
  }
  return results[op]
}

/** Section 5.3: memory, source register and r0 after an atomic operation on the low `size` bytes. */
export function atomicModel(
  op: AtomicOp,
  fetch: boolean,
  size: 4 | 8,
  state: { memory: bigint; src: bigint; r0: bigint },
): { memory: bigint; src: bigint; r0: bigint } {
  const bits = size * 8
  const old = BigInt.asUintN(bits, state.memory)
  const src = BigInt.asUintN(bits, state.src)
  const next = {
    add: old + src,
    or: old | src,
    and: old & src,
    xor: old ^ src,
    xchg: src,
    cmpxchg: BigInt.asUintN(bits, state.r0) === old ? src : old,
  }[op]
  const memory = state.memory - old + BigInt.asUintN(bits, next)
  if (op === 'cmpxchg') return { memory, src: state.src, r0: old }
  return { memory, src: fetch ? old : state.src, r0: state.r0 }
}
