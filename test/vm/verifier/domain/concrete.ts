import type { AluOp, BranchOp } from '../../../../src/isa/index.ts'

/** What an instruction computes: `x op y` on 64 bits, or on 32 with the high half 0. */
export function compute(op: AluOp, wide: boolean, x: bigint, y: bigint): bigint {
  const bits = wide ? 64 : 32
  const u = (v: bigint): bigint => BigInt.asUintN(bits, v)
  const n = u(y)
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- all others are treated alike below
  switch (op) {
    case 'add':
      return u(x + y)
    case 'sub':
      return u(x - y)
    case 'neg':
      return u(-x)
    case 'mul':
      return u(x * y)
    case 'and':
      return u(x & y)
    case 'or':
      return u(x | y)
    case 'xor':
      return u(x ^ y)
    case 'lsh':
      return u(x << n)
    case 'rsh':
      return u(x) >> n
    case 'arsh':
      return u(BigInt.asIntN(bits, x) >> n)
    default:
      throw new Error(op)
  }
}

/** Whether a branch is taken. */
export function holds(op: BranchOp, wide: boolean, x: bigint, y: bigint): boolean {
  const bits = wide ? 64 : 32
  const [a, b] = [BigInt.asUintN(bits, x), BigInt.asUintN(bits, y)]
  const [s, t] = [BigInt.asIntN(bits, x), BigInt.asIntN(bits, y)]
  const outcomes: Record<BranchOp, boolean> = {
    eq: a === b,
    ne: a !== b,
    gt: a > b,
    ge: a >= b,
    lt: a < b,
    le: a <= b,
    set: (a & b) !== 0n,
    sgt: s > t,
    sge: s >= t,
    slt: s < t,
    sle: s <= t,
  }
  return outcomes[op]
}
