import { Errno, UpdateFlag } from '../../../uapi/index.ts'
import { VmMap, type MapConfig, type MapHost } from './map.ts'

/**
 * BPF_MAP_TYPE_CGROUP_STORAGE and PERCPU_CGROUP_STORAGE: a value for each cgroup that a program is attached to. Test
 * runs, in the kernel too, have a zeroed one of their own; user space finds none.
 */
export class CgroupStorageMap extends VmMap {
  /** Address of the value, or in a shared vm of one for each CPU. */
  readonly #values: number
  #owner: object | null = null

  constructor(host: MapHost, config: MapConfig) {
    super(host, config)
    this.#values = this.memory.allocate(this.#size)
  }

  /** bpf_get_local_storage: address of the value of a test run. */
  valueIn(run: object): number {
    const value = this.#values + (this.memory.isShared ? this.host.currentCpu() * this.valueStride : 0)
    if (this.#owner !== run) this.memory.fill(value, 0, this.valueStride)
    this.#owner = run
    return value
  }

  protected override userUpdate(_key: number, _value: number, flags: number): number {
    return (flags & ~(UpdateFlag.LOCK | UpdateFlag.EXIST)) !== 0 ? -Errno.EINVAL : -Errno.ENOENT
  }

  protected override userDelete(_key: number): number {
    return -Errno.EINVAL
  }

  protected override userNextKey(_key: number, _next: number): number {
    return -Errno.ENOENT
  }

  protected override release(): void {
    this.memory.free(this.#values, this.#size)
  }

  get #size(): number {
    return this.valueStride * (this.memory.isShared ? this.host.cpus : 1)
  }
}
