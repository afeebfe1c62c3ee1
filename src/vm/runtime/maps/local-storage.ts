import { Errno, MapFlag } from '../../../uapi/index.ts'
import { VmMap, onlyFlags, requireAttributes, type MapConfig, type MapHost } from './map.ts'

/**
 * BPF_MAP_TYPE_TASK_STORAGE, SK_STORAGE, INODE_STORAGE and CGRP_STORAGE: a value for each kernel object, which the vm
 * knows by its address. User space names objects by file descriptors, which the vm has not: EBADF.
 */
export class LocalStorageMap extends VmMap {
  readonly #values: Map<number, number> = new Map()

  constructor(host: MapHost, config: MapConfig) {
    const { spec } = config
    requireAttributes(
      config,
      spec.keySize === 4 &&
        spec.valueSize > 0 &&
        spec.maxEntries === 0 &&
        (spec.flags & MapFlag.NO_PREALLOC) !== 0 &&
        onlyFlags(spec.flags, MapFlag.NO_PREALLOC | MapFlag.CLONE),
      'BPF_F_NO_PREALLOC, a key of 4 bytes, a value and 0 entries',
    )
    super(host, config)
  }

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

  protected override userLookup(_key: number, _value: number): number {
    return -Errno.EBADF
  }

  protected override userUpdate(_key: number, _value: number, _flags: number): number {
    return -Errno.EBADF
  }

  protected override userDelete(_key: number): number {
    return -Errno.EBADF
  }

  protected override release(): void {
    for (const value of this.#values.values()) this.memory.free(value, this.valueSize)
    this.#values.clear()
  }
}
