import { HelperId } from '../../uapi/index.ts'
import type { HelperCall } from '../../isa/index.ts'
import { CPU_ADDRESS, type MapLayout } from '../engine.ts'
import { Descriptor, Element } from '../runtime/maps/descriptor.ts'
import { registerLocal, type FunctionContext } from './context.ts'
import { checkAccess, pushAddress } from './memory.ts'
import { CodeSink, Op, ValueType, type FunctionType } from './wasm/index.ts'

/** Keys that are longer are looked up by the helper. */
const MAX_KEY_SIZE = 64

/**
 * Writes a helper call without leaving wasm, when that can be done: lookups in a map that is known, and the number of
 * the CPU. False: nothing was written.
 */
export function emitInlineHelper(ctx: FunctionContext, op: HelperCall, at: number): boolean {
  switch (op.imm) {
    case HelperId.get_smp_processor_id:
      pushCpu(ctx.code)
      ctx.code.op(Op.i64_extend_i32_u)
      ctx.code.set(registerLocal(0))
      return true
    case HelperId.map_lookup_elem:
      return emitLookup(ctx, at)
    default:
      return false
  }
}

function pushCpu(code: CodeSink): void {
  code.i32(0)
  code.memory(Op.i32_load, CPU_ADDRESS)
}

/** bpf_map_lookup_elem: r0 is the address of the value for the key at r2, or 0. */
function emitLookup(ctx: FunctionContext, at: number): boolean {
  const handle = ctx.values.constantAddress(1)
  const map = handle === null ? null : ctx.module.mapAt(handle)
  if (map === null || map.keySize > MAX_KEY_SIZE) return false
  checkAccess(ctx, 2, 0, map.keySize, at)
  if (map.kind === 'array') arrayValue(ctx, map)
  else hashValue(ctx, map)
  ctx.code.op(Op.i64_extend_i32_u)
  ctx.code.set(registerLocal(0))
  return true
}

function arrayValue(ctx: FunctionContext, map: MapLayout): void {
  const { code, locals } = ctx
  code.memory(Op.i32_load, pushAddress(ctx, 2, 0, map.keySize))
  code.tee(locals.index)
  code.i32(map.stride)
  code.op(Op.i32_mul)
  code.i32(map.base)
  code.op(Op.i32_add)
  addCpuOffset(code, map)
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
  code.i32(map.valueOffset)
  code.op(Op.i32_add)
  addCpuOffset(code, map)
  code.i32(0)
  code.get(locals.index)
  code.op(Op.select)
}

function addCpuOffset(code: CodeSink, map: MapLayout): void {
  if (map.cpuStride === 0) return
  pushCpu(code)
  code.i32(map.cpuStride)
  code.op(Op.i32_mul)
  code.op(Op.i32_add)
}

/** Parameters of a find function: address of the key, handle of the map; result: the element or 0. */
export const FIND_FUNCTION: FunctionType = { params: [ValueType.I32, ValueType.I32], results: [ValueType.I32] }

/** HashTable.find() for keys of one size. */
export function findBody(keySize: number): CodeSink {
  const [key, handle] = [0, 1]
  const code = new CodeSink(2)
  const hash = code.addLocal(ValueType.I32)
  const element = code.addLocal(ValueType.I32)
  writeHash(code, keySize, key, hash)
  code.get(handle)
  code.memory(Op.i32_load, Descriptor.BASE)
  code.get(hash)
  code.get(handle)
  code.memory(Op.i32_load, Descriptor.STRIDE)
  code.op(Op.i32_and)
  code.i32(2)
  code.op(Op.i32_shl)
  code.op(Op.i32_add)
  code.memory(Op.i32_load, 0)
  code.set(element)
  code.loop()
  code.get(element)
  code.op(Op.i32_eqz)
  code.if()
  code.i32(0)
  code.op(Op.return)
  code.end()
  code.get(element)
  code.memory(Op.i32_load, Element.HASH)
  code.get(hash)
  code.op(Op.i32_eq)
  code.if()
  pushKeyDifference(code, keySize, key, element)
  code.op(Op.i32_eqz)
  code.if()
  code.get(element)
  code.op(Op.return)
  code.end()
  code.end()
  code.get(element)
  code.memory(Op.i32_load, Element.NEXT)
  code.set(element)
  code.br(0)
  code.end()
  code.op(Op.unreachable)
  return code
}

/** HashTable.hashOf(): words, then what is left, then a final mix (MurmurHash3, 32 bits). */
function writeHash(code: CodeSink, keySize: number, key: number, hash: number): void {
  code.i32(keySize)
  code.set(hash)
  let at = 0
  for (; at + 4 <= keySize; at += 4) {
    code.get(key)
    code.memory(Op.i32_load, at)
    mixWord(code, hash)
  }
  if (at < keySize) {
    for (let shift = 0; at < keySize; at++, shift += 8) {
      code.get(key)
      code.memory(Op.i32_load8_u, at)
      if (shift === 0) continue
      code.i32(shift)
      code.op(Op.i32_shl)
      code.op(Op.i32_or)
    }
    mixWord(code, hash)
  }
  xorShift(code, hash, 16)
  multiply(code, hash, 0x85ebca6b)
  xorShift(code, hash, 13)
  multiply(code, hash, 0xc2b2ae35)
  xorShift(code, hash, 16)
}

/** Mixes the word on the stack into the hash. */
function mixWord(code: CodeSink, hash: number): void {
  code.i32(0xcc9e2d51)
  code.op(Op.i32_mul)
  code.i32(15)
  code.op(Op.i32_rotl)
  code.i32(0x1b873593)
  code.op(Op.i32_mul)
  code.get(hash)
  code.op(Op.i32_xor)
  code.i32(13)
  code.op(Op.i32_rotl)
  code.i32(5)
  code.op(Op.i32_mul)
  code.i32(0xe6546b64)
  code.op(Op.i32_add)
  code.set(hash)
}

function xorShift(code: CodeSink, hash: number, by: number): void {
  code.get(hash)
  code.get(hash)
  code.i32(by)
  code.op(Op.i32_shr_u)
  code.op(Op.i32_xor)
  code.set(hash)
}

function multiply(code: CodeSink, hash: number, by: number): void {
  code.get(hash)
  code.i32(by)
  code.op(Op.i32_mul)
  code.set(hash)
}

/** Pushes 0 when the element's key is the one at `key`. Words of 4 bytes, as keys are mostly written. */
function pushKeyDifference(code: CodeSink, keySize: number, key: number, element: number): void {
  let at = 0
  while (at < keySize) {
    const isWord = at + 4 <= keySize
    const load = isWord ? Op.i32_load : Op.i32_load8_u
    code.get(key)
    code.memory(load, at)
    code.get(element)
    code.memory(load, Element.KEY + at)
    code.op(Op.i32_xor)
    if (at > 0) code.op(Op.i32_or)
    at += isWord ? 4 : 1
  }
}
