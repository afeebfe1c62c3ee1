import { Errno } from '../../uapi/index.ts'
import type { MapLayout } from '../engine.ts'
import { Descriptor } from '../runtime/maps/descriptor.ts'
import { CodeSink, ValueType, w, type Code, type FunctionType } from './wasm/index.ts'

const { I32 } = ValueType
const { add, get, giveBack, i32, load, mul, not, set, store, sub, when } = w

/** Address of the value; result: 0 or a negative errno. */
export const QUEUE_FUNCTION: FunctionType = { params: [I32], results: [I32] }

/** State of a queue or stack whose descriptor is at a known address. */
class QueueCode {
  readonly #map: MapLayout

  constructor(map: MapLayout) {
    this.#map = map
  }

  get count(): Code {
    return load(i32(0), this.#map.handle + Descriptor.COUNT)
  }

  setCount(count: Code): Code {
    return store(i32(0), count, this.#map.handle + Descriptor.COUNT)
  }

  get first(): Code {
    return load(i32(0), this.#map.handle + Descriptor.HEAD)
  }

  /** The oldest value goes. */
  dropFirst(scratch: number): Code {
    return w.all(
      this.#wrapped(scratch, add(this.first, i32(1))),
      store(i32(0), get(scratch), this.#map.handle + Descriptor.HEAD),
    )
  }

  /** Sets the local to the address of the value that is `index` behind the oldest. */
  slot(to: number, index: Code): Code {
    const { base, stride } = this.#map
    return w.all(this.#wrapped(to, add(this.first, index)), set(to, add(i32(base), mul(get(to), i32(stride)))))
  }

  /** Sets the local to an index of the ring, which may be once around too far. */
  #wrapped(to: number, index: Code): Code {
    const max = i32(this.#map.maxEntries)
    return w.all(set(to, index), set(to, sub(get(to), w.choose(w.atLeast(get(to), max), max, i32(0)))))
  }
}

/** QueueStackMap.pushAt() with flags 0 or BPF_EXIST (2). */
export function pushBody(map: MapLayout, flags: number): CodeSink {
  const value = 0
  const code = new CodeSink(1)
  const at = code.addLocal(I32)
  const queue = new QueueCode(map)
  const makeRoom = w.all(queue.dropFirst(at), queue.setCount(sub(queue.count, i32(1))))
  w.all(
    when(w.eq(queue.count, i32(map.maxEntries)), flags === 0 ? giveBack(i32(-Errno.E2BIG)) : makeRoom),
    queue.slot(at, queue.count),
    w.copy(get(at), get(value), map.valueSize),
    queue.setCount(add(queue.count, i32(1))),
    i32(0),
  )(code)
  return code
}

/** QueueStackMap.peekAt(), or popAt() when it `removes` the value. */
export function peekBody(map: MapLayout, removes: boolean): CodeSink {
  const value = 0
  const code = new CodeSink(1)
  const at = code.addLocal(I32)
  const queue = new QueueCode(map)
  const isQueue = map.kind === 'queue'
  w.all(
    when(not(queue.count), w.all(w.zero(get(value), map.valueSize), giveBack(i32(-Errno.ENOENT)))),
    queue.slot(at, isQueue ? i32(0) : sub(queue.count, i32(1))),
    w.copy(get(value), get(at), map.valueSize),
    removes && isQueue ? queue.dropFirst(at) : w.all(),
    removes ? queue.setCount(sub(queue.count, i32(1))) : w.all(),
    i32(0),
  )(code)
  return code
}
