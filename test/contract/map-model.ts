import { Errno } from '../../src/uapi/index.ts'

/** One of the operations of objects/map_operations.bpf.c. */
export interface MapOperation {
  readonly what: number
  readonly key: number
  readonly value: number
  readonly prefix: number
}

/** What a program of map_operations.bpf.c should do, simply: gives the result, or null where anything may come. */
export interface MapModel {
  perform(operation: MapOperation): number | null
}

const ANY = 0
const NOEXIST = 1
const EXIST = 2

class Value {
  first: number
  readonly last: number

  constructor(first: number, last: number = first ^ 0x55) {
    this.first = first
    this.last = last
  }

  get seen(): number {
    return this.first | (this.last << 8)
  }
}

/** The operations of PERFORM; `find` and `put` are the map's. */
abstract class Keyed implements MapModel {
  abstract find(operation: MapOperation): Value | undefined
  abstract update(operation: MapOperation, value: Value, flags: number): number
  abstract remove(operation: MapOperation): number

  perform(operation: MapOperation): number | null {
    const what = operation.what % 7
    if (what === 0) return this.find(operation)?.seen ?? -1
    if (what <= 3) return this.update(operation, new Value(operation.value), [ANY, NOEXIST, EXIST][what - 1] as number)
    if (what === 4) return this.remove(operation)
    if (what === 6) return null
    const value = this.find(operation)
    if (value === undefined) return 0
    value.first = (value.first + 1) & 255
    return value.seen
  }
}

export class HashModel extends Keyed {
  readonly #values: Map<string, Value> = new Map()
  readonly #max: number
  readonly #full: number
  readonly #keyOf: (operation: MapOperation) => string | null

  /** @param keyOf null for what is no key */
  constructor(max: number, keyOf: (operation: MapOperation) => string | null, full: number = -Errno.E2BIG) {
    super()
    this.#max = max
    this.#keyOf = keyOf
    this.#full = full
  }

  find(operation: MapOperation): Value | undefined {
    return this.#values.get(this.#keyOf(operation) ?? '')
  }

  get keys(): Iterable<string> {
    return this.#values.keys()
  }

  get(key: string): Value | undefined {
    return this.#values.get(key)
  }

  update(operation: MapOperation, value: Value, flags: number): number {
    const key = this.#keyOf(operation)
    if (key === null) return -Errno.EINVAL
    if (this.#values.has(key) ? flags === NOEXIST : flags === EXIST) {
      return flags === NOEXIST ? -Errno.EEXIST : -Errno.ENOENT
    }
    if (!this.#values.has(key) && this.#values.size >= this.#max) return this.#full
    this.#values.set(key, value)
    return 0
  }

  remove(operation: MapOperation): number {
    const key = this.#keyOf(operation)
    if (key === null) return -Errno.EINVAL
    return this.#values.delete(key) ? 0 : -Errno.ENOENT
  }
}

export class ArrayModel extends Keyed {
  readonly #values: Value[]

  constructor(max: number) {
    super()
    this.#values = Array.from({ length: max }, () => new Value(0, 0))
  }

  find({ key }: MapOperation): Value | undefined {
    return this.#values[key]
  }

  update({ key }: MapOperation, value: Value, flags: number): number {
    if (key >= this.#values.length) return -Errno.E2BIG
    if (flags === NOEXIST) return -Errno.EEXIST
    this.#values[key] = value
    return 0
  }

  remove(): number {
    return -Errno.EINVAL
  }
}

/** Prefixes as strings of bits, in no structure. */
export class TrieModel extends HashModel {
  readonly #bits: (operation: MapOperation) => string | null

  constructor(max: number, dataSize: number) {
    const bits = ({ key, prefix }: MapOperation): string | null => {
      const length = prefix % (dataSize * 8 + 2)
      if (length > dataSize * 8) return null
      let all = ''
      for (let j = 0; j < dataSize; j++) {
        const byte = (key & (1 << (j % 5))) !== 0 ? 0x80 | j : 0x10
        all += byte.toString(2).padStart(8, '0')
      }
      return all.slice(0, length)
    }
    super(max, bits, -Errno.ENOSPC)
    this.#bits = bits
  }

  override find(operation: MapOperation): Value | undefined {
    const bits = this.#bits(operation)
    if (bits === null) return undefined
    let best: string | undefined
    for (const key of this.keys) {
      if (bits.startsWith(key) && key.length >= (best?.length ?? 0)) best = key
    }
    return best === undefined ? undefined : this.get(best)
  }
}

/** Results are the errno in the upper half and the value after the operation in the lower one. */
export class QueueModel implements MapModel {
  readonly #values: number[] = []
  readonly #max: number
  readonly #isStack: boolean

  constructor(max: number, isStack: boolean) {
    this.#max = max
    this.#isStack = isStack
  }

  perform({ what, value }: MapOperation): number {
    const values = this.#values
    const mine = new Value(value).seen
    const result = (errno: number, seen: number): number => Number((BigInt(-errno) << 32n) | BigInt(seen))
    if (what % 4 <= 1) {
      if (values.length === this.#max) {
        if (what % 4 === 0) return result(Errno.E2BIG, mine)
        values.shift()
      }
      values.push(mine)
      return result(0, mine)
    }
    const seen = this.#isStack ? values.at(-1) : values[0]
    if (seen === undefined) return result(Errno.ENOENT, 0)
    if (what % 4 === 3) values.splice(this.#isStack ? -1 : 0, 1)
    return result(0, seen)
  }
}
