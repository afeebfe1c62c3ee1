import { Errno, UpdateFlag } from '../../../uapi/index.ts'
import { checkFlags } from './hash.ts'
import { LruOrder } from './lru-order.ts'
import type { MapConfig, MapHost } from './map.ts'
import { PerCpuHashMap } from './percpu-hash.ts'

/** BPF_MAP_TYPE_LRU_PERCPU_HASH. */
export class LruPerCpuHashMap extends PerCpuHashMap {
  readonly #order: LruOrder

  constructor(host: MapHost, config: MapConfig) {
    super(host, config, true)
    this.#order = new LruOrder(this.memory, this.handle, this.table)
  }

  override lookupCpuAt(key: number, cpu: number): number {
    const element = this.table.find(key)
    if (element === 0) return 0
    this.#order.touch(element)
    return element + this.table.valueOffset + cpu * this.valueStride
  }

  protected override elementFor(key: number, flags: number): number {
    if (flags > UpdateFlag.EXIST) return -Errno.EINVAL
    const old = this.table.find(key)
    const error = checkFlags(old, flags)
    if (error !== 0) return error
    if (old !== 0) {
      this.#order.touch(old)
      return old
    }
    if (this.table.count >= this.maxEntries) this.removeElement(this.#order.victim())
    const element = super.elementFor(key, flags)
    if (element > 0) this.#order.add(element, false)
    return element
  }
}
