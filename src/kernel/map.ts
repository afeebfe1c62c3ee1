import { BpfError } from '../bytes/index.ts'
import type {
  BackendMap,
  BackendProgram,
  MapBatchOptions,
  EventCounters,
  EventWatch,
  MapBatch,
  RecordSink,
} from '../loader/index.ts'
import { Cmd, Errno, MapFlag, MapType, UpdateFlag } from '../uapi/index.ts'
import { Attr } from './attr.ts'
import { EventPort, mapMemory } from './buffers/index.ts'
import { possibleCpus } from './cpus.ts'
import { ElementCalls } from './element-call.ts'
import { Handle } from './handle.ts'
import { mapInfo, type MapInfo } from './objects.ts'
import { pinAllAt, pinAt, unpinAt } from './pins.ts'
import { bpf, bpfError, native, tryBpf } from './syscall.ts'

/** What a map handle knows without asking the kernel. */
export interface MapShape {
  readonly name: string
  readonly type: number
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  readonly flags: number
  readonly mapExtra?: bigint
}

const PER_CPU: ReadonlySet<number> = new Set([
  MapType.PERCPU_HASH,
  MapType.PERCPU_ARRAY,
  MapType.LRU_PERCPU_HASH,
  MapType.PERCPU_CGROUP_STORAGE,
])

/** A map of the kernel. Close it when done; what is in use by programs or pinned lives on. */
export class KernelMap implements BackendMap {
  readonly name: string
  readonly type: number
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  readonly flags: number
  readonly mapExtra: bigint
  readonly valueCount: number
  /** Bytes of what lookup gives and update takes: all CPUs of a per-CPU map, each rounded up to 8. */
  readonly valueBytes: number
  readonly #handle: Handle
  readonly #where: { readonly map: string }
  #calls: ElementCalls | null = null
  #id: number | undefined
  readonly #events: EventPort = new EventPort(this)
  #memory: Uint8Array | null | undefined
  #onClose: (() => void) | null

  /** Takes over `fd`. */
  constructor(fd: number, shape: MapShape, onClose: (() => void) | null = null) {
    this.name = shape.name
    this.type = shape.type
    this.keySize = shape.keySize
    this.valueSize = shape.valueSize
    this.maxEntries = shape.maxEntries
    this.flags = shape.flags
    this.mapExtra = shape.mapExtra ?? 0n
    const perCpu = PER_CPU.has(shape.type)
    this.valueCount = perCpu ? possibleCpus() : 1
    this.valueBytes = perCpu ? this.valueCount * ((shape.valueSize + 7) & ~7) : shape.valueSize
    this.#handle = new Handle(fd, `map ${shape.name}`)
    this.#where = { map: shape.name }
    this.#onClose = onClose
  }

  get fd(): number {
    return this.#handle.fd
  }

  get id(): number {
    this.#id ??= this.info().id
    return this.#id
  }

  /** Records that could not be stored, as far as drained (perf event arrays). */
  get lost(): number {
    return this.#events.lost
  }

  /** What the kernel says of this map. */
  info(): MapInfo {
    return mapInfo(this.fd)
  }

  lookup(key: Uint8Array, flags: number = 0): Uint8Array | null {
    if (this.type === MapType.BLOOM_FILTER) return this.#ask(key, flags)
    return this.#take(Cmd.MAP_LOOKUP_ELEM, key, flags)
  }

  /** Removes an element and gives its value: hashes, queues and stacks (with an empty key). */
  lookupAndDelete(key: Uint8Array, flags: number = 0): Uint8Array | null {
    return this.#take(Cmd.MAP_LOOKUP_AND_DELETE_ELEM, key, flags)
  }

  update(key: Uint8Array, value: Uint8Array, flags: number = UpdateFlag.ANY): void {
    this.#checkLength('value', value, this.valueBytes)
    const calls = this.#callsFor(key)
    calls.value.set(value)
    const result = calls.element(Cmd.MAP_UPDATE_ELEM, flags)
    if (result < 0) throw bpfError(Cmd.MAP_UPDATE_ELEM, result, this.#where)
    if (this.type === MapType.PERF_EVENT_ARRAY) this.#events.slotsInUse = true
  }

  delete(key: Uint8Array): boolean {
    const result = this.#callsFor(key).delete(Cmd.MAP_DELETE_ELEM)
    if (result === -Errno.ENOENT) return false
    if (result < 0) throw bpfError(Cmd.MAP_DELETE_ELEM, result, this.#where)
    return true
  }

  nextKey(key: Uint8Array | null): Uint8Array | null {
    const calls = key === null ? this.#elementCalls() : this.#callsFor(key)
    const result = calls.next(Cmd.MAP_GET_NEXT_KEY, key === null)
    if (result === -Errno.ENOENT) return null
    if (result < 0) throw bpfError(Cmd.MAP_GET_NEXT_KEY, result, this.#where)
    return calls.value.slice(0, this.keySize)
  }

  setSlot(key: Uint8Array, target: BackendMap | BackendProgram): void {
    if (target.fd === null) {
      throw new BpfError('usage', `map ${this.name}: only maps and programs of the kernel go in its slots`, {
        where: this.#where,
      })
    }
    const value = new Uint8Array(4)
    new DataView(value.buffer).setUint32(0, target.fd, true)
    this.update(key, value)
  }

  freeze(): void {
    bpf(Cmd.MAP_FREEZE, new Attr('MAP_ELEM', { map_fd: this.fd }), this.#where)
  }

  /**
   * Up to `count` elements from `cursor` (null for the first). Hash maps give whole buckets: when one does not fit,
   * the kernel says ENOSPC and a larger count helps.
   * @throws BpfError `syscall`
   */
  lookupBatch(cursor: Uint8Array | null, count: number, options: MapBatchOptions = {}): MapBatch {
    const cmd = options.remove === true ? Cmd.MAP_LOOKUP_AND_DELETE_BATCH : Cmd.MAP_LOOKUP_BATCH
    const keys = new Uint8Array(this.keySize * count)
    const values = new Uint8Array(this.valueBytes * count)
    const next = new Uint8Array(Math.max(4, this.keySize))
    const attr = new Attr('MAP_BATCH', {
      map_fd: this.fd,
      in_batch: cursor ?? undefined,
      out_batch: next,
      keys,
      values,
      count,
      elem_flags: options.flags ?? 0,
    })
    const result = tryBpf(cmd, attr)
    if (result < 0 && result !== -Errno.ENOENT) throw bpfError(cmd, result, this.#where)
    const found = attr.u32('count')
    return {
      count: found,
      keys: keys.subarray(0, found * this.keySize),
      values: values.subarray(0, found * this.valueBytes),
      cursor: result < 0 ? null : next,
    }
  }

  /** Writes elements; keys and values stand back to back. Returns how many were written. @throws BpfError `syscall` */
  updateBatch(keys: Uint8Array, values: Uint8Array, flags: number = UpdateFlag.ANY): number {
    const count = this.#countOf(keys)
    this.#checkLength('values', values, this.valueBytes * count)
    const attr = new Attr('MAP_BATCH', { map_fd: this.fd, keys, values, count, elem_flags: flags })
    bpf(Cmd.MAP_UPDATE_BATCH, attr, this.#where)
    return attr.u32('count')
  }

  /** Deletes elements; a missing key ends it with ENOENT. @throws BpfError `syscall` */
  deleteBatch(keys: Uint8Array): number {
    const attr = new Attr('MAP_BATCH', { map_fd: this.fd, keys, count: this.#countOf(keys) })
    bpf(Cmd.MAP_DELETE_BATCH, attr, this.#where)
    return attr.u32('count')
  }

  /** Opens the rings of a perf event array, so that events are kept from now on. Does nothing for other maps. */
  listen(): void {
    this.#events.listen()
  }

  drain(record: (data: Uint8Array, cpu: number) => void, limit?: number): number {
    return this.consume((chunk, offset, length, cpu) => {
      record(chunk.slice(offset, offset + length), cpu)
    }, limit)
  }

  consume(sink: RecordSink, limit?: number): number {
    return this.#events.consume(sink, limit)
  }

  produce(record: Uint8Array): boolean {
    return this.#events.produce(record)
  }

  eventCounters(): EventCounters {
    return this.#events.counters()
  }

  watch(ready: () => void, ended: () => void = () => {}): EventWatch {
    return this.#events.watch(ready, ended)
  }

  /**
   * Calls back whenever there is something to drain, until the returned function is called. Keeps the process alive.
   * A producer wakes only readers that had drained everything.
   */
  onReadable(callback: () => void): () => void {
    return this.#events.onReadable(callback)
  }

  /**
   * All values as live memory, each rounded up to 8 bytes, for arrays with BPF_F_MMAPABLE that may be written; null for
   * others. It is empty once the map is closed.
   */
  liveMemory(): Uint8Array | null {
    if (this.#memory === undefined) this.#memory = this.#mapMemory()
    return this.#memory
  }

  #mapMemory(): Uint8Array | null {
    const writable = (this.flags & (MapFlag.RDONLY | MapFlag.RDONLY_PROG)) === 0
    if (this.type !== MapType.ARRAY || (this.flags & MapFlag.MMAPABLE) === 0 || !writable) return null
    try {
      return this.mapValues(true).memory
    } catch {
      // Frozen, or opened read-only: it can be read by key.
      return null
    }
  }

  /**
   * The values of an array map with BPF_F_MMAPABLE as live memory, each value rounded up to 8 bytes. The caller must
   * detach() it through the returned function before using it no more; it is read-only memory when `writable` is not
   * asked for, and a write to that ends the process.
   */
  mapValues(writable: boolean = false): { readonly memory: Uint8Array; readonly unmap: () => void } {
    if ((this.flags & MapFlag.MMAPABLE) === 0) {
      throw new BpfError('usage', `map ${this.name} was not created with BPF_F_MMAPABLE`, { where: this.#where })
    }
    const binding = native()
    const bytes = this.maxEntries * ((this.valueSize + 7) & ~7)
    const length = Math.ceil(bytes / binding.pageSize) * binding.pageSize
    const buffer = mapMemory(this.fd, length, writable ? 'rw' : 'r', 0)
    return {
      memory: new Uint8Array(buffer, 0, bytes),
      unmap: () => {
        binding.detach(buffer)
      },
    }
  }

  /** Pins the map at a path in a bpf file system. @throws BpfError `syscall` */
  pin(path: string): void {
    pinAt(this.fd, path)
  }

  /** Pins several objects of the kernel, all or none. @throws BpfError `syscall` */
  pinTogether(pins: readonly { readonly target: { readonly fd: number | null }; readonly path: string }[]): void {
    pinAllAt(pins.map(({ target, path }) => ({ fd: target.fd ?? -1, path })))
  }

  /** Removes a pin. @throws BpfError `syscall` */
  unpin(path: string): void {
    unpinAt(path)
  }

  close(): void {
    if (this.#handle.closed) return
    if (this.#memory) native().detach(this.#memory.buffer as ArrayBuffer)
    this.#memory = null
    this.#events.close()
    this.#handle.close()
    this.#onClose?.()
    this.#onClose = null
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #take(
    cmd: typeof Cmd.MAP_LOOKUP_ELEM | typeof Cmd.MAP_LOOKUP_AND_DELETE_ELEM,
    key: Uint8Array,
    flags: number,
  ): Uint8Array | null {
    const calls = this.#callsFor(key)
    const result = calls.element(cmd, flags)
    if (result === -Errno.ENOENT) return null
    if (result < 0) throw bpfError(cmd, result, this.#where)
    return calls.value.slice(0, this.valueBytes)
  }

  /** Whether a bloom filter may have a value, which the kernel reads where others get theirs. */
  #ask(value: Uint8Array, flags: number): Uint8Array | null {
    this.#checkLength('value', value, this.valueBytes)
    const calls = this.#elementCalls()
    calls.value.set(value)
    const result = calls.element(Cmd.MAP_LOOKUP_ELEM, flags)
    if (result < 0 && result !== -Errno.ENOENT) throw bpfError(Cmd.MAP_LOOKUP_ELEM, result, this.#where)
    return result < 0 ? null : value.slice()
  }

  #elementCalls(): ElementCalls {
    const { fd } = this
    this.#calls ??= new ElementCalls(fd, this.keySize, this.valueBytes)
    return this.#calls
  }

  #callsFor(key: Uint8Array): ElementCalls {
    this.#checkLength('key', key, this.keySize)
    const calls = this.#elementCalls()
    calls.key.set(key)
    return calls
  }

  // The kernel reads as many bytes as the map says, whatever the length of the buffer.
  #checkLength(what: string, bytes: Uint8Array, expected: number): void {
    if (bytes.length !== expected) {
      throw new BpfError('usage', `map ${this.name}: the ${what} has ${bytes.length} bytes, not ${expected}`, {
        where: this.#where,
      })
    }
  }

  #countOf(keys: Uint8Array): number {
    const count = keys.length / Math.max(1, this.keySize)
    if (!Number.isInteger(count)) this.#checkLength('keys', keys, Math.ceil(count) * this.keySize)
    return count
  }
}
