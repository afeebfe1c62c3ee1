import { BpfError } from '../../../bytes/index.ts'
import type { BackendMap, BackendProgram, MapBatchOptions, MapBatch, MapSpec } from '../../../loader/index.ts'
import { Errno, MapFlag, UpdateFlag, mapTypeName } from '../../../uapi/index.ts'
import type { MapLayout } from '../../engine.ts'
import type { LinearMemory } from '../memory.ts'
import { deleteBatch, hasBatch, lookupBatch, updateBatch, type BatchKind, type BatchTarget } from './batch.ts'
import { DESCRIPTOR_SIZE, Descriptor } from './descriptor.ts'
import { specialFields, type SpecialField } from './fields.ts'
import type { MapConfig, MapHost } from './host.ts'
import { guarded } from './links.ts'
import { mapError, orNoMemory } from './errors.ts'

export type { MapConfig, MapHost } from './host.ts'

/** Flags as a number that no operation knows. */
const UNKNOWN_FLAGS = 0x7fffffff

/**
 * A map. Programs see it through `handle` and addresses in linear memory (`lookupAt`, `updateAt`, `deleteAt`, which
 * return an address or 0, or 0 or a negative errno, as the kernel's map operations); user space sees it through the
 * methods of BackendMap, which check what the bpf(2) system call checks.
 */
export abstract class VmMap implements BackendMap {
  readonly type: number
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  readonly flags: number
  readonly fd: null = null
  readonly id: number
  readonly name: string
  /** What it was made from. */
  readonly spec: MapSpec
  /** Address of the descriptor: what a register holds for the map. */
  readonly handle: number
  /** Parts of a value that updates leave alone. */
  readonly fields: readonly SpecialField[]
  /** Bytes from one value to the next. */
  readonly valueStride: number
  protected readonly host: MapHost
  protected readonly memory: LinearMemory
  /** Memory for one key and one value of user space. */
  readonly #scratch: number
  readonly #scratchSize: number
  #frozen = false
  #closed = false
  #users = 0

  constructor(host: MapHost, config: MapConfig, perCpu: boolean = false) {
    const { spec } = config
    this.host = host
    this.memory = host.memory
    this.spec = spec
    this.type = spec.type
    this.keySize = spec.keySize
    this.valueSize = spec.valueSize
    this.maxEntries = spec.maxEntries
    this.flags = spec.flags
    this.name = config.name
    const fields = config.fields ?? specialFields(config.btf ?? null, spec.valueTypeId)
    this.fields = fields.filter(({ offset, size }) => offset + size <= spec.valueSize)
    this.valueCount = perCpu ? host.cpus : 1
    this.valueStride = roundUp8(spec.valueSize)
    this.handle = this.memory.allocate(DESCRIPTOR_SIZE)
    // A bloom filter is asked by value, which takes the place of the key.
    this.#scratchSize = roundUp8(Math.max(spec.keySize, this.lookupKeySize)) + this.valueStride * this.valueCount
    this.#scratch = this.memory.allocateOwn(this.#scratchSize)
    this.memory.setU32(this.handle + Descriptor.TYPE, spec.type)
    this.memory.setU32(this.handle + Descriptor.KEY_SIZE, spec.keySize)
    this.memory.setU32(this.handle + Descriptor.VALUE_SIZE, spec.valueSize)
    this.memory.setU32(this.handle + Descriptor.MAX_ENTRIES, spec.maxEntries)
    this.memory.setU32(this.handle + Descriptor.FLAGS, spec.flags)
    this.id = host.nextId()
    this.memory.setU32(this.handle + Descriptor.ID, this.id)
  }

  readonly valueCount: number

  /** Records that a producer could not store. */
  get lost(): number {
    return 0
  }

  /** Maps of maps: what engines may know of the inner maps. */
  get innerLayout(): MapLayout | null {
    return null
  }

  /** Takes all memory that the map will ever need, so that it allocates nothing later. */
  takeMemory(): void {}

  // What programs do.

  /** bpf_map_lookup_elem: address of the value (of the current CPU), or 0. */
  lookupAt(_key: number): number {
    return 0
  }

  /** bpf_map_update_elem: 0 or a negative errno. */
  updateAt(_key: number, _value: number, _flags: number): number {
    return -Errno.EINVAL
  }

  /** bpf_map_delete_elem: 0 or a negative errno. */
  deleteAt(_key: number): number {
    return -Errno.EINVAL
  }

  /** bpf_map_lookup_percpu_elem. */
  lookupCpuAt(_key: number, _cpu: number): number {
    return 0
  }

  /** bpf_map_push_elem, bpf_map_pop_elem, bpf_map_peek_elem. */
  pushAt(_value: number, _flags: number): number {
    return -Errno.ENOTSUPP
  }
  popAt(_value: number): number {
    return -Errno.ENOTSUPP
  }
  peekAt(_value: number): number {
    return -Errno.ENOTSUPP
  }

  /** Address of the key of a value, for callbacks of timers; 0 when it lies nowhere (arrays). */
  keyOf(_value: number): number {
    return 0
  }

  /** Index of a value in an array. */
  indexOf(_value: number): number {
    return 0
  }

  /** bpf_for_each_map_elem: addresses of key and value; stops when `visit` returns true. -EINVAL when not possible. */
  forEachAt(_visit: (key: number, value: number) => boolean): number {
    return -Errno.EINVAL
  }

  // What user space does; addresses point to the scratch memory.

  /** Copies the value (all CPUs) to `value`; 0 or a negative errno. */
  protected userLookup(key: number, value: number): number {
    const at = this.lookupAt(key)
    if (at === 0) return -Errno.ENOENT
    this.memory.copy(value, at, this.valueSize)
    return 0
  }

  protected userUpdate(key: number, value: number, flags: number): number {
    return this.updateAt(key, value, flags)
  }

  protected userDelete(key: number): number {
    return this.deleteAt(key)
  }

  protected userLookupAndDelete(_key: number, _value: number): number {
    return -Errno.ENOTSUPP
  }

  /** Writes the key after `key` (0 for none) to `next`; 0 or a negative errno. */
  protected userNextKey(_key: number, _next: number): number {
    return -Errno.ENOTSUPP
  }

  lookup(key: Uint8Array, flags: number = 0): Uint8Array | null {
    this.#open('lookup')
    this.#checkLookup('lookup', flags)
    this.host.runDue()
    const at = this.#key(key, 'lookup', this.lookupKeySize)
    const value = at + roundUp8(this.lookupKeySize)
    const isLocked = (flags & UpdateFlag.LOCK) !== 0 && this.memory.isShared
    const error = guarded(this.name, () => (isLocked ? this.#lookupLocked(at, value) : this.userLookup(at, value)))
    if (error === -Errno.ENOENT) return null
    if (error !== 0) this.#fail('lookup', error)
    this.clearFields(value)
    return this.memory.read(value, this.userValueSize)
  }

  /** userLookup() with BPF_F_LOCK, where programs run meanwhile. */
  #lookupLocked(key: number, value: number): number {
    const at = this.lookupAt(key)
    if (at === 0) return -Errno.ENOENT
    this.copyLocked(value, at, at)
    return 0
  }

  update(key: Uint8Array, value: Uint8Array, flags: number = 0): void {
    this.#open('update')
    this.#writable('update')
    if (this.#lacksLock(flags)) this.#fail('update', -Errno.EINVAL)
    const at = this.#key(key, 'update')
    const to = this.#value(at, value, 'update')
    // No map knows flags above bit 30.
    const known = flags < 0 || flags > UNKNOWN_FLAGS ? UNKNOWN_FLAGS : flags
    const error = orNoMemory(() => guarded(this.name, () => this.userUpdate(at, to, known)))
    if (error !== 0) this.#fail('update', error)
  }

  delete(key: Uint8Array): boolean {
    this.#open('delete')
    this.#writable('delete')
    const at = this.#key(key, 'delete')
    const error = guarded(this.name, () => this.userDelete(at))
    if (error === -Errno.ENOENT) return false
    if (error !== 0) this.#fail('delete', error)
    return true
  }

  nextKey(key: Uint8Array | null): Uint8Array | null {
    this.#open('next key')
    if ((this.flags & MapFlag.WRONLY) !== 0) this.#fail('next key', -Errno.EPERM)
    const at = key === null ? 0 : this.#key(key, 'next key')
    // The value's scratch memory may be smaller than a key.
    const next = this.memory.allocate(this.keySize)
    try {
      const error = guarded(this.name, () => this.userNextKey(at, next))
      if (error === -Errno.ENOENT) return null
      if (error !== 0) this.#fail('next key', error)
      return this.memory.read(next, this.keySize)
    } finally {
      this.memory.free(next, this.keySize)
    }
  }

  lookupAndDelete(key: Uint8Array, flags: number = 0): Uint8Array | null {
    this.#open('lookup and delete')
    if ((flags & ~UpdateFlag.LOCK) !== 0) this.#fail('lookup and delete', -Errno.EINVAL)
    this.#writable('lookup and delete')
    this.#checkLookup('lookup and delete', flags)
    const at = this.#key(key, 'lookup and delete')
    const value = at + roundUp8(this.keySize)
    const error = guarded(this.name, () => this.userLookupAndDelete(at, value))
    if (error === -Errno.ENOENT) return null
    if (error !== 0) this.#fail('lookup and delete', error)
    this.clearFields(value)
    return this.memory.read(value, this.userValueSize)
  }

  lookupBatch(cursor: Uint8Array | null, count: number, options: MapBatchOptions = {}): MapBatch {
    const kind = options.remove === true ? 'take' : 'lookup'
    const target = this.#batch(kind, options.flags ?? 0)
    this.host.runDue()
    const batch = guarded(this.name, () => lookupBatch(target, cursor, count, kind === 'take'))
    return typeof batch === 'number' ? this.#fail(`${kind} batch`, batch) : batch
  }

  updateBatch(keys: Uint8Array, values: Uint8Array, flags: number = 0): number {
    const count = keys.length / Math.max(1, this.keySize)
    if (values.length !== count * this.userValueSize) {
      throw new BpfError('usage', `update batch: ${keys.length} bytes of keys and ${values.length} of values`, {
        where: { map: this.name },
      })
    }
    const target = this.#batch('update', flags)
    const done = orNoMemory(() => guarded(this.name, () => updateBatch(target, keys, values, flags)))
    return done < 0 ? this.#fail('update batch', done) : done
  }

  deleteBatch(keys: Uint8Array): number {
    const target = this.#batch('delete', 0)
    const done = guarded(this.name, () => deleteBatch(target, keys))
    return done < 0 ? this.#fail('delete batch', done) : done
  }

  /** Checks what the system call checks before a batch. */
  #batch(kind: BatchKind, flags: number): BatchTarget {
    const operation = `${kind} batch`
    this.#open(operation)
    if (kind !== 'lookup') this.#writable(operation)
    if ((kind === 'lookup' || kind === 'take') && (this.flags & MapFlag.WRONLY) !== 0) {
      this.#fail(operation, -Errno.EPERM)
    }
    if (!hasBatch(kind, this.type)) this.#fail(operation, -Errno.ENOTSUPP)
    if ((flags & ~UpdateFlag.LOCK) !== 0 || this.#lacksLock(flags)) this.#fail(operation, -Errno.EINVAL)
    const { memory } = this
    const key = this.#scratch
    const value = key + roundUp8(this.keySize)
    const target: BatchTarget = {
      type: this.type,
      keySize: this.keySize,
      valueSize: this.userValueSize,
      key,
      value,
      lookup: () => {
        const error = this.userLookup(key, value)
        if (error === 0) this.clearFields(value)
        return error
      },
      update: (updateFlags) => this.userUpdate(key, value, updateFlags),
      remove: () => this.userDelete(key),
      next: (after) => this.userNextKey(after, key),
      read: (address, size) => memory.read(address, size),
      write: (address, bytes) => {
        memory.write(address, bytes)
      },
    }
    return target
  }

  setSlot(_key: Uint8Array, _target: BackendMap | BackendProgram): void {
    this.#fail('set slot', -Errno.EINVAL)
  }

  /** Whether user space may not write any more. */
  get frozen(): boolean {
    return this.#frozen
  }

  freeze(): void {
    this.#open('freeze')
    // Values that the kernel writes to are never constant.
    if (this.fields.length > 0) this.#fail('freeze', -Errno.ENOTSUPP)
    this.#writable('freeze')
    this.#frozen = true
  }

  drain(_record: (data: Uint8Array, cpu: number) => void): number {
    throw new BpfError('usage', `map ${this.name} (${mapTypeName(this.type) ?? this.type}) has no records to drain`, {
      where: { map: this.name },
    })
  }

  /** Another program or map uses this one, which therefore stays when it is closed. */
  retain(): void {
    this.#users++
  }

  /** The opposite of retain(). */
  drop(): void {
    this.#users--
    if (this.#closed && this.#users === 0) this.#free()
  }

  /** No more access by user space; programs and maps that use it may go on. */
  close(): void {
    if (this.#closed) return
    // As in the kernel, timers end with the last reference of user space. They may hold the last program of the map.
    this.host.cancelAsyncOf(this)
    this.#closed = true
    if (this.#users === 0) this.#free()
  }

  #free(): void {
    this.release()
    this.memory.free(this.#scratch, this.#scratchSize)
    this.memory.free(this.handle, DESCRIPTOR_SIZE)
    this.host.unregister(this)
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Takes back what reclaimLater() was asked for. */
  reclaim(_entry: number): void {}

  /** Gives the map's memory back. */
  protected abstract release(): void

  /** Bytes of a value as user space sees it. */
  protected get userValueSize(): number {
    return this.valueCount > 1 || this.perCpu ? this.valueStride * this.valueCount : this.valueSize
  }

  /** Bytes that user space looks a value up by. */
  protected get lookupKeySize(): number {
    return this.keySize
  }

  /** Whether user space sees one value a CPU. */
  protected get perCpu(): boolean {
    return false
  }

  /** Copies a value without its special fields. */
  protected copyValue(to: number, from: number): void {
    const { memory, fields } = this
    if (fields.length === 0) {
      memory.copy(to, from, this.valueSize)
      return
    }
    let at = 0
    for (const { offset, size } of fields) {
      if (offset > at) memory.copy(to + at, from + at, offset - at)
      at = Math.max(at, offset + size)
    }
    memory.copy(to + at, from + at, this.valueSize - at)
  }

  /** copyValue() while no program has the lock of the value at `locked`. */
  protected copyLocked(to: number, from: number, locked: number): void {
    const lock = this.fields.find(({ kind }) => kind === 'lock')
    if (lock === undefined) this.copyValue(to, from)
    else this.host.locks.during(locked + lock.offset, () => this.copyValue(to, from))
  }

  /** Zeros in the special fields of a value (of all CPUs). */
  protected clearFields(value: number): void {
    for (const { offset, size } of this.fields) {
      for (let cpu = 0; cpu < this.valueCount; cpu++) {
        this.memory.fill(value + cpu * this.valueStride + offset, 0, size)
      }
    }
  }

  /** clearFields() for an element that is used again, whose lock a program in another thread may still hold. */
  protected initFields(value: number): void {
    if (!this.memory.isShared) this.clearFields(value)
  }

  /** Frees what the special fields of a value (of all CPUs) hold, as the value goes away. */
  protected endFields(value: number): void {
    for (const { kind, offset } of this.fields) {
      for (let cpu = 0; cpu < this.valueCount; cpu++) this.host.freeField(kind, value + cpu * this.valueStride + offset)
    }
  }

  /** Whether values have a bpf_spin_lock. */
  get hasLock(): boolean {
    return this.fields.some(({ kind }) => kind === 'lock')
  }

  /** Flags and permission of reading. */
  #checkLookup(operation: string, flags: number): void {
    if ((flags & ~UpdateFlag.LOCK) !== 0) this.#fail(operation, -Errno.EINVAL)
    if ((this.flags & MapFlag.WRONLY) !== 0) this.#fail(operation, -Errno.EPERM)
    if (this.#lacksLock(flags)) this.#fail(operation, -Errno.EINVAL)
  }

  /** Writes the index after the one at `key` (0 for none) to `next`: 0 or -ENOENT. */
  protected nextIndex(key: number, next: number): number {
    const index = key === 0 ? this.maxEntries : this.memory.u32(key)
    if (index === this.maxEntries - 1) return -Errno.ENOENT
    this.memory.setU32(next, index >= this.maxEntries ? 0 : index + 1)
    return 0
  }

  /** BPF_F_LOCK for values without a lock. */
  #lacksLock(flags: number): boolean {
    return (flags & UpdateFlag.LOCK) !== 0 && !this.hasLock
  }

  /** Throws what the system call would fail with. */
  protected fail(operation: string, error: number): never {
    return this.#fail(operation, error)
  }

  /** Copies a slot's key to memory after the checks of update. */
  protected slotKey(key: Uint8Array): number {
    this.#open('update')
    this.#writable('update')
    return this.#key(key, 'update')
  }

  #fail(operation: string, error: number): never {
    throw mapError(operation, this.name, -error)
  }

  #open(operation: string): void {
    if (this.#closed) {
      throw new BpfError('closed', `${operation}: map ${this.name} was closed`, { where: { map: this.name } })
    }
  }

  #writable(operation: string): void {
    if (this.#frozen || (this.flags & MapFlag.RDONLY) !== 0) this.#fail(operation, -Errno.EPERM)
  }

  #key(key: Uint8Array, operation: string, size: number = this.keySize): number {
    if (key.length !== size) {
      throw new BpfError('usage', `${operation}: the key has ${key.length} bytes, map ${this.name} wants ${size}`, {
        where: { map: this.name },
      })
    }
    this.memory.write(this.#scratch, key)
    return this.#scratch
  }

  #value(key: number, value: Uint8Array, operation: string): number {
    if (value.length !== this.userValueSize) {
      throw new BpfError(
        'usage',
        `${operation}: the value has ${value.length} bytes, map ${this.name} wants ${this.userValueSize}`,
        { where: { map: this.name } },
      )
    }
    const to = key + roundUp8(this.keySize)
    this.memory.write(to, value)
    return to
  }
}

export function roundUp8(size: number): number {
  return Math.ceil(size / 8) * 8
}
