import type { AluOp, Operation } from '../../isa/index.ts'
import { pushRegister, pushRegister32, setRegister, setRegister32, type FunctionContext } from './context.ts'
import { fitsNarrow } from './width.ts'
import { Op, ValueType } from './wasm/index.ts'

type Alu = Extract<Operation, { kind: 'alu' }>

/** Operations that are one wasm instruction in both widths (wasm masks shift counts as BPF does). */
const PLAIN: Partial<Record<AluOp, readonly [wide: Op, narrow: Op]>> = {
  add: [Op.i64_add, Op.i32_add],
  sub: [Op.i64_sub, Op.i32_sub],
  mul: [Op.i64_mul, Op.i32_mul],
  or: [Op.i64_or, Op.i32_or],
  and: [Op.i64_and, Op.i32_and],
  xor: [Op.i64_xor, Op.i32_xor],
  lsh: [Op.i64_shl, Op.i32_shl],
  rsh: [Op.i64_shr_u, Op.i32_shr_u],
  arsh: [Op.i64_shr_s, Op.i32_shr_s],
}

/** Division by zero gives 0, remainder by zero the dividend (RFC 9669, 4.1). */
const DIVISION: Partial<Record<AluOp, readonly [wide: Op, narrow: Op]>> = {
  div: [Op.i64_div_u, Op.i32_div_u],
  sdiv: [Op.i64_div_s, Op.i32_div_s],
  mod: [Op.i64_rem_u, Op.i32_rem_u],
  smod: [Op.i64_rem_s, Op.i32_rem_s],
}

/** Pushes operand `dst` in the operation's width. */
function pushDst(ctx: FunctionContext, op: Alu): void {
  if (op.wide) pushRegister(ctx, op.dst)
  else pushRegister32(ctx, op.dst)
}

function pushSource(ctx: FunctionContext, op: Alu): void {
  const { code } = ctx
  if (op.src === null) {
    if (op.wide) code.i64(op.imm)
    else code.i32(op.imm)
  } else if (op.wide) pushRegister(ctx, op.src)
  else pushRegister32(ctx, op.src)
}

/** Arithmetic: 32-bit operations clear the upper half of the result. */
export function emitAlu(ctx: FunctionContext, op: Alu): void {
  const isNarrow = !op.wide || (ctx.narrow !== null && fitsNarrow(op, ctx.narrow))
  pushAlu(ctx, isNarrow && op.wide ? { ...op, wide: false } : op)
  if (isNarrow) setRegister32(ctx, op.dst)
  else setRegister(ctx, op.dst)
}

function pushAlu(ctx: FunctionContext, op: Alu): void {
  const { code } = ctx
  const index = op.wide ? 0 : 1
  const plain = PLAIN[op.op]
  const division = DIVISION[op.op]
  if (plain !== undefined) {
    pushDst(ctx, op)
    pushSource(ctx, op)
    code.op(plain[index])
  } else if (division !== undefined) {
    if (op.src === null) divideByConstant(ctx, op, division[index])
    else divide(ctx, op, division[index])
  } else if (op.op === 'neg') {
    if (op.wide) code.i64(0)
    else code.i32(0)
    pushDst(ctx, op)
    code.op(op.wide ? Op.i64_sub : Op.i32_sub)
  } else {
    move(ctx, op)
  }
}

function move(ctx: FunctionContext, op: Alu): void {
  const { code } = ctx
  pushSource(ctx, op)
  if (op.op === 'movsx8') code.op(op.wide ? Op.i64_extend8_s : Op.i32_extend8_s)
  else if (op.op === 'movsx16') code.op(op.wide ? Op.i64_extend16_s : Op.i32_extend16_s)
  else if (op.op === 'movsx32' && op.wide) code.op(Op.i64_extend32_s)
}

function divideByConstant(ctx: FunctionContext, op: Alu, opcode: Op): void {
  const { code } = ctx
  const remainder = op.op === 'mod' || op.op === 'smod'
  if (op.imm === 0) {
    if (remainder) pushDst(ctx, op)
    else if (op.wide) code.i64(0)
    else code.i32(0)
    return
  }
  if (op.op === 'sdiv' && op.imm === -1) {
    // The quotient of the least number overflows, which wasm's division traps on.
    if (op.wide) code.i64(0)
    else code.i32(0)
    pushDst(ctx, op)
    code.op(op.wide ? Op.i64_sub : Op.i32_sub)
    return
  }
  pushDst(ctx, op)
  pushSource(ctx, op)
  code.op(opcode)
}

function divide(ctx: FunctionContext, op: Alu, opcode: Op): void {
  const { code } = ctx
  const type = op.wide ? ValueType.I64 : ValueType.I32
  if (op.op === 'sdiv') {
    // A divisor of 0 or -1: the product with it is 0 or the negated dividend.
    pushSource(ctx, op)
    if (op.wide) code.i64(1)
    else code.i32(1)
    code.op(op.wide ? Op.i64_add : Op.i32_add)
    if (op.wide) code.i64(1)
    else code.i32(1)
    code.op(op.wide ? Op.i64_le_u : Op.i32_le_u)
    code.if(type)
    pushDst(ctx, op)
    pushSource(ctx, op)
    code.op(op.wide ? Op.i64_mul : Op.i32_mul)
  } else {
    pushSource(ctx, op)
    code.op(op.wide ? Op.i64_eqz : Op.i32_eqz)
    code.if(type)
    if (op.op !== 'div') pushDst(ctx, op)
    else if (op.wide) code.i64(0)
    else code.i32(0)
  }
  code.else()
  pushDst(ctx, op)
  pushSource(ctx, op)
  code.op(opcode)
  code.end()
}

/** Byte order: the vm is little-endian, so `le` only cuts. */
export function emitEndian(ctx: FunctionContext, op: Extract<Operation, { kind: 'endian' }>): void {
  const { code } = ctx
  if (op.bits === 64) {
    if (op.op !== 'le') swap64(ctx, op.dst)
    return
  }
  if (op.op === 'le') {
    pushRegister32(ctx, op.dst)
    if (op.bits === 16) {
      code.i32(0xffff)
      code.op(Op.i32_and)
    }
  } else if (op.bits === 16) {
    // The halfword twice, of which the middle two bytes are the swapped one.
    pushRegister32(ctx, op.dst)
    code.i32(0xffff)
    code.op(Op.i32_and)
    code.i32(0x10001)
    code.op(Op.i32_mul)
    code.i32(8)
    code.op(Op.i32_shr_u)
    code.i32(0xffff)
    code.op(Op.i32_and)
  } else {
    swap32(ctx, op.dst)
  }
  setRegister32(ctx, op.dst)
}

/** Two rotations, each of which puts two of the four bytes in place. */
function swap32(ctx: FunctionContext, register: number): void {
  const { code } = ctx
  pushRegister32(ctx, register)
  code.i32(8)
  code.op(Op.i32_rotl)
  code.i32(0x00ff00ff)
  code.op(Op.i32_and)
  pushRegister32(ctx, register)
  code.i32(8)
  code.op(Op.i32_rotr)
  code.i32(0xff00ff00 | 0)
  code.op(Op.i32_and)
  code.op(Op.i32_or)
}

/** Swaps neighbouring bytes, then neighbouring halfwords, then the words. */
function swap64(ctx: FunctionContext, register: number): void {
  const { code } = ctx
  for (const [shift, mask] of [
    [8, 0x00ff00ff],
    [16, 0x0000ffff],
  ] as const) {
    pushRegister(ctx, register)
    code.i64Halves(mask, mask)
    code.op(Op.i64_and)
    code.i64(shift)
    code.op(Op.i64_shl)
    pushRegister(ctx, register)
    code.i64(shift)
    code.op(Op.i64_shr_u)
    code.i64Halves(mask, mask)
    code.op(Op.i64_and)
    code.op(Op.i64_or)
    setRegister(ctx, register)
  }
  pushRegister(ctx, register)
  code.i64(32)
  code.op(Op.i64_rotl)
  setRegister(ctx, register)
}
