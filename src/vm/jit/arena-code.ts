import { PAGE_SHIFT, type ArenaLayout } from '../engine.ts'
import { pushRegister, pushRegister32, type FunctionContext } from './context.ts'
import { placeOf } from './places.ts'
import { Op, type ValueType } from './wasm/index.ts'

/** An access through a register by an instruction that may meet a page of an arena. */
export interface ArenaAccess {
  readonly arena: ArenaLayout
  readonly register: number
  readonly off: number
  readonly size: number
}

/** The access when it may meet a page of an arena: not when its address is known, or proved to be somewhere else. */
export function arenaAccess(
  ctx: FunctionContext,
  register: number,
  off: number,
  size: number,
  at: number,
): ArenaAccess | null {
  const { arena, facts } = ctx.program.code
  if (!arena || facts?.goodAccess[at] === 1) return null
  return placeOf(ctx.values, { register, off, size }, ctx.module.memorySize) === null
    ? { arena, register, off, size }
    : null
}

/** What an access does; all of them push a value of the type, if there is one. */
export interface ArenaCode {
  readonly type?: ValueType
  /** Leaves for a trap, or for `leave` levels up, when the address is no memory; pushes nothing otherwise. */
  readonly check: (leave: number) => void
  /** Where all pages are there. */
  readonly access: () => void
  /** Where one is absent. */
  readonly absent: () => void
}

/**
 * Does an access. Most go to the pages at the beginning of the arena that are all there, which is one comparison; others
 * are checked as everywhere, and looked up in the table of absent pages.
 */
export function emitInArena(
  ctx: FunctionContext,
  where: ArenaAccess,
  { type, check, access, absent }: ArenaCode,
): void {
  const { code, control, locals } = ctx
  const { arena, register, off } = where
  code.block(type)
  code.block()
  control.depth += 2
  pushRegister(ctx, register)
  code.i64Number(off - arena.base)
  code.op(Op.i64_add)
  code.get(locals.present)
  code.op(Op.i64_lt_u)
  code.brIf(0)
  check(1)
  pushPresent(ctx, where)
  code.brIf(0)
  absent()
  code.br(1)
  control.depth -= 2
  code.end()
  access()
  code.end()
}

/** Pushes whether the table says that the pages of a checked access are there. */
function pushPresent(ctx: FunctionContext, { arena, register, off, size }: ArenaAccess): void {
  const { code } = ctx
  for (const byte of [off, off + size - 1]) {
    pushRegister32(ctx, register)
    code.i32(byte)
    code.op(Op.i32_add)
    code.i32(PAGE_SHIFT)
    code.op(Op.i32_shr_u)
    code.memory(Op.i32_load8_u, arena.absentPages)
  }
  code.op(Op.i32_or)
  code.op(Op.i32_eqz)
}

/** Sets the local that says how far pages are there, which calls may change. */
export function refreshPresent({ code, locals, program }: FunctionContext): void {
  const { arena } = program.code
  if (!arena || locals.present === -1) return
  code.i32(0)
  code.memory(Op.i64_load32_u, arena.present)
  code.set(locals.present)
}
