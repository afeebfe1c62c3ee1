import { Errno, MapType } from '../../uapi/index.ts'
import { GUARD_SIZE, mapSlot, type MapLayout } from '../engine.ts'
import { Descriptor, RingControl } from '../runtime/maps/descriptor.ts'
import { cpu, SLOW } from './hash-code.ts'
import { CodeSink, Op, ValueType, w, type Code, type FunctionType } from './wasm/index.ts'

const { I32, I64 } = ValueType
const { add, and, eq, get, giveBack, i32, load, mul, ne, not, or, set, shl, sub, store, when } = w

/** Addresses of key and value; result: 0 or a negative errno. */
export const ARRAY_UPDATE_FUNCTION: FunctionType = { params: [I32, I32], results: [I32] }

/** ArrayMap.updateAt() with one of the flags 0 to 2. */
export function arrayUpdateBody(map: MapLayout, flags: number): CodeSink {
  const [key, value] = [0, 1]
  const code = new CodeSink(2)
  when(w.atLeast(load(get(key)), i32(map.maxEntries)), giveBack(i32(-Errno.E2BIG)))(code)
  if (flags === 1) {
    code.i32(-Errno.EEXIST)
    return code
  }
  let to = add(i32(map.base), mul(load(get(key)), i32(map.stride)))
  if (map.cpuStride !== 0) to = add(to, mul(cpu, i32(map.cpuStride)))
  w.all(set(key, to), w.copy(get(key), get(value), map.valueSize), i32(0))(code)
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
  const size: Code = (c) => {
    c.memorySize()
    c.i32(16)
    c.op(Op.i32_shl)
  }
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
    set(element, (c) => {
      c.get(key)
      c.get(handle)
      c.call(find)
    }),
    when(get(element), giveBack(add(get(element), load(get(handle), Descriptor.VALUE_OFFSET)))),
    i32(0),
  )(code)
  return code
}

/** Bytes of a record in front of its data; two bits of its length tell its state. */
const RECORD_HEADER = 8
const BUSY = 0x80000000
const DISCARDED = 0x40000000

/** Result: address of the record's data or 0. */
export const RESERVE_FUNCTION: FunctionType = { params: [], results: [I32] }

/** RingBufMap.reserve() of a size that is known, and small enough for any ring. */
export function reserveBody(map: MapLayout, size: number): CodeSink {
  const code = new CodeSink(0)
  const producer = code.addLocal(I64)
  const header = code.addLocal(I32)
  const length = Math.ceil((size + RECORD_HEADER) / 8) * 8
  const control = i32(map.control)
  const used = w.sub64(w.add64(get(producer), w.i64(length)), w.load64(control, RingControl.CONSUMER))
  w.all(
    set(producer, w.load64(control, RingControl.PRODUCER)),
    when(
      w.above64(used, w.i64(map.stride)),
      w.all(
        w.store64(control, w.add64(w.load64(control, RingControl.LOST), w.i64(1)), RingControl.LOST),
        giveBack(i32(0)),
      ),
    ),
    set(header, add(i32(map.base), and(w.wrap(get(producer)), i32(map.stride)))),
    store(get(header), i32(size | BUSY)),
    store(get(header), i32(0), 4),
    w.store64(control, w.add64(get(producer), w.i64(length)), RingControl.PRODUCER),
    add(get(header), i32(RECORD_HEADER)),
  )(code)
  return code
}

/** Address of the record's data, 1 to discard it; result: 0 or SLOW. */
export const COMMIT_FUNCTION: FunctionType = { params: [I32, I32], results: [I32] }

/** RingBufMap.commit() of a record that is the ring's. */
export function commitBody(map: MapLayout): CodeSink {
  const [sample, discard] = [0, 1]
  const code = new CodeSink(2)
  const header = sub(get(sample), i32(RECORD_HEADER))
  const done = and(load(header), i32(~BUSY))
  w.all(
    when(w.above(sub(get(sample), i32(map.base + RECORD_HEADER)), i32(map.stride)), giveBack(i32(SLOW))),
    when(not(and(load(header), i32(BUSY))), giveBack(i32(SLOW))),
    store(header, or(done, mul(get(discard), i32(DISCARDED)))),
    i32(0),
  )(code)
  return code
}

/** Addresses and sizes of what goes and what comes, seed; result: the checksum. */
export const CSUM_FUNCTION: FunctionType = { params: [I32, I32, I32, I32, I32], results: [I32] }

/** bpf_csum_diff; see runtime/helpers/checksum.ts. Sums of 32-bit words fit in 64 bits, carries are added at the end. */
export function csumDiffBody(): CodeSink {
  const [from, fromSize, to, toSize, seed] = [0, 1, 2, 3, 4]
  const code = new CodeSink(5)
  const sum = code.addLocal(I64)
  const result = code.addLocal(I32)
  const add64 = (value: Code): Code => set(sum, w.add64(get(sum), w.extend(value)))
  const halfOf =
    (address: number): Code =>
    (c) => {
      c.get(address)
      c.memory(Op.i32_load16_u, 0)
    }
  const bytes = (address: number, size: number): Code =>
    w.all(
      w.during(
        w.atLeast(get(size), i32(4)),
        w.all(add64(load(get(address))), set(address, add(get(address), i32(4))), set(size, sub(get(size), i32(4)))),
      ),
      when(
        w.atLeast(get(size), i32(2)),
        w.all(add64(halfOf(address)), set(address, add(get(address), i32(2))), set(size, sub(get(size), i32(2)))),
      ),
      when(get(size), add64(w.load8(get(address)))),
    )
  /** Adds the upper half to the lower one, with its carry: the sum modulo 2^32 - 1, not 0 unless all was. */
  const fold32: Code = (c) => {
    for (let i = 0; i < 2; i++) {
      w.extend(w.wrap(get(sum)))(c)
      c.get(sum)
      c.i64(32)
      c.op(Op.i64_shr_u)
      c.op(Op.i64_add)
      c.set(sum)
    }
    w.wrap(get(sum))(c)
  }
  const start = (value: Code): Code => set(sum, w.extend(value))
  const invert = (value: Code): Code => w.xor(value, i32(-1))
  const had = code.addLocal(I32)
  w.all(
    set(had, get(toSize)),
    when(
      get(fromSize),
      when(
        get(toSize),
        w.all(
          start(i32(0)),
          bytes(from, fromSize),
          set(result, fold32),
          start(get(seed)),
          bytes(to, toSize),
          add64(invert(get(result))),
          set(result, fold32),
        ),
        w.all(start(invert(get(seed))), bytes(from, fromSize), set(result, invert(fold32))),
      ),
      w.all(start(get(seed)), when(get(had), bytes(to, toSize)), set(result, fold32)),
    ),
    set(result, add(w.shr(get(result), i32(16)), and(get(result), i32(0xffff)))),
    and(add(w.shr(get(result), i32(16)), get(result)), i32(0xffff)),
  )(code)
  return code
}
