import { Errno, MapType, UpdateFlag } from '../../../uapi/index.ts'
import { checkFlags } from './hash.ts'
import { HashTable } from './hash-table.ts'
import { VmMap, type MapConfig, type MapHost } from './map.ts'

/** Objects that have a value in a shared vm at most, in each map. */
const SHARED_OWNERS = 4096

/**
 * BPF_MAP_TYPE_TASK_STORAGE, SK_STORAGE, INODE_STORAGE and CGRP_STORAGE: a value for each kernel object, which the vm
 * knows by its address. User space names objects by descriptors (see createVm().socket() and its like).
 */
export class LocalStorageMap extends VmMap {
  readonly #values: Values

  constructor(host: MapHost, config: MapConfig) {
    super(host, config)
    this.#values = this.memory.isShared
      ? new SharedValues(host, this.handle, this.valueStride)
      : new OwnValues(host, this.valueSize)
  }

  /** Address of the object's value, 0 when there is none and it should not be made; `initial` 0 for zeros. */
  get(owner: number, initial: number, create: boolean): number {
    const value = this.#values.get(owner)
    if (value !== 0 || !create || owner === 0) return value
    const made = this.#values.add(owner)
    if (made !== 0 && initial !== 0) this.memory.copy(made, initial, this.valueSize)
    return made
  }

  /** 0 or -ENOENT. */
  remove(owner: number): number {
    return this.#values.remove(owner) ? 0 : -Errno.ENOENT
  }

  protected override userLookup(key: number, value: number): number {
    const owner = this.#owner(key)
    if (owner < 0) return owner
    const at = this.#values.get(owner)
    if (at === 0) return -Errno.ENOENT
    this.memory.copy(value, at, this.valueSize)
    return 0
  }

  protected override userUpdate(key: number, value: number, flags: number): number {
    const owner = this.#owner(key)
    if (owner < 0) return owner
    if ((flags & ~UpdateFlag.LOCK) > UpdateFlag.EXIST) return -Errno.EINVAL
    const error = checkFlags(this.#values.get(owner), flags)
    if (error !== 0) return error
    const at = this.get(owner, 0, true)
    if (at === 0) return -Errno.ENOMEM
    if ((flags & UpdateFlag.LOCK) === 0) this.copyValue(at, value)
    else this.copyLocked(at, value, at)
    return 0
  }

  protected override userDelete(key: number): number {
    const owner = this.#owner(key)
    return owner < 0 ? owner : this.remove(owner)
  }

  protected override release(): void {
    this.#values.release()
  }

  /** Address of the object that the descriptor at `key` stands for, or a negative errno. */
  #owner(key: number): number {
    const object = this.host.kernel.descriptors.get(this.memory.view.getInt32(key, true))
    if (object === undefined) return -Errno.EBADF
    switch (this.type) {
      case MapType.SK_STORAGE:
        return object.kind === 'socket' ? object.address : -Errno.ENOTSOCK
      case MapType.INODE_STORAGE:
        // Everything that is open has an inode.
        return object.kind === 'file' ? object.inode : object.address
      case MapType.TASK_STORAGE:
        return object.kind === 'task' ? object.address : -Errno.EBADF
      default:
        return object.kind === 'cgroup' ? object.address : -Errno.EBADF
    }
  }
}

/** Values by the addresses of their owners. */
interface Values {
  /** Address of a value, 0 for none. */
  get(owner: number): number
  /** Address of a new value of zeros, for an owner without; 0 when there is no room. */
  add(owner: number): number
  /** Whether there was one. */
  remove(owner: number): boolean
  release(): void
}

class OwnValues implements Values {
  readonly #host: MapHost
  readonly #size: number
  readonly #addresses: Map<number, number> = new Map()

  constructor(host: MapHost, size: number) {
    this.#host = host
    this.#size = size
  }

  get(owner: number): number {
    return this.#addresses.get(owner) ?? 0
  }

  add(owner: number): number {
    const made = this.#host.memory.allocate(this.#size)
    this.#addresses.set(owner, made)
    return made
  }

  remove(owner: number): boolean {
    const value = this.get(owner)
    if (value === 0) return false
    this.#addresses.delete(owner)
    this.#host.afterGracePeriod(() => this.#host.memory.free(value, this.#size))
    return true
  }

  release(): void {
    for (const value of this.#addresses.values()) this.#host.memory.free(value, this.#size)
    this.#addresses.clear()
  }
}

/** Values that all threads see, in a hash whose keys are addresses of owners. */
class SharedValues implements Values {
  readonly #host: MapHost
  readonly #size: number
  readonly #table: HashTable
  /** Of this thread: where the key of a lookup lies. */
  readonly #key: number

  constructor(host: MapHost, handle: number, size: number) {
    this.#host = host
    this.#size = size
    this.#table = new HashTable(host.memory, handle, 4, size)
    this.#table.reserve(SHARED_OWNERS)
    this.#key = host.memory.allocateOwn(4)
  }

  get(owner: number): number {
    const element = this.#find(owner)
    return element === 0 ? 0 : element + this.#table.valueOffset
  }

  add(owner: number): number {
    if (this.#table.count >= SHARED_OWNERS) return 0
    const element = this.#table.take()
    const value = element + this.#table.valueOffset
    this.#host.memory.fill(value, 0, this.#size)
    this.#host.memory.setU32(this.#key, owner)
    this.#table.insert(element, this.#key)
    return value
  }

  remove(owner: number): boolean {
    const element = this.#find(owner)
    if (element === 0) return false
    this.#table.remove(element)
    this.#table.give(element)
    return true
  }

  release(): void {
    this.#table.release()
    this.#host.memory.free(this.#key, 4)
  }

  #find(owner: number): number {
    this.#host.memory.setU32(this.#key, owner)
    return this.#table.find(this.#key)
  }
}
