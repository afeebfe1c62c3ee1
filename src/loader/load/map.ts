import { writeValue, type Btf, type BtfValueInput } from '../../btf/index.ts'
import { BpfError } from '../../bytes/index.ts'
import { MapType } from '../../uapi/index.ts'
import type { BackendMap, BackendProgram, EventCounters } from '../backend.ts'
import type { MapSpec } from '../spec.ts'
import { Pins } from './pins.ts'
import { Codec } from './codec.ts'
import { elementBlocks, walkKeys } from './elements.ts'
import { consume, eventDecoder, EventReader, type EventOptions, type EventSource } from './events.ts'

/** A map in a backend, with keys and values by their C types; bytes where there are none. */
export class LoadedMap {
  readonly name: string
  readonly spec: MapSpec
  /** The backend's map, for work with bytes. */
  readonly raw: BackendMap
  /** Where it is pinned, as far as this object knows. @internal */
  readonly pins: Pins
  readonly #btf: Btf | null
  readonly #key: Codec
  readonly #value: Codec
  readonly #eventTypeId: number

  constructor(spec: MapSpec, raw: BackendMap, btf: Btf | null) {
    this.name = spec.name
    this.spec = spec
    this.raw = raw
    this.pins = new Pins(raw, `map ${spec.name}`)
    this.#btf = btf
    // Values of maps of maps and prog arrays are ids, whatever the object declares.
    const holdsObjects = spec.inner !== null || raw.type === MapType.PROG_ARRAY || HOLDS_MAPS.has(raw.type)
    // A struct_ops map holds the kernel's own type, not the object's.
    const isForeign = holdsObjects || raw.type === MapType.STRUCT_OPS
    const isEvents = EVENT_MAPS.has(raw.type)
    this.#eventTypeId = isEvents ? spec.valueTypeId : 0
    this.#key = new Codec('key', spec.name, raw.keySize, btf, isEvents ? 0 : spec.keyTypeId)
    const valueTypeId = isEvents || isForeign ? 0 : spec.valueTypeId
    this.#value = new Codec('value', spec.name, raw.valueSize, btf, valueTypeId)
  }

  /**
   * The value of a key, undefined when there is none. Per-CPU maps give an array with one value a CPU. Queues and
   * stacks have no keys: `get()` looks at the next element.
   * @throws BpfError `syscall`, `type-mismatch`
   */
  get(key?: unknown): unknown {
    const bytes = this.raw.lookup(this.#encodeKey(key))
    return bytes === null ? undefined : this.#decode(bytes)
  }

  /**
   * Sets a value; a per-CPU map takes an array with one value a CPU, or one value for all of them.
   * @param flags BPF_ANY (0), BPF_NOEXIST, BPF_EXIST
   * @throws BpfError `syscall`, `type-mismatch`
   */
  set(key: unknown, value: unknown, flags: number = 0): void {
    this.raw.update(this.#encodeKey(key), this.#encode(value), flags)
  }

  /** Removes a key; false when there was none. @throws BpfError `syscall`, `type-mismatch` */
  delete(key: unknown): boolean {
    return this.raw.delete(this.#encodeKey(key))
  }

  /** Takes a value out, the next element of a queue or stack; undefined when there is none. */
  take(key?: unknown): unknown {
    const bytes = this.raw.lookupAndDelete(this.#encodeKey(key))
    return bytes === null ? undefined : this.#decode(bytes)
  }

  /** Puts a map in a map of maps, or a program in a prog array. */
  setSlot(key: unknown, target: LoadedMap | { readonly raw: BackendProgram }): void {
    this.raw.setSlot(this.#encodeKey(key), target.raw)
  }

  /** All keys, as the map has them now; in no order for hashes. */
  *keys(): Generator<unknown, void> {
    for (const key of walkKeys(this.raw)) yield this.#key.decode(key)
  }

  /**
   * All entries, in no order for hashes. They are read many at once where the kernel can: what others change meanwhile
   * may be missed, or come as it was a moment before.
   */
  *entries(): Generator<[key: unknown, value: unknown], void> {
    const { keySize } = this.raw
    for (const { count, keys, values } of elementBlocks(this.raw)) {
      const valueBytes = values.length / Math.max(1, count)
      for (let i = 0; i < count; i++) {
        yield [this.#key.decodeAt(keys, i * keySize), this.#decodeAt(values, i * valueBytes)]
      }
    }
  }

  [Symbol.iterator](): Generator<[key: unknown, value: unknown], void> {
    return this.entries()
  }

  /** Deletes all entries. @throws BpfError `syscall` for maps whose entries cannot be deleted */
  clear(): void {
    for (const key of Array.from(walkKeys(this.raw))) this.raw.delete(key)
  }

  /**
   * Takes all events out of a ring buffer or perf event array. They come by their C type when the map declares one as
   * its value, or `typeId` says one of the object's BTF; otherwise as bytes.
   */
  drain(options: { readonly typeId?: number } = {}): unknown[] {
    const events: unknown[] = []
    this.consume((event) => events.push(event), options)
    return events
  }

  /**
   * As {@link LoadedMap.drain}, with a call for each event; returns how many there were. An exception in `callback` ends
   * it: the events behind stay in the map.
   * @param options.limit the most to take
   */
  consume(
    callback: (event: unknown, cpu: number) => void,
    options: { readonly typeId?: number; readonly limit?: number } = {},
  ): number {
    const decode = eventDecoder(this.#btf, options.typeId ?? this.#eventTypeId)
    return consume(
      this.raw,
      (chunk, offset, length, cpu) => {
        callback(decode(chunk, offset, length), cpu)
      },
      options.limit,
    )
  }

  /** Pins it at a path in a bpf file system; it then outlives the process. @throws BpfError `syscall`, `unsupported` */
  pin(path: string): void {
    this.pins.pin(path)
  }

  /** Removes one pin, or all that this object knows of. @throws BpfError `syscall`, `unsupported` */
  unpin(path?: string): void {
    this.pins.unpin(path)
  }

  /**
   * A reader of the events of this ring buffer or perf event array; of several maps with {@link readEvents}.
   * @throws BpfError `unsupported` in the vm, `usage` for other maps
   */
  events(options: EventOptions = {}): EventReader {
    return new EventReader([this.eventSource()], options)
  }

  /** Events by their C type as they come; leaving the loop ends the reading. */
  async *[Symbol.asyncIterator](): AsyncGenerator<unknown, void, undefined> {
    for await (const { value } of this.events()) yield value
  }

  /**
   * Puts a record in a user ring buffer, for bpf_user_ringbuf_drain() in a program: bytes, or a value of the C type that
   * the map declares or `typeId` says. False when there is no room now.
   * @throws BpfError `usage` for other maps and records that never fit, `type-mismatch`, `unsupported` in the vm
   */
  send(value: unknown, options: { readonly typeId?: number } = {}): boolean {
    const { raw, name } = this
    const where = { map: name }
    if (raw.produce === undefined) {
      throw new BpfError('unsupported', `map ${name}: records can only be sent to programs in the kernel`, { where })
    }
    if (value instanceof Uint8Array) return raw.produce(value)
    const typeId = options.typeId ?? this.#eventTypeId
    if (this.#btf === null || typeId === 0) {
      throw new BpfError('type-mismatch', `map ${name}: the type of its records is not known, give bytes`, { where })
    }
    const bytes = new Uint8Array(this.#btf.sizeOf(typeId))
    writeValue(this.#btf, typeId, value as BtfValueInput, bytes)
    return raw.produce(bytes)
  }

  /** What became of the events so far, null for maps that count none. */
  get eventCounters(): EventCounters | null {
    return EVENT_MAPS.has(this.raw.type) ? (this.raw.eventCounters?.() ?? null) : null
  }

  /**
   * All values of an array map with BPF_F_MMAPABLE as live memory, each rounded up to 8 bytes, which programs read and
   * write at the same time; null for other maps and in the vm. It is empty once the map is closed.
   */
  get memory(): Uint8Array | null {
    return this.raw.liveMemory?.() ?? null
  }

  /** @internal */
  eventSource(): EventSource {
    return { name: this.name, raw: this.raw, btf: this.#btf, eventTypeId: this.#eventTypeId }
  }

  close(): void {
    this.raw.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #encodeKey(key: unknown): Uint8Array {
    if (this.raw.keySize === 0) return NO_KEY
    return this.#key.encode(key)
  }

  /** Bytes of one element; of a per-CPU value each CPU's part is rounded up to 8 bytes. */
  get #stride(): number {
    return this.raw.valueCount > 1 || PER_CPU.has(this.raw.type)
      ? Math.ceil(this.raw.valueSize / 8) * 8
      : this.raw.valueSize
  }

  #encode(value: unknown): Uint8Array {
    if (!PER_CPU.has(this.raw.type)) return this.#value.encode(value)
    const { valueCount } = this.raw
    const stride = this.#stride
    if (value instanceof Uint8Array && value.length === stride * valueCount) return value
    const isList = Array.isArray(value)
    if (isList && value.length !== valueCount) {
      throw new BpfError(
        'type-mismatch',
        `map ${this.name}: ${value.length} values were given for ${valueCount} CPUs`,
        {
          where: { map: this.name },
        },
      )
    }
    const bytes = new Uint8Array(stride * valueCount)
    for (let cpu = 0; cpu < valueCount; cpu++) {
      bytes.set(this.#value.encode(isList ? (value as unknown[])[cpu] : value), cpu * stride)
    }
    return bytes
  }

  #decode(bytes: Uint8Array): unknown {
    return PER_CPU.has(this.raw.type) ? this.#decodeAt(bytes, 0) : this.#value.decode(bytes)
  }

  #decodeAt(bytes: Uint8Array, offset: number): unknown {
    if (!PER_CPU.has(this.raw.type)) return this.#value.decodeAt(bytes, offset)
    const stride = this.#stride
    return Array.from({ length: this.raw.valueCount }, (_, cpu) => this.#value.decodeAt(bytes, offset + cpu * stride))
  }
}

/**
 * One reader of the events of several maps, in turn: `for await (const { map, cpu, value } of readEvents([a, b]))`.
 * @throws BpfError as {@link LoadedMap.events}
 */
export function readEvents(maps: readonly LoadedMap[], options: EventOptions = {}): EventReader {
  return new EventReader(
    maps.map((map) => map.eventSource()),
    options,
  )
}

const NO_KEY = new Uint8Array(0)
const EVENT_MAPS: ReadonlySet<number> = new Set([MapType.RINGBUF, MapType.USER_RINGBUF, MapType.PERF_EVENT_ARRAY])
const HOLDS_MAPS: ReadonlySet<number> = new Set([MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS])
const PER_CPU: ReadonlySet<number> = new Set([
  MapType.PERCPU_ARRAY,
  MapType.PERCPU_HASH,
  MapType.LRU_PERCPU_HASH,
  MapType.PERCPU_CGROUP_STORAGE,
])
