import { pushRegister, pushRegister32, registerLocal, type FunctionContext } from './context.ts'
import { SLOW } from './hash-code.ts'
import { pushOutside } from './memory.ts'
import { Op, w, type Code } from './wasm/index.ts'

/** The low half of a register, as i32. */
export function lowOf(ctx: FunctionContext, register: number): Code {
  return () => pushRegister32(ctx, register)
}

/** Sets r0 to an i64. */
export function setResult(ctx: FunctionContext, value: Code): true {
  value(ctx.code)
  ctx.code.set(registerLocal(0))
  return true
}

/** Code that leaves what it cannot do to the helper. */
export class FastPath {
  readonly #ctx: FunctionContext
  readonly #callHelper: () => void

  constructor(ctx: FunctionContext, callHelper: () => void) {
    this.#ctx = ctx
    this.#callHelper = callHelper
  }

  /**
   * r0 is the result of `value`, an i32 that is extended (with its sign unless it is an address), unless it is SLOW, or
   * one of `conditions` is not 0, or one of the memory ranges (register and size) is none: then the helper decides.
   */
  emit(
    ranges: readonly (readonly [register: number, size: number])[],
    conditions: readonly Code[],
    value: Code,
    result: 'errno' | 'address' | 'number',
  ): true {
    const { code, locals } = this.#ctx
    code.block()
    code.block()
    for (const [register, size] of ranges) {
      if (size > 0 && pushOutside(this.#ctx, register, size)) code.brIf(0)
    }
    for (const condition of conditions) {
      condition(code)
      code.brIf(0)
    }
    value(code)
    if (result !== 'number') {
      code.tee(locals.index)
      w.eq(w.all(), w.i32(SLOW))(code)
      code.brIf(0)
      code.get(locals.index)
    }
    code.op(result === 'errno' ? Op.i64_extend_i32_s : Op.i64_extend_i32_u)
    code.set(registerLocal(0))
    code.br(1)
    code.end()
    this.#callHelper()
    code.end()
    return true
  }

  /** Condition: the register is not below 2^32. */
  isLarge(register: number): Code {
    const ctx = this.#ctx
    return (code) => {
      pushRegister(ctx, register)
      code.i64(32)
      code.op(Op.i64_shr_u)
      code.op(Op.i32_wrap_i64)
    }
  }
}
