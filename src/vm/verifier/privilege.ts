import type { Operation } from '../../isa/index.ts'
import { Bounds, isConst, smaxOf, sminOf, umaxOf, valueOf } from './domain/bounds.ts'
import { checkMapValue } from './memory/access.ts'
import { deny, Reject } from './reject.ts'
import { runAheadOfOffset } from './speculation.ts'
import { Strict } from './state/equal.ts'
import type { Reg } from './state/register.ts'
import { tnumText } from './text.ts'
import type { Walk } from './walk.ts'

/**
 * What programs may not do that are loaded without CAP_PERFMON: show addresses, and move pointers in ways that the
 * processor could get wrong when it runs ahead (the paths that only such a processor takes: speculation.ts).
 */
type Alu = Extract<Operation, { kind: 'alu' }>

/** Whether a value must not get out, because it is an address. */
export function isSecret(walk: Walk, reg: Reg): boolean {
  return !walk.facts.perfmon && reg.kind !== 'scalar' && reg.kind !== '?'
}

/** Refuses to let an address get to where it can be read; `where` ends the message. */
export function keepSecret(walk: Walk, regno: number, reg: Reg, where: string): void {
  if (isSecret(walk, reg)) deny(`R${regno} ${where}`)
}

const STORE_TARGETS: Readonly<Partial<Record<Reg['kind'], string>>> = {
  map_value: 'map',
  mem: 'mem',
  ctx: 'ctx',
  pkt: 'packet',
  pkt_meta: 'packet',
  flow_keys: 'flow keys',
}

/** A store of register `regno` through a pointer: addresses stay on the stack. */
export function checkStoredSecret(walk: Walk, target: Reg, regno: number): void {
  const where = STORE_TARGETS[target.kind]
  if (regno >= 0 && where !== undefined && !target.mayBeNull) {
    keepSecret(walk, regno, walk.reg(regno), `leaks addr into ${where}`)
  }
}

/** Structures of the kernel are for those who may look into it. */
export function checkStructSecret(walk: Walk, struct: string): void {
  if (walk.facts.perfmon) return
  throw new Reject('EPERM', `'struct ${struct}' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN`)
}

/** How the kernel limits the offset of one instruction, for all paths the same way. */
export interface AluLimit {
  readonly state: number
  readonly limit: number
}

interface PointerLimit extends AluLimit {
  /** The pointer moves towards the start of its object. */
  readonly left: boolean
}

const NON_POINTER = 1
const NEGATIVE = 2
const IMMEDIATE = 4
const POINTER_IS_DST = 8
const POINTER_IS_SRC = 16
const WHY = 'pointer arithmetic with it prohibited for !root'

function isLimited(walk: Walk, op: Alu): boolean {
  if (walk.facts.perfmon || op.src === null || (op.op !== 'add' && op.op !== 'sub')) return false
  return !walk.barriers.before.has(walk.insn)
}

/** Addition and subtraction of numbers: the same instruction must not move a pointer elsewhere. */
export function limitNumber(walk: Walk, op: Alu): void {
  if (isLimited(walk, op)) keepLimit(walk, op, { state: NON_POINTER, limit: 0 })
}

function keepLimit(walk: Walk, op: Alu, limit: AluLimit): void {
  const known = walk.aluLimits.get(walk.insn)
  if (known === undefined) walk.aluLimits.set(walk.insn, limit)
  else if (known.state !== limit.state || known.limit !== limit.limit) {
    deny(`R${op.dst} tried to ${op.op} from different maps, paths or scalars, ${WHY}`)
  }
}

/** Before a pointer is moved by a register; what afterPointer() needs, null where nothing is limited. */
export function beforePointer(walk: Walk, op: Alu, ptr: Reg, by: Reg, inPlace: boolean): PointerLimit | null {
  if (!isLimited(walk, op)) return null
  const known = isConst(by.value)
  // On paths that only a processor takes the limits are those that the program's own paths have set.
  const limit = walk.state.speculative ? null : firstLimit(op, ptr, by, inPlace)
  if (limit !== null && !known) walk.strict |= Strict.NUMBERS
  if (!known) runAheadOfOffset(walk, op.dst, inPlace ? withUnknown32(ptr) : ptr, WHY)
  return limit
}

function firstLimit(op: Alu, ptr: Reg, by: Reg, inPlace: boolean): PointerLimit {
  const { value } = by
  const negative = sminOf(value) < 0
  const numberReg = inPlace ? op.src : op.dst
  const pointerReg = inPlace ? op.dst : op.src
  if (!isConst(value) && negative !== smaxOf(value) < 0) {
    deny(`R${numberReg} has unknown scalar with mixed signed bounds, ${WHY}`)
  }
  const left = (op.op === 'add') === negative
  const limit = pointerLimit(op, ptr, left, pointerReg ?? op.dst)
  const state =
    (negative ? NEGATIVE : 0) | (isConst(value) ? IMMEDIATE : 0) | (inPlace ? POINTER_IS_DST : POINTER_IS_SRC)
  return { state, limit, left }
}

/** The kernel has forgotten the lower half of the offset by then. */
function withUnknown32(ptr: Reg): Reg {
  const offset = Bounds.copy(ptr.value)
  offset.forget32()
  return ptr.withValue(offset)
}

/** After it was moved: it is inside of its object, and all paths through this instruction are limited alike. */
export function afterPointer(walk: Walk, op: Alu, moved: Reg, before: PointerLimit | null): void {
  if (walk.facts.perfmon) return
  checkInside(walk, op.dst, moved)
  if (before === null) return
  const limit = Math.abs(before.limit - pointerLimit(op, moved, before.left, op.dst))
  keepLimit(walk, op, { state: before.state, limit })
}

/** How far a pointer may still move in a direction. */
function pointerLimit(op: Alu, ptr: Reg, left: boolean, regno: number): number {
  const isStack = ptr.kind === 'fp'
  if (!isStack && ptr.kind !== 'map_value') deny(`R${regno} has pointer with unsupported alu operation, ${WHY}`)
  const max = isStack ? 512 + (left ? 1 : 0) : (ptr.map?.valueSize ?? 0)
  const limit = isStack ? -(valueOf(ptr.value) + ptr.off) : (left ? sminOf(ptr.value) : umaxOf(ptr.value)) + ptr.off
  if (limit >>> 0 >= max) deny(`R${op.dst} tried to ${op.op} beyond pointer bounds, ${WHY}`)
  return limit >>> 0
}

function checkInside(walk: Walk, regno: number, reg: Reg): void {
  if (reg.kind === 'fp') {
    const off = reg.off + valueOf(reg.value)
    if (!isConst(reg.value)) {
      deny(`R${regno} variable stack access prohibited for !root, var_off=${tnumText(reg.value)} off=${off}`)
    }
    if (off >= 0 || off < -512) {
      deny(`R${regno} stack pointer arithmetic goes out of range, prohibited for !root; off=${off}`)
    }
  } else if (reg.kind === 'map_value') {
    try {
      checkMapValue(reg, regno, reg.off, 1, false, false)
    } catch (error) {
      if (!(error instanceof Reject)) throw error
      deny(`${error.text}\nR${regno} pointer arithmetic of map value goes out of range, prohibited for !root`)
    }
  }
}
