import type { BranchOp, Operation } from '../../isa/index.ts'
import { pushRegister, pushRegister32, type FunctionContext } from './context.ts'
import { Op } from './wasm/index.ts'

type Branch = Extract<Operation, { kind: 'branch' }>

const CONDITIONS: Record<Exclude<BranchOp, 'set'>, readonly [wide: Op, narrow: Op]> = {
  eq: [Op.i64_eq, Op.i32_eq],
  ne: [Op.i64_ne, Op.i32_ne],
  gt: [Op.i64_gt_u, Op.i32_gt_u],
  ge: [Op.i64_ge_u, Op.i32_ge_u],
  lt: [Op.i64_lt_u, Op.i32_lt_u],
  le: [Op.i64_le_u, Op.i32_le_u],
  sgt: [Op.i64_gt_s, Op.i32_gt_s],
  sge: [Op.i64_ge_s, Op.i32_ge_s],
  slt: [Op.i64_lt_s, Op.i32_lt_s],
  sle: [Op.i64_le_s, Op.i32_le_s],
}

const NEGATED = {
  eq: 'ne',
  ne: 'eq',
  gt: 'le',
  ge: 'lt',
  lt: 'ge',
  le: 'gt',
  sgt: 'sle',
  sge: 'slt',
  slt: 'sge',
  sle: 'sgt',
} as const

/** Pushes whether the branch is taken, or not taken when `negate` is set. */
export function emitCondition(
  ctx: FunctionContext,
  op: Branch | Extract<Operation, { kind: 'mayGoto' }>,
  negate: boolean,
): void {
  const { code } = ctx
  if (op.kind === 'mayGoto') {
    code.get(ctx.locals.mayGoto)
    code.i32(1)
    code.op(Op.i32_sub)
    code.tee(ctx.locals.mayGoto)
    code.i32(0)
    code.op(negate ? Op.i32_ge_s : Op.i32_lt_s)
    return
  }
  const { wide } = op
  const push = (register: number): void => (wide ? pushRegister : pushRegister32)(ctx, register)
  push(op.dst)
  if (op.src === null && op.imm === 0 && (op.op === 'eq' || op.op === 'ne')) {
    if ((op.op === 'eq') === negate) {
      // "Not zero" as an if or br_if condition: only i32 can do without a comparison.
      if (!wide) return
      code.i64(0)
      return code.op(Op.i64_ne)
    }
    return code.op(wide ? Op.i64_eqz : Op.i32_eqz)
  }
  if (op.src !== null) push(op.src)
  else if (wide) code.i64(op.imm)
  else code.i32(op.imm)
  if (op.op === 'set') {
    code.op(wide ? Op.i64_and : Op.i32_and)
    if (negate) return code.op(wide ? Op.i64_eqz : Op.i32_eqz)
    if (!wide) return
    code.i64(0)
    return code.op(Op.i64_ne)
  }
  code.op(CONDITIONS[negate ? NEGATED[op.op] : op.op][wide ? 0 : 1])
}
