import { Errno, MapType } from '../../uapi/index.ts'
import { GUARD_SIZE, mapSlot, type MapLayout } from '../engine.ts'
import { Descriptor } from '../runtime/maps/descriptor.ts'
import { copyValue, cpu, SLOW } from './hash-code.ts'
import { CodeSink, ValueType, w, type Code, type FunctionType } from './wasm/index.ts'

const { I32 } = ValueType
const { add, and, eq, get, giveBack, i32, load, mul, ne, not, or, set, shl, sub, when } = w

/** ArrayMap.updateAt() with one of the flags 0 to 2, plus 4 (BPF_F_LOCK) or not; parameters as of a hash's update. */
export function arrayUpdateBody(map: MapLayout, flags: number): CodeSink {
  const [key, value, handle] = [0, 1, 2]
  const code = new CodeSink(3)
  const max = load(get(handle), Descriptor.MAX_ENTRIES)
  when(w.atLeast(load(get(key)), max), giveBack(i32(-Errno.E2BIG)))(code)
  if ((flags & 3) === 1) {
    code.i32(-Errno.EEXIST)
    return code
  }
  let to = add(load(get(handle), Descriptor.BASE), mul(load(get(key)), i32(map.stride)))
  if (map.cpuStride !== 0) to = add(to, mul(cpu, i32(map.cpuStride)))
  w.all(set(key, to), copyValue(map, get(key), get(value)), i32(0))(code)
  return code
}

/** Handle and address of the key; result: address of the value, 0, or SLOW. */
export const LOOKUP_FUNCTION: FunctionType = { params: [I32, I32], results: [I32] }

/**
 * Lookup in a map that is only known when the program runs: an array, or a hash by `find` when its keys have that
 * function's size (4).
 */
export function lookupBody(find: number): CodeSink {
  const [handle, key] = [0, 1]
  const code = new CodeSink(2)
  const element = code.addLocal(I32)
  const type = (is: number): Code => eq(load(get(handle), Descriptor.TYPE), i32(is))
  const slot = add(i32(mapSlot(0)), shl(and(w.shr(get(handle), i32(3)), i32(1023)), i32(2)))
  const size = shl((c) => c.memorySize(), i32(16))
  const index = load(get(key))
  w.all(
    when(or(not(get(handle)), ne(load(slot), get(handle))), giveBack(i32(SLOW))),
    when(ne(load(get(handle), Descriptor.KEY_SIZE), i32(4)), giveBack(i32(SLOW))),
    when(w.above(sub(get(key), i32(GUARD_SIZE)), sub(size, i32(GUARD_SIZE + 4))), giveBack(i32(SLOW))),
    when(
      type(MapType.ARRAY),
      w.all(
        when(w.atLeast(index, load(get(handle), Descriptor.MAX_ENTRIES)), giveBack(i32(0))),
        giveBack(add(load(get(handle), Descriptor.BASE), mul(index, load(get(handle), Descriptor.STRIDE)))),
      ),
    ),
    when(not(type(MapType.HASH)), giveBack(i32(SLOW))),
    set(element, w.call(find, get(key), get(handle))),
    when(get(element), giveBack(add(get(element), load(get(handle), Descriptor.VALUE_OFFSET)))),
    i32(0),
  )(code)
  return code
}
