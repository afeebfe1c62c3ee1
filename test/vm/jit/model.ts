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
  switch (op) {
    case 'add':
      return (x + y) & mask
    case 'sub':
      return (x - y) & mask
    case 'mul':
      return (x * y) & mask
    case 'div':
      return y === 0n ? 0n : x / y
    case 'sdiv':
      // BigInt division truncates, as the document wants; the one overflow wraps.
      return y === 0n ? 0n : (sx / sy) & mask
    case 'mod':
      return y === 0n ? x : x % y
    case 'smod':
      return y === 0n ? x : (sx % sy) & mask
    case 'or':
      return x | y
    case 'and':
      return x & y
    case 'xor':
      return x ^ y
    case 'lsh':
      return (x << shift) & mask
    case 'rsh':
      return x >> shift
    case 'arsh':
      return (sx >> shift) & mask
    case 'neg':
      return -x & mask
    case 'mov':
      return y
    case 'movsx8':
      return signed(y, 8) & mask
    case 'movsx16':
      return signed(y, 16) & mask
    case 'movsx32':
      return signed(y, 32) & mask
  }
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
  switch (op) {
    case 'eq':
      return x === y
    case 'ne':
      return x !== y
    case 'gt':
      return x > y
    case 'ge':
      return x >= y
    case 'lt':
      return x < y
    case 'le':
      return x <= y
    case 'set':
      return (x & y) !== 0n
    case 'sgt':
      return sx > sy
    case 'sge':
      return sx >= sy
    case 'slt':
      return sx < sy
    case 'sle':
      return sx <= sy
  }
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
