import { Errno, MapType, UpdateFlag } from '../../../uapi/index.ts'
import { Descriptor } from './descriptor.ts'
import { VmMap, type MapConfig, type MapHost } from './map.ts'

/** BPF_MAP_TYPE_QUEUE (first in, first out) and BPF_MAP_TYPE_STACK (last in, first out). */
export class QueueStackMap extends VmMap {
  /** Address of a ring of values; which of them are in use is in the descriptor, for compiled programs too. */
  readonly #base: number

  constructor(host: MapHost, config: MapConfig) {
    super(host, config)
    this.#base = this.memory.allocate(this.valueStride * this.maxEntries)
    this.memory.setU32(this.handle + Descriptor.BASE, this.#base)
    this.memory.setU32(this.handle + Descriptor.STRIDE, this.valueStride)
  }

  /** Index of the oldest value. */
  get #first(): number {
    return this.memory.u32(this.handle + Descriptor.HEAD)
  }

  set #first(index: number) {
    this.memory.setU32(this.handle + Descriptor.HEAD, index)
  }

  get #count(): number {
    return this.memory.u32(this.handle + Descriptor.COUNT)
  }

  set #count(count: number) {
    this.memory.setU32(this.handle + Descriptor.COUNT, count)
  }

  override updateAt(_key: number, _value: number, _flags: number): number {
    return -Errno.EINVAL
  }

  /** With BPF_EXIST a full map drops its oldest value. */
  override pushAt(value: number, flags: number): number {
    if (flags !== UpdateFlag.ANY && flags !== UpdateFlag.EXIST) return -Errno.EINVAL
    if (this.#count === this.maxEntries) {
      if (flags !== UpdateFlag.EXIST) return -Errno.E2BIG
      this.#first = (this.#first + 1) % this.maxEntries
      this.#count--
    }
    this.memory.copy(this.#slot(this.#count), value, this.valueSize)
    this.#count++
    return 0
  }

  override popAt(value: number): number {
    const error = this.peekAt(value)
    if (error !== 0) return error
    if (this.type === MapType.QUEUE) this.#first = (this.#first + 1) % this.maxEntries
    this.#count--
    return 0
  }

  override peekAt(value: number): number {
    if (this.#count === 0) {
      this.memory.fill(value, 0, this.valueSize)
      return -Errno.ENOENT
    }
    this.memory.copy(value, this.#slot(this.type === MapType.QUEUE ? 0 : this.#count - 1), this.valueSize)
    return 0
  }

  protected override userLookup(_key: number, value: number): number {
    return this.peekAt(value)
  }

  protected override userUpdate(_key: number, value: number, flags: number): number {
    return this.pushAt(value, flags)
  }

  protected override userLookupAndDelete(_key: number, value: number): number {
    return this.popAt(value)
  }

  protected override userNextKey(_key: number, _next: number): number {
    return -Errno.EINVAL
  }

  protected override release(): void {
    this.memory.free(this.#base, this.valueStride * this.maxEntries)
  }

  #slot(index: number): number {
    return this.#base + ((this.#first + index) % this.maxEntries) * this.valueStride
  }
}
