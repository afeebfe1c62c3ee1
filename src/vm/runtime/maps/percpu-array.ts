import { Errno } from '../../../uapi/index.ts'
import { ArrayMap } from './array.ts'
import { Descriptor } from './descriptor.ts'
import type { MapConfig, MapHost } from './map.ts'

/** BPF_MAP_TYPE_PERCPU_ARRAY: an array with a value for each CPU. */
export class PerCpuArrayMap extends ArrayMap {
  constructor(host: MapHost, config: MapConfig) {
    super(host, config, true)
    this.memory.setU32(this.handle + Descriptor.CPU_STRIDE, this.valueStride)
  }

  override lookupAt(key: number): number {
    return this.lookupCpuAt(key, this.host.currentCpu())
  }

  override lookupCpuAt(key: number, cpu: number): number {
    const index = this.memory.view.getUint32(key, true)
    if (index >= this.maxEntries || cpu >= this.valueCount) return 0
    return this.base + index * this.stride + cpu * this.valueStride
  }

  protected override get perCpu(): boolean {
    return true
  }

  protected override userLookup(key: number, value: number): number {
    const at = this.lookupCpuAt(key, 0)
    if (at === 0) return -Errno.ENOENT
    this.memory.copy(value, at, this.stride)
    return 0
  }

  protected override userUpdate(key: number, value: number, flags: number): number {
    // BPF_F_LOCK makes no sense here (bpf_percpu_array_update).
    if (flags > 2) return -Errno.EINVAL
    const error = this.checkUpdate(key, flags)
    if (error !== 0) return error
    this.memory.copy(this.lookupCpuAt(key, 0), value, this.stride)
    return 0
  }
}
