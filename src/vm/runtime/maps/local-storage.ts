import { Errno, MapType, UpdateFlag } from '../../../uapi/index.ts'
import { checkFlags } from './hash.ts'
import { VmMap } from './map.ts'

/**
 * BPF_MAP_TYPE_TASK_STORAGE, SK_STORAGE, INODE_STORAGE and CGRP_STORAGE: a value for each kernel object, which the vm
 * knows by its address. User space names objects by descriptors (see createVm().socket() and its like).
 */
export class LocalStorageMap extends VmMap {
  readonly #values: Map<number, number> = new Map()

  /** Address of the object's value, 0 when there is none and it should not be made; `initial` 0 for zeros. */
  get(owner: number, initial: number, create: boolean): number {
    const value = this.#values.get(owner)
    if (value !== undefined || !create || owner === 0) return value ?? 0
    const made = this.memory.allocate(this.valueSize)
    if (initial !== 0) this.memory.copy(made, initial, this.valueSize)
    this.#values.set(owner, made)
    return made
  }

  /** 0 or -ENOENT. */
  remove(owner: number): number {
    const value = this.#values.get(owner)
    if (value === undefined) return -Errno.ENOENT
    this.#values.delete(owner)
    this.host.afterGracePeriod(() => this.memory.free(value, this.valueSize))
    return 0
  }

  protected override userLookup(key: number, value: number): number {
    const owner = this.#owner(key)
    if (owner < 0) return owner
    const at = this.#values.get(owner)
    if (at === undefined) return -Errno.ENOENT
    this.memory.copy(value, at, this.valueSize)
    return 0
  }

  protected override userUpdate(key: number, value: number, flags: number): number {
    const owner = this.#owner(key)
    if (owner < 0) return owner
    if ((flags & ~UpdateFlag.LOCK) > UpdateFlag.EXIST) return -Errno.EINVAL
    const error = checkFlags(this.#values.get(owner) ?? 0, flags)
    if (error !== 0) return error
    this.copyValue(this.get(owner, 0, true), value)
    return 0
  }

  protected override userDelete(key: number): number {
    const owner = this.#owner(key)
    return owner < 0 ? owner : this.remove(owner)
  }

  protected override release(): void {
    for (const value of this.#values.values()) this.memory.free(value, this.valueSize)
    this.#values.clear()
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
