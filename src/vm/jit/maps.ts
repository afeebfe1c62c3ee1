import { HelperId, UpdateFlag } from '../../uapi/index.ts'
import type { HelperCall } from '../../isa/index.ts'
import { GUARD_SIZE, type MapLayout } from '../engine.ts'
import { Element } from '../runtime/maps/descriptor.ts'
import { pushRegister, pushRegister32, registerLocal, type FunctionContext } from './context.ts'
import { cpu, DELETE_FUNCTION, deleteBody, SLOW, UPDATE_FUNCTION, updateBody } from './hash-code.ts'
import {
  ARRAY_UPDATE_FUNCTION,
  arrayUpdateBody,
  COMMIT_FUNCTION,
  commitBody,
  CSUM_FUNCTION,
  csumDiffBody,
  LOOKUP_FUNCTION,
  lookupBody,
  RESERVE_FUNCTION,
  reserveBody,
} from './map-code.ts'
import { checkAccess, pushAddress, pushOutside } from './memory.ts'
import { Op, ValueType, w, type Code } from './wasm/index.ts'

/** Keys that are longer are looked up by the helper. */
const MAX_KEY_SIZE = 64
/** Values that are longer are copied by the helper. */
const MAX_VALUE_SIZE = 4096

/**
 * Writes a helper call without leaving wasm, when that can be done; `callHelper` writes the call for what turns out to
 * be no such case when it runs. False: nothing was written.
 */
export function emitInlineHelper(ctx: FunctionContext, op: HelperCall, at: number, callHelper: () => void): boolean {
  const { code, module } = ctx
  const fast = new FastPath(ctx, callHelper)
  switch (op.imm) {
    case HelperId.get_smp_processor_id:
      cpu(code)
      code.op(Op.i64_extend_i32_u)
      code.set(registerLocal(0))
      return true
    case HelperId.ktime_get_ns:
    case HelperId.ktime_get_boot_ns:
      if (module.clock === -1) return false
      code.call(module.clock)
      code.op(Op.i64_trunc_f64_u)
      code.set(registerLocal(0))
      return true
    case HelperId.map_lookup_elem:
      return emitLookup(ctx, at, fast)
    case HelperId.map_update_elem:
      return emitUpdate(ctx, fast)
    case HelperId.map_delete_elem:
      return emitDelete(ctx, fast)
    case HelperId.ringbuf_reserve:
      return emitReserve(ctx)
    case HelperId.ringbuf_submit:
    case HelperId.ringbuf_discard:
      return emitCommit(ctx, fast, op.imm === HelperId.ringbuf_discard)
    case HelperId.csum_diff:
      return emitCsumDiff(ctx, fast)
    default:
      return false
  }
}

/** Code that leaves what it cannot do to the helper. */
class FastPath {
  readonly #ctx: FunctionContext
  readonly #callHelper: () => void

  constructor(ctx: FunctionContext, callHelper: () => void) {
    this.#ctx = ctx
    this.#callHelper = callHelper
  }

  /**
   * r0 is the result of `call`, an i32 that is extended, unless it is SLOW or one of the memory ranges (register and
   * size) or numbers (registers that have to be below 2^32) is none: then the helper decides.
   */
  emit(
    ranges: readonly (readonly [register: number, size: number])[],
    numbers: readonly number[],
    call: Code,
    signed: boolean,
  ): true {
    const { code, locals } = this.#ctx
    code.block()
    code.block()
    for (const [register, size] of ranges) {
      if (pushOutside(this.#ctx, register, size)) code.brIf(0)
    }
    for (const register of numbers) {
      pushRegister(this.#ctx, register)
      code.i64(32)
      code.op(Op.i64_shr_u)
      code.op(Op.i32_wrap_i64)
      code.brIf(0)
    }
    call(code)
    code.tee(locals.index)
    code.i32(SLOW)
    code.op(Op.i32_eq)
    code.brIf(0)
    code.get(locals.index)
    code.op(signed ? Op.i64_extend_i32_s : Op.i64_extend_i32_u)
    code.set(registerLocal(0))
    code.br(1)
    code.end()
    this.#callHelper()
    code.end()
    return true
  }
}

/** The map that r1 is known to be. */
function knownMap(ctx: FunctionContext, register: number): MapLayout | null {
  const handle = ctx.values.constantAddress(register)
  return handle === null ? null : ctx.module.mapAt(handle)
}

const isHash = (map: MapLayout): boolean => map.kind === 'hash' || map.kind === 'lru'

/** bpf_map_lookup_elem: r0 is the address of the value for the key at r2, or 0. */
function emitLookup(ctx: FunctionContext, at: number, fast: FastPath): boolean {
  const map = knownMap(ctx, 1)
  const { code, module } = ctx
  if (map === null) {
    if (ctx.values.constantAddress(1) !== null || !module.hasInnerMaps) return false
    const find = module.findFunction(4)
    const lookup = module.function('lookup', LOOKUP_FUNCTION, () => lookupBody(find))
    return fast.emit([], [1, 2], callOf(ctx, lookup, [1, 2]), false)
  }
  if (map.keySize > MAX_KEY_SIZE || (map.kind !== 'array' && !isHash(map))) return false
  checkAccess(ctx, 2, 0, map.keySize, at)
  if (map.kind === 'array') arrayValue(ctx, map)
  else hashValue(ctx, map)
  if (map.hasMaps) {
    code.tee(ctx.locals.index)
    code.if(ValueType.I32)
    w.load(w.get(ctx.locals.index))(code)
    code.else()
    code.i32(0)
    code.end()
  }
  code.op(Op.i64_extend_i32_u)
  code.set(registerLocal(0))
  return true
}

function callOf(ctx: FunctionContext, target: number, registers: readonly number[]): Code {
  return (code) => {
    for (const register of registers) pushRegister32(ctx, register)
    code.call(target)
  }
}

function arrayValue(ctx: FunctionContext, map: MapLayout): void {
  const { code, locals } = ctx
  code.memory(Op.i32_load, pushAddress(ctx, 2, 0, map.keySize))
  code.tee(locals.index)
  code.i32(map.stride)
  code.op(Op.i32_mul)
  code.i32(map.base)
  code.op(Op.i32_add)
  addCpuOffset(ctx, map)
  code.i32(0)
  code.get(locals.index)
  code.i32(map.maxEntries)
  code.op(Op.i32_lt_u)
  code.op(Op.select)
}

function hashValue(ctx: FunctionContext, map: MapLayout): void {
  const { code, locals } = ctx
  const offset = pushAddress(ctx, 2, 0, map.keySize)
  if (offset !== 0) {
    code.i32(offset)
    code.op(Op.i32_add)
  }
  code.i32(map.handle)
  code.call(ctx.module.findFunction(map.keySize))
  code.tee(locals.index)
  if (map.kind === 'lru') {
    code.if()
    w.store(w.get(locals.index), w.i32(1), Element.REFERENCED)(code)
    code.end()
    code.get(locals.index)
  }
  code.i32(map.valueOffset)
  code.op(Op.i32_add)
  addCpuOffset(ctx, map)
  code.i32(0)
  code.get(locals.index)
  code.op(Op.select)
}

function addCpuOffset({ code }: FunctionContext, map: MapLayout): void {
  if (map.cpuStride === 0) return
  cpu(code)
  code.i32(map.cpuStride)
  code.op(Op.i32_mul)
  code.op(Op.i32_add)
}

/** Flags of an update that are 0 to 2, or null. */
function knownFlags(ctx: FunctionContext, register: number): number | null {
  const flags = ctx.values.constantAddress(register)
  return flags !== null && flags <= UpdateFlag.EXIST ? flags : null
}

function emitUpdate(ctx: FunctionContext, fast: FastPath): boolean {
  const map = knownMap(ctx, 1)
  const flags = knownFlags(ctx, 4)
  if (map === null || flags === null || map.hasMaps || map.hasFields || map.valueSize > MAX_VALUE_SIZE) return false
  const { module } = ctx
  let update: number
  if (map.kind === 'array') {
    const body = (): ReturnType<typeof arrayUpdateBody> => arrayUpdateBody(map, flags)
    update = module.function(`update_${map.handle}_${flags}`, ARRAY_UPDATE_FUNCTION, body)
  } else {
    if (map.kind !== 'hash' || map.keySize > MAX_KEY_SIZE || (map.spare === 0 && map.cpuStride === 0)) return false
    update = module.function(`update_${map.handle}_${flags}`, UPDATE_FUNCTION, () => updateBody(map, flags))
  }
  const ranges = [
    [2, map.keySize],
    [3, map.valueSize],
  ] as const
  return fast.emit(ranges, [], callOf(ctx, update, [2, 3]), true)
}

function emitDelete(ctx: FunctionContext, fast: FastPath): boolean {
  const map = knownMap(ctx, 1)
  if (map === null || map.kind !== 'hash' || map.hasMaps || map.hasFields) return false
  if (map.keySize > MAX_KEY_SIZE || map.spare === 0) return false
  const remove = ctx.module.function(`delete_${map.handle}`, DELETE_FUNCTION, () => deleteBody(map))
  return fast.emit([[2, map.keySize]], [], callOf(ctx, remove, [2]), true)
}

function emitReserve(ctx: FunctionContext): boolean {
  const map = knownMap(ctx, 1)
  const size = ctx.values.constantAddress(2)
  const flags = ctx.values.constantAddress(3)
  if (map?.kind !== 'ringbuf' || size === null || size > GUARD_SIZE || size + 8 > map.stride || flags !== 0)
    return false
  const reserve = ctx.module.function(`reserve_${map.handle}_${size}`, RESERVE_FUNCTION, () => reserveBody(map, size))
  ctx.code.call(reserve)
  ctx.code.op(Op.i64_extend_i32_u)
  ctx.code.set(registerLocal(0))
  return true
}

function emitCommit(ctx: FunctionContext, fast: FastPath, discard: boolean): boolean {
  const { module } = ctx
  // The record says nothing of its ring: most programs have one.
  const map = module.onlyRing
  if (map === null) return false
  const commit = module.function(`commit_${map.handle}`, COMMIT_FUNCTION, () => commitBody(map))
  const call: Code = (code) => {
    pushRegister32(ctx, 1)
    code.i32(discard ? 1 : 0)
    code.call(commit)
  }
  return fast.emit([], [1], call, false)
}

/** bpf_csum_diff of sizes that are known. */
function emitCsumDiff(ctx: FunctionContext, fast: FastPath): boolean {
  const fromSize = ctx.values.constantAddress(2)
  const toSize = ctx.values.constantAddress(4)
  if (fromSize === null || toSize === null || fromSize > GUARD_SIZE || toSize > GUARD_SIZE) return false
  const diff = ctx.module.function('csum_diff', CSUM_FUNCTION, csumDiffBody)
  const ranges = [[1, fromSize] as const, [3, toSize] as const].filter(([, size]) => size > 0)
  return fast.emit(ranges, [], callOf(ctx, diff, [1, 2, 3, 4, 5]), false)
}

/** Helpers above that read memory through registers. */
export const INLINE_MEMORY_HELPERS: ReadonlySet<number> = new Set<number>([
  HelperId.map_lookup_elem,
  HelperId.map_update_elem,
  HelperId.map_delete_elem,
  HelperId.csum_diff,
])
