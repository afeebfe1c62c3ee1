import type { BranchOp } from '../../../src/isa/index.ts'

/** 64-bit values at which arithmetic goes wrong first. */
export const EDGES: readonly bigint[] = [
  0n,
  1n,
  2n,
  7n,
  31n,
  32n,
  33n,
  63n,
  64n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  0x100000000n,
  0x1ffffffffn,
  0x0102030405060708n,
  0x7fffffffffffffffn,
  0x8000000000000000n,
  0x8000000000000001n,
  0x8000000080000000n,
  0xffffffff00000000n,
  0xffffffff7fffffffn,
  0xffffffff80000000n,
  0xdeadbeefcafebaben,
  0xfffffffffffffffen,
  0xffffffffffffffffn,
]

/** Immediates, which are sign-extended to 64 bits. */
export const IMMEDIATES: readonly number[] = [
  0, 1, 2, 3, 7, 16, 31, 32, 63, 64, 0x7f, 0x80, 0xffff, 0x7fffffff, -0x80000000, -0x7fffffff, -2, -1,
]

export const BRANCH_NAMES: readonly BranchOp[] = ['eq', 'ne', 'gt', 'ge', 'lt', 'le', 'set', 'sgt', 'sge', 'slt', 'sle']
