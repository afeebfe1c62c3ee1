import { ALU_OPS, ALU_VARIANTS, type AluOp, type Operation } from '../../isa/index.ts'
import { arithmetic } from './domain/arithmetic.ts'
import { Bounds, constant, isConst, isZero, type Scalar, sminBig, sminOf, UNKNOWN, valueOf } from './domain/bounds.ts'
import { bitLength } from './domain/int64.ts'
import { signExtend32, signExtend64, swapBytes, truncate, zeroExtend32 } from './domain/resize.ts'
import { markPrecise } from './precision.ts'
import { deny, invalid } from './reject.ts'
import { isPacketPointer, type Kind, pointerReg, type Reg, regName, scalarReg, unknownReg } from './state/register.ts'
import { MAX_OFFSET } from './memory/region.ts'
import { withScalarId } from './memory/stack.ts'
import { afterPointer, beforePointer, keepSecret, limitNumber } from './privilege.ts'
import { readReg, writeReg } from './registers.ts'
import type { Walk } from './walk.ts'

const SYMBOLS: ReadonlyMap<string, string> = new Map(ALU_OPS.map(({ op, symbol }) => [op, symbol]))

/** What the kernel calls an operation: signed division and remainder as the others. */
function signOf(op: string): string {
  return SYMBOLS.get(ALU_VARIANTS.find((variant) => variant.op === op)?.of ?? op) ?? op
}

type Alu = Extract<Operation, { kind: 'alu' }>

/** Arithmetic, moves and negation. */
export function stepAlu(walk: Walk, op: Alu): void {
  if (op.op === 'mov' || op.op.startsWith('movsx')) return stepMove(walk, op)
  if (op.op === 'neg') {
    const reg = readReg(walk, op.dst)
    keepSecret(walk, op.dst, reg, 'pointer arithmetic prohibited')
    const value = reg.kind === 'scalar' ? arithmetic('neg', op.wide, reg.value, reg.value) : null
    return writeReg(walk, op.dst, value === null ? unknownReg() : scalarReg(value, reg.precise))
  }
  stepArithmetic(walk, op)
}

/** Swaps bytes, or on the way to little endian only cuts the value. */
export function stepEndian(walk: Walk, op: Extract<Operation, { kind: 'endian' }>): void {
  const reg = readReg(walk, op.dst)
  keepSecret(walk, op.dst, reg, 'pointer arithmetic prohibited')
  if (reg.kind !== 'scalar') return writeReg(walk, op.dst, unknownReg())
  const swaps = op.op !== 'le'
  const to = swaps || op.bits < 64 ? without(reg).clone() : reg.clone()
  if (swaps) to.value = swapBytes(to.value, op.bits)
  to.value = truncate(to.value, op.bits / 8)
  writeReg(walk, op.dst, to)
}

function without(reg: Reg): Reg {
  if (reg.id === 0) return reg
  const to = reg.clone()
  to.id = 0
  to.delta = null
  return to
}

function stepMove(walk: Walk, op: Alu): void {
  if (op.src === null) {
    return writeReg(walk, op.dst, scalarReg(op.wide ? constant(op.imm) : Bounds.known(0, op.imm)))
  }
  const src = readReg(walk, op.src)
  const size = op.op === 'movsx8' ? 1 : op.op === 'movsx16' ? 2 : op.op === 'movsx32' ? 4 : 0
  if (src.kind !== 'scalar') {
    const isWhole = op.wide && size === 0
    if (!isWhole) keepSecret(walk, op.src, src, op.wide ? 'sign-extension part of pointer' : 'partial copy of pointer')
    if (op.wide) return writeReg(walk, op.dst, isWhole ? src : unknownReg())
    return writeReg(walk, op.dst, scalarReg(zeroExtend32(UNKNOWN)))
  }
  const keepsValue =
    size === 0
      ? op.wide || bitLength(src.value.umaxH, src.value.umaxL) <= 32
      : src.value.umaxH === 0 && src.value.umaxL >>> 0 < 2 ** (size * 8 - 1)
  let from = src
  if (keepsValue) {
    from = withScalarId(walk, src)
    if (from !== src) walk.set(op.src, from)
  }
  if (size === 0 && op.wide) return writeReg(walk, op.dst, from)
  const value =
    size === 0 ? zeroExtend32(from.value) : op.wide ? signExtend64(from.value, size) : signExtend32(from.value, size)
  writeReg(walk, op.dst, (keepsValue ? from : without(from)).withValue(value))
}

function stepArithmetic(walk: Walk, op: Alu): void {
  const given = op.src === null ? null : readReg(walk, op.src)
  const dst = readReg(walk, op.dst)
  let src: Reg
  if (given === null) {
    const bits = op.wide ? 64 : 32
    if (op.imm === 0 && /div|mod/.test(op.op)) invalid('div by zero')
    if (op.op.endsWith('sh') && (op.imm < 0 || op.imm >= bits)) invalid(`invalid shift ${op.imm}`)
    src = scalarReg(constant(op.imm))
  } else src = given
  if (op.dst === 10) deny('frame pointer is read only')
  if (dst.kind === 'arena' || src.kind === 'arena') return walk.set(op.dst, dst.kind === 'arena' ? dst : src)
  if (dst.kind !== 'scalar') {
    if (src.kind !== 'scalar') {
      if (op.op === 'sub' && walk.facts.perfmon) return walk.set(op.dst, unknownReg())
      return deny(`R${op.dst} pointer ${signOf(op.op)} pointer prohibited`)
    }
    if (op.src !== null) markPrecise(walk, op.src)
    return walk.set(op.dst, pointerArithmetic(walk, op, dst, src, true))
  }
  if (src.kind !== 'scalar') {
    markPrecise(walk, op.dst)
    return walk.set(op.dst, pointerArithmetic(walk, op, src, walk.reg(op.dst), false))
  }
  if (dst.precise && op.src !== null) markPrecise(walk, op.src)
  walk.set(op.dst, scalarArithmetic(walk, op, walk.reg(op.dst), src))
}

function scalarArithmetic(walk: Walk, op: Alu, dst: Reg, src: Reg): Reg {
  limitNumber(walk, op)
  let operand = dst
  if ((op.op === 'and' || op.op === 'or') && isConst(src.value)) operand = forkSignMask(walk, op.dst, dst)
  const value = arithmetic(op.op, op.wide, operand.value, src.value)
  const to = operand.clone()
  to.value = value ?? UNKNOWN
  if (value === null) {
    // Also after 32-bit operations the kernel knows nothing of the high half here.
    to.precise = false
    to.id = 0
    to.delta = null
    return to
  }
  if (walk.facts.bpf) link(op, to, dst, src)
  else {
    to.id = 0
    to.delta = null
  }
  return to
}

/** After `r += constant` or `r -= constant` the result stays linked to copies of the register, at a distance. */
function link(op: Alu, to: Reg, dst: Reg, src: Reg): void {
  const delta = dst.id === 0 || op.src === op.dst ? null : distance(op, src.value)
  const keepsValue = op.wide || dst.value.umaxH === 0
  const linked = delta !== null && dst.delta === null && keepsValue
  to.id = linked ? dst.id : 0
  to.delta = linked ? delta : null
  to.delta32 = linked && !op.wide
}

/** What an addition or subtraction of a constant adds, null when it is none or does not fit. */
function distance(op: Alu, by: Scalar): number | null {
  if (op.op !== 'add' && op.op !== 'sub') return null
  const known = op.wide ? isConst(by) : by.ml === 0
  if (!known || (op.wide && by.vh !== by.vl >> 31)) return null
  if (op.op === 'add') return by.vl
  return by.vl === -0x80000000 ? null : 0 - by.vl
}

/** A value that is 0 or -1 (a sign) masked with a constant: both cases are followed on their own. */
function forkSignMask(walk: Walk, regno: number, dst: Reg): Reg {
  const { value } = dst
  const wide = value.sminH === -1 && value.sminL === -1 && value.smaxH === 0 && value.smaxL === 0
  if (!wide && !(value.s32min === -1 && value.s32max === 0)) return dst
  const other = walk.push(walk.insn, walk.insn)
  if (wide) {
    other.set(regno, dst.withValue(constant(0)))
    return dst.withValue(constant(-1))
  }
  const zero = Bounds.copy(value)
  zero.setKnown32(0)
  other.set(regno, dst.withValue(zero))
  const ones = Bounds.copy(value)
  ones.setKnown32(-1)
  return dst.withValue(ones)
}

const MOVABLE: ReadonlySet<Kind> = new Set<Kind>([
  'ctx',
  'map_value',
  'map_key',
  'fp',
  'pkt_meta',
  'pkt',
  'tp_buffer',
  'ptr_',
  'mem',
  'buf',
  'func',
  'dynptr_ptr',
])

function checkSane(value: Scalar, off: number, kind: string): void {
  if (isConst(value)) {
    const known = valueOf(value)
    if (known >= MAX_OFFSET || known <= -MAX_OFFSET) {
      invalid(`math between ${kind} pointer and ${signed(value)} is not allowed`)
    }
  }
  if (off >= MAX_OFFSET || off <= -MAX_OFFSET) invalid(`${kind} pointer offset ${off} is not allowed`)
  const min = sminOf(value)
  if (value.sminH === -0x80000000 && value.sminL === 0) {
    invalid(`math between ${kind} pointer and register with unbounded min value is not allowed`)
  }
  if (min >= MAX_OFFSET || min <= -MAX_OFFSET) invalid(`value ${sminBig(value)} makes ${kind} pointer be out of bounds`)
}

function signed(value: Scalar): string {
  return ((BigInt(value.vh) << 32n) | BigInt(value.vl >>> 0)).toString()
}

/** pointer += scalar, scalar += pointer (`inPlace` false) or pointer -= scalar. */
function pointerArithmetic(walk: Walk, op: Alu, ptr: Reg, by: Reg, inPlace: boolean): Reg {
  const { value } = by
  const known = isConst(value)
  if (!(value as Bounds).consistent()) return unknownReg()
  if (!op.wide) {
    if (op.op === 'sub' && walk.facts.perfmon) return unknownReg()
    deny(`R${op.dst} 32-bit pointer arithmetic prohibited`)
  }
  const name = regName(ptr)
  if (ptr.mayBeNull) deny(`R${op.dst} pointer arithmetic on ${name} prohibited, null-check it first`)
  const isNothing = known && isZero(value) && op.op === 'add'
  if (
    !MOVABLE.has(ptr.kind) &&
    !(ptr.kind === 'flow_keys' && known) &&
    !(isNothing && (ptr.kind === 'map_ptr' || ptr.kind === 'flow_keys'))
  ) {
    deny(`R${op.dst} pointer arithmetic on ${name} prohibited`)
  }
  checkSane(value, by.kind === 'scalar' ? 0 : by.off, name)
  checkSane(ptr.value, ptr.off, name)
  const to = ptr.clone()
  const limit = beforePointer(walk, op, ptr, by, inPlace)
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- all others are treated alike below
  switch (op.op) {
    case 'add':
    case 'sub':
      movePointer(walk, op, to, ptr, value, known, inPlace)
      break
    case 'and':
    case 'or':
    case 'xor':
      deny(`R${op.dst} bitwise operator ${signOf(op.op)} on pointer prohibited`)
    default:
      deny(`R${op.dst} pointer arithmetic with ${signOf(op.op)} operator prohibited`)
  }
  checkSane(to.value, to.off, name)
  afterPointer(walk, op, to, limit)
  return to
}

function movePointer(walk: Walk, op: Alu, to: Reg, ptr: Reg, value: Scalar, known: boolean, inPlace: boolean): void {
  const isSub: boolean = op.op === 'sub'
  if (isSub && !inPlace) deny(`R${op.dst} tried to subtract pointer from scalar`)
  if (isSub && ptr.kind === 'fp') deny(`R${op.dst} subtraction from stack pointer prohibited`)
  if (known) {
    const moved = isSub ? ptr.off - valueOf(value) : ptr.off + valueOf(value)
    if (moved === (moved | 0)) {
      to.off = moved
      return
    }
  }
  const operation: AluOp = isSub ? 'sub' : 'add'
  // The kernel keeps no 32-bit bounds of pointers' offsets.
  const offset = Bounds.copy(ptr.value)
  offset.forget32()
  to.value = arithmetic(operation, true, offset, value) as Scalar
  if (!isPacketPointer(ptr.kind)) return
  to.id = walk.newId()
  if (!isSub || sminOf(value) < 0) to.range = 0
}

/** Conversion between arena address spaces. */
export function stepAddrSpaceCast(walk: Walk, op: Extract<Operation, { kind: 'addrSpaceCast' }>): void {
  readReg(walk, op.src)
  if (
    ![...walk.facts.immediates.values()].some((t) => (t.kind === 'map' || t.kind === 'mapValue') && t.map.type === 33)
  ) {
    invalid('addr_space_cast insn can only be used in a program that has an associated arena')
  }
  writeReg(walk, op.dst, op.to === 0 && op.from === 1 ? pointerReg('arena') : unknownReg())
}
