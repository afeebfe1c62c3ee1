import { Errno, UpdateFlag } from '../../../uapi/index.ts'
import { HashMap, checkFlags } from './hash.ts'
import { LruOrder } from './lru-order.ts'
import type { MapConfig, MapHost } from './map.ts'

/** BPF_MAP_TYPE_LRU_HASH: a full map makes room by dropping an element that was not used for long. */
export class LruHashMap extends HashMap {
  readonly #order: LruOrder

  constructor(host: MapHost, config: MapConfig) {
    super(host, config, false, true)
    this.#order = new LruOrder(this.memory, this.handle, this.table)
  }

  override lookupAt(key: number): number {
    const element = this.table.find(key)
    if (element === 0) return 0
    this.#order.touch(element)
    return element + this.table.valueOffset
  }

  override updateAt(key: number, value: number, flags: number): number {
    if (flags > UpdateFlag.EXIST) return -Errno.EINVAL
    const old = this.table.find(key)
    const error = checkFlags(old, flags)
    if (error !== 0) return error
    if (old === 0 && this.table.count >= this.maxEntries) this.removeElement(this.#order.victim())
    const element = this.table.take()
    this.initFields(element + this.table.valueOffset)
    this.copyValue(element + this.table.valueOffset, value)
    if (old !== 0) this.removeElement(old)
    this.table.insert(element, key)
    this.#order.add(element, old !== 0)
    return 0
  }

  /** Reading by user space does not make an element young. */
  protected override userLookup(key: number, value: number): number {
    const element = this.table.find(key)
    if (element === 0) return -Errno.ENOENT
    this.memory.copy(value, element + this.table.valueOffset, this.valueSize)
    return 0
  }
}
