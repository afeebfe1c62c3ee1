import type { Operation } from '../../isa/index.ts'
import { CODE_ADDRESS_HIGH, type IndirectJump } from '../indirect.ts'
import { pushRegister, type FunctionContext } from './context.ts'
import { setPlace, trapIf } from './trap.ts'
import { Op } from './wasm/index.ts'

/**
 * Pushes the number of an indirect jump's target, counted from its first one, as i32; what is no address of an
 * instruction traps. The place stays set for numbers that are none of the jump's.
 */
export function emitJumpNumber(
  ctx: FunctionContext,
  op: Extract<Operation, { kind: 'gotox' }>,
  jump: IndirectJump,
  at: number,
): void {
  const { code, locals } = ctx
  setPlace(ctx, at, 'operation')
  pushRegister(ctx, op.dst)
  code.tee(locals.address)
  code.i64(32)
  code.op(Op.i64_shr_s)
  code.i64(CODE_ADDRESS_HIGH)
  code.op(Op.i64_ne)
  trapIf(ctx)
  code.get(locals.address)
  code.op(Op.i32_wrap_i64)
  code.i32(jump.first)
  code.op(Op.i32_sub)
}
