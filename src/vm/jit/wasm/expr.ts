import type { CodeSink } from './code.ts'
import { Op } from './opcodes.ts'

/** A piece of code that is written when it is called: an expression leaves one value, a statement none. */
export type Code = (code: CodeSink) => void

const binary =
  (opcode: Op) =>
  (a: Code, b: Code): Code =>
  (code) => {
    a(code)
    b(code)
    code.op(opcode)
  }

export const get =
  (local: number): Code =>
  (code) =>
    code.get(local)

export const set =
  (local: number, value: Code): Code =>
  (code) => {
    value(code)
    code.set(local)
  }

export const i32 =
  (value: number): Code =>
  (code) =>
    code.i32(value | 0)

export const i64 =
  (value: number): Code =>
  (code) =>
    code.i64(value)

export const add: (a: Code, b: Code) => Code = binary(Op.i32_add)
export const sub: (a: Code, b: Code) => Code = binary(Op.i32_sub)
export const mul: (a: Code, b: Code) => Code = binary(Op.i32_mul)
export const and: (a: Code, b: Code) => Code = binary(Op.i32_and)
export const or: (a: Code, b: Code) => Code = binary(Op.i32_or)
export const xor: (a: Code, b: Code) => Code = binary(Op.i32_xor)
export const shl: (a: Code, b: Code) => Code = binary(Op.i32_shl)
export const shr: (a: Code, b: Code) => Code = binary(Op.i32_shr_u)
export const shrSigned: (a: Code, b: Code) => Code = binary(Op.i32_shr_s)
export const rotl: (a: Code, b: Code) => Code = binary(Op.i32_rotl)
export const eq: (a: Code, b: Code) => Code = binary(Op.i32_eq)
export const ne: (a: Code, b: Code) => Code = binary(Op.i32_ne)
export const above: (a: Code, b: Code) => Code = binary(Op.i32_gt_u)
export const atLeast: (a: Code, b: Code) => Code = binary(Op.i32_ge_u)
export const below: (a: Code, b: Code) => Code = binary(Op.i32_lt_u)
export const add64: (a: Code, b: Code) => Code = binary(Op.i64_add)
export const sub64: (a: Code, b: Code) => Code = binary(Op.i64_sub)
export const or64: (a: Code, b: Code) => Code = binary(Op.i64_or)
export const shl64: (a: Code, b: Code) => Code = binary(Op.i64_shl)
export const shrSigned64: (a: Code, b: Code) => Code = binary(Op.i64_shr_s)
export const above64: (a: Code, b: Code) => Code = binary(Op.i64_gt_u)

const unary =
  (opcode: Op) =>
  (a: Code): Code =>
  (code) => {
    a(code)
    code.op(opcode)
  }
export const not: (a: Code) => Code = unary(Op.i32_eqz)
/** 1 when an i64 is not 0. */
export const isSet64 = (a: Code): Code => binary(Op.i64_ne)(a, i64(0))
export const clz: (a: Code) => Code = unary(Op.i32_clz)
export const wrap: (a: Code) => Code = unary(Op.i32_wrap_i64)
export const extend: (a: Code) => Code = unary(Op.i64_extend_i32_u)

/** `a` when the condition is not 0, otherwise `b`; both are evaluated. */
export const choose =
  (condition: Code, a: Code, b: Code): Code =>
  (code) => {
    a(code)
    b(code)
    condition(code)
    code.op(Op.select)
  }

/** The four bytes of a word in reverse order. */
export const reverseBytes = (a: Code): Code =>
  or(and(rotl(a, i32(8)), i32(0x00ff00ff)), and(rotl(a, i32(24)), i32(0xff00ff00)))

export const call =
  (target: number, ...args: readonly Code[]): Code =>
  (code) => {
    for (const arg of args) arg(code)
    code.call(target)
  }

const loads =
  (opcode: Op) =>
  (address: Code, offset: number = 0): Code =>
  (code) => {
    address(code)
    code.memory(opcode, offset)
  }
export const load: (address: Code, offset?: number) => Code = loads(Op.i32_load)
export const load8: (address: Code, offset?: number) => Code = loads(Op.i32_load8_u)
export const load64: (address: Code, offset?: number) => Code = loads(Op.i64_load)

const stores =
  (opcode: Op) =>
  (address: Code, value: Code, offset: number = 0): Code =>
  (code) => {
    address(code)
    value(code)
    code.memory(opcode, offset)
  }
export const store: (address: Code, value: Code, offset?: number) => Code = stores(Op.i32_store)
export const store64: (address: Code, value: Code, offset?: number) => Code = stores(Op.i64_store)

export const all =
  (...parts: readonly Code[]): Code =>
  (code) => {
    for (const part of parts) part(code)
  }

/** Statements `then` when the condition is not 0, otherwise `otherwise`. */
export const when =
  (condition: Code, then: Code, otherwise: Code | null = null): Code =>
  (code) => {
    condition(code)
    code.if()
    then(code)
    if (otherwise !== null) {
      code.else()
      otherwise(code)
    }
    code.end()
  }

/** Statements `body` as long as the condition is not 0. */
export const during =
  (condition: Code, body: Code): Code =>
  (code) => {
    code.block()
    code.loop()
    condition(code)
    code.op(Op.i32_eqz)
    code.brIf(1)
    body(code)
    code.br(0)
    code.end()
    code.end()
  }

/** Statements `body`, which end with the condition to go on. */
export const repeat =
  (body: Code, again: Code): Code =>
  (code) => {
    code.loop()
    body(code)
    again(code)
    code.brIf(0)
    code.end()
  }

export const giveBack =
  (value: Code): Code =>
  (code) => {
    value(code)
    code.op(Op.return)
  }

const PIECES: readonly (readonly [size: number, load: Op, store: Op])[] = [
  [8, Op.i64_load, Op.i64_store],
  [4, Op.i32_load, Op.i32_store],
  [2, Op.i32_load16_u, Op.i32_store16],
  [1, Op.i32_load8_u, Op.i32_store8],
]
/** Larger copies are one memory.copy. */
const MAX_UNROLLED = 128

/** Copies `size` bytes; the ranges may overlap, because all is read before anything is written. */
export const copy =
  (to: Code, from: Code, size: number): Code =>
  (code) => {
    if (size > MAX_UNROLLED) {
      to(code)
      from(code)
      code.i32(size)
      code.memoryCopy()
      return
    }
    const done: (readonly [at: number, store: Op])[] = []
    let at = 0
    for (const [width, loadOp, storeOp] of PIECES) {
      for (; at + width <= size; at += width) {
        to(code)
        from(code)
        code.memory(loadOp, at)
        done.push([at, storeOp])
      }
    }
    for (const [offset, storeOp] of done.reverse()) code.memory(storeOp, offset)
  }

/** Zeros `size` bytes. */
export const zero =
  (address: Code, size: number): Code =>
  (code) => {
    if (size > MAX_UNROLLED) {
      address(code)
      code.i32(0)
      code.i32(size)
      code.memoryFill()
      return
    }
    let at = 0
    for (const [width, , storeOp] of PIECES) {
      for (; at + width <= size; at += width) {
        address(code)
        if (width === 8) code.i64(0)
        else code.i32(0)
        code.memory(storeOp, at)
      }
    }
  }
