import { Errno } from '../../uapi/index.ts'
import type { MapLayout } from '../engine.ts'
import { STEP_FACTOR } from '../runtime/maps/bloom-filter.ts'
import { hashOf } from './hash-code.ts'
import { CodeSink, ValueType, w, type FunctionType } from './wasm/index.ts'

const { I32 } = ValueType
const { add, and, get, giveBack, i32, load, mul, not, or, set, shl, shr, store, when, xor } = w

/** Address of the value; result: 0 or a negative errno. */
export const BLOOM_FUNCTION: FunctionType = { params: [I32], results: [I32] }

/** BloomFilterMap.pushAt() without flags, or peekAt(). */
export function bloomBody(map: MapLayout, pushes: boolean): CodeSink {
  const value = 0
  const code = new CodeSink(1)
  const [hash, step, word] = [code.addLocal(I32), code.addLocal(I32), code.addLocal(I32)]
  w.all(
    set(hash, hashOf(map.valueSize, get(value), step)),
    set(step, mul(get(hash), i32(STEP_FACTOR))),
    set(step, or(xor(get(step), shr(get(step), i32(16))), i32(1))),
  )(code)
  for (let i = 0; i < map.hashes; i++) {
    const bit = shl(i32(1), get(hash))
    const bits = load(get(word), map.base)
    w.all(
      set(word, shl(shr(and(get(hash), i32(map.stride)), i32(5)), i32(2))),
      pushes ? store(get(word), or(bits, bit), map.base) : when(not(and(bits, bit)), giveBack(i32(-Errno.ENOENT))),
      set(hash, add(get(hash), get(step))),
    )(code)
  }
  code.i32(0)
  return code
}
