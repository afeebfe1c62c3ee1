import { Errno } from '../../uapi/index.ts'
import { GUARD_SIZE, type MapLayout } from '../engine.ts'
import { RingControl } from '../runtime/maps/descriptor.ts'
import { SLOW } from './hash-code.ts'
import { CodeSink, ValueType, w, type Code, type FunctionType } from './wasm/index.ts'

const { I32, I64 } = ValueType
const { add, and, get, giveBack, i32, load, mul, not, or, set, store, sub, when } = w

/** Bytes of a record in front of its data; two bits of its length tell its state. */
const RECORD_HEADER = 8
const BUSY = 0x80000000
const DISCARDED = 0x40000000

/** Result: address of the record's data or 0. */
export const RESERVE_FUNCTION: FunctionType = { params: [], results: [I32] }
/** Addresses of the record's data, 1 to discard it; result: 0 or SLOW. */
export const COMMIT_FUNCTION: FunctionType = { params: [I32, I32], results: [I32] }
/** Address and size of data; result: 0, a negative errno, or SLOW. */
export const OUTPUT_FUNCTION: FunctionType = { params: [I32, I32], results: [I32] }

/** Sets the local `header` to the place of a record of so many bytes, which it has, or gives `full` back. */
function takeRecord(code: CodeSink, map: MapLayout, header: number, length: Code, full: number): Code {
  const producer = code.addLocal(I64)
  const end = code.addLocal(I64)
  const control = i32(map.control)
  return w.all(
    set(producer, w.load64(control, RingControl.PRODUCER)),
    set(end, w.add64(get(producer), w.extend(length))),
    when(
      w.above64(w.sub64(get(end), w.load64(control, RingControl.CONSUMER)), w.i64(map.stride)),
      w.all(
        w.store64(control, w.add64(w.load64(control, RingControl.LOST), w.i64(1)), RingControl.LOST),
        giveBack(i32(full)),
      ),
    ),
    set(header, add(i32(map.base), and(w.wrap(get(producer)), i32(map.stride)))),
    w.store64(control, get(end), RingControl.PRODUCER),
    store(get(header), i32(0), 4),
  )
}

/** RingBufMap.reserve() of a size that is known, and small enough for any ring. */
export function reserveBody(map: MapLayout, size: number): CodeSink {
  const code = new CodeSink(0)
  const header = code.addLocal(I32)
  const length = Math.ceil((size + RECORD_HEADER) / 8) * 8
  w.all(
    takeRecord(code, map, header, i32(length), 0),
    store(get(header), i32(size | BUSY)),
    add(get(header), i32(RECORD_HEADER)),
  )(code)
  return code
}

/** bpf_ringbuf_output; `size` when it is known and small enough for any ring. */
export function outputBody(map: MapLayout, size: number | null): CodeSink {
  const [data, bytes] = [0, 1]
  const code = new CodeSink(2)
  const header = code.addLocal(I32)
  const to = add(get(header), i32(RECORD_HEADER))
  const rounded = and(add(get(bytes), i32(RECORD_HEADER + 7)), i32(~7))
  const length = size === null ? rounded : i32(Math.ceil((size + RECORD_HEADER) / 8) * 8)
  const memoryBytes: Code = w.shl((c) => c.memorySize(), i32(16))
  const isOutside = w.above(sub(get(data), i32(GUARD_SIZE)), sub(sub(memoryBytes, i32(GUARD_SIZE)), get(bytes)))
  const isLarge = w.above(get(bytes), i32(Math.min(map.stride - RECORD_HEADER, GUARD_SIZE)))
  const copyAll: Code = (c) => {
    to(c)
    c.get(data)
    c.get(bytes)
    c.memoryCopy()
  }
  w.all(
    size === null ? w.all(when(isLarge, giveBack(i32(SLOW))), when(isOutside, giveBack(i32(SLOW)))) : w.all(),
    takeRecord(code, map, header, length, -Errno.EAGAIN),
    size === null ? copyAll : w.copy(to, get(data), size),
    store(get(header), size === null ? get(bytes) : i32(size)),
    i32(0),
  )(code)
  return code
}

/** RingBufMap.commit() of a record of one of the rings. */
export function commitBody(maps: readonly MapLayout[]): CodeSink {
  const [sample, discard] = [0, 1]
  const code = new CodeSink(2)
  const header = sub(get(sample), i32(RECORD_HEADER))
  const done = and(load(header), i32(~BUSY))
  const commit = w.all(
    when(not(and(load(header), i32(BUSY))), giveBack(i32(SLOW))),
    store(header, or(done, mul(get(discard), i32(DISCARDED)))),
    giveBack(i32(0)),
  )
  for (const map of maps) {
    when(not(w.above(sub(get(sample), i32(map.base + RECORD_HEADER)), i32(map.stride))), commit)(code)
  }
  code.i32(SLOW)
  return code
}

/** RingBufMap.query(), an i64. */
export function queryOf(map: MapLayout, what: number): Code {
  const position = (field: number): Code => w.load64(i32(map.control), field)
  switch (what) {
    case 0:
      return w.sub64(position(RingControl.PRODUCER), position(RingControl.CONSUMER))
    case 1:
      return w.extend(add(i32(map.stride), i32(1)))
    case 2:
      return position(RingControl.CONSUMER)
    case 3:
      return position(RingControl.PRODUCER)
    default:
      return w.i64(0)
  }
}
