import { Errno } from '../../../uapi/index.ts'
import type { VirtualCgroup } from '../kernel/cgroup.ts'
import { FdArrayMap } from './fd-array.ts'

/** BPF_MAP_TYPE_CGROUP_ARRAY: cgroups that programs ask whether a task or packet is under. */
export class CgroupArrayMap extends FdArrayMap {
  readonly #slots: Map<number, VirtualCgroup> = new Map()

  /** The cgroup in a slot: -E2BIG behind the end, -EAGAIN when it is empty. */
  cgroup(index: number): VirtualCgroup | number {
    if (index >= this.maxEntries) return -Errno.E2BIG
    return this.#slots.get(index) ?? -Errno.EAGAIN
  }

  protected override userLookup(_key: number, _value: number): number {
    return -Errno.ENOTSUPP
  }

  protected override put(index: number, fd: number): number {
    const object = this.host.kernel.descriptors.get(fd)
    if (object === undefined) return -Errno.EBADF
    if (object.kind !== 'cgroup') return -Errno.EBADF
    this.#slots.set(index, object)
    return 0
  }

  protected override clear(index: number): number {
    return this.#slots.delete(index) ? 0 : -Errno.ENOENT
  }

  protected override release(): void {
    this.#slots.clear()
  }
}
