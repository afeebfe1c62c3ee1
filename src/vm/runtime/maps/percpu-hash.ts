import { Errno, UpdateFlag } from '../../../uapi/index.ts'
import { HashMap, checkFlags, publishCpuStride } from './hash.ts'
import type { MapConfig, MapHost } from './map.ts'

/** BPF_MAP_TYPE_PERCPU_HASH: a hash with a value for each CPU; updates of a key are in place. */
export class PerCpuHashMap extends HashMap {
  /** @param ring see HashTable */
  constructor(host: MapHost, config: MapConfig, ring: boolean = false) {
    super(host, config, true, ring)
    publishCpuStride(this, this.memory)
  }

  override lookupAt(key: number): number {
    return this.lookupCpuAt(key, this.host.currentCpu())
  }

  override lookupCpuAt(key: number, cpu: number): number {
    const element = this.table.find(key)
    return element === 0 ? 0 : element + this.table.valueOffset + cpu * this.valueStride
  }

  /** An update by a program sets the value of its own CPU; those of a new key's other CPUs are zero. */
  override updateAt(key: number, value: number, flags: number): number {
    const element = this.elementFor(key, flags)
    if (element < 0) return element
    this.memory.copy(this.elementValue(element), value, this.valueSize)
    return 0
  }

  protected override get perCpu(): boolean {
    return true
  }

  protected override elementValue(element: number): number {
    return element + this.table.valueOffset + this.host.currentCpu() * this.valueStride
  }

  protected override userLookup(key: number, value: number): number {
    const element = this.table.find(key)
    if (element === 0) return -Errno.ENOENT
    this.memory.copy(value, element + this.table.valueOffset, this.valueStride * this.valueCount)
    return 0
  }

  protected override userUpdate(key: number, value: number, flags: number): number {
    const element = this.elementFor(key, flags)
    if (element < 0) return element
    this.memory.copy(element + this.table.valueOffset, value, this.valueStride * this.valueCount)
    return 0
  }

  /** The element of a key, a zeroed new one when there is none; or a negative errno. */
  protected elementFor(key: number, flags: number): number {
    if (flags > UpdateFlag.EXIST) return -Errno.EINVAL
    const old = this.table.find(key)
    const error = checkFlags(old, flags)
    if (error !== 0 || old !== 0) return error === 0 ? old : error
    if (this.table.count >= this.maxEntries) return -Errno.E2BIG
    const element = this.table.take()
    this.memory.fill(element + this.table.valueOffset, 0, this.valueStride * this.valueCount)
    this.table.insert(element, key)
    return element
  }
}
