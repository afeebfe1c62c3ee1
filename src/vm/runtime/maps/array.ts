import { Errno, UpdateFlag } from '../../../uapi/index.ts'
import { Descriptor } from './descriptor.ts'
import { VmMap, type MapConfig, type MapHost } from './map.ts'

/** BPF_MAP_TYPE_ARRAY and the maps of global data: values side by side, all there from the start. */
export class ArrayMap extends VmMap {
  /** Address of value 0. */
  readonly base: number
  /** Bytes from one index to the next. */
  protected readonly stride: number

  constructor(host: MapHost, config: MapConfig, perCpu: boolean = false) {
    super(host, config, perCpu)
    this.stride = this.valueStride * this.valueCount
    this.base = this.memory.allocate(this.stride * this.maxEntries)
    this.memory.setU32(this.handle + Descriptor.BASE, this.base)
    this.memory.setU32(this.handle + Descriptor.STRIDE, this.stride)
  }

  /** A copy of the first value, which is all of it for global data. */
  contents(): Uint8Array {
    return this.memory.read(this.base, this.valueSize)
  }

  override lookupAt(key: number): number {
    const index = this.memory.view.getUint32(key, true)
    return index < this.maxEntries ? this.base + index * this.stride : 0
  }

  override indexOf(value: number): number {
    return Math.floor((value - this.base) / this.stride)
  }

  override updateAt(key: number, value: number, flags: number): number {
    const error = this.checkUpdate(key, flags)
    if (error !== 0) return error
    const at = this.lookupAt(key)
    if ((flags & UpdateFlag.LOCK) === 0) this.copyValue(at, value)
    else this.copyLocked(at, value, at)
    this.endFields(at)
    return 0
  }

  override deleteAt(_key: number): number {
    return -Errno.EINVAL
  }

  override forEachAt(visit: (key: number, value: number) => boolean): number {
    const key = this.memory.allocate(4)
    try {
      for (let index = 0; index < this.maxEntries; index++) {
        this.memory.setU32(key, index)
        if (visit(key, this.lookupAt(key))) return index + 1
      }
      return this.maxEntries
    } finally {
      this.memory.free(key, 4)
    }
  }

  protected override userNextKey(key: number, next: number): number {
    return this.nextIndex(key, next)
  }

  /** What the kernel checks before an update, in its order. */
  protected checkUpdate(key: number, flags: number): number {
    if ((flags & ~UpdateFlag.LOCK) > UpdateFlag.EXIST) return -Errno.EINVAL
    if (this.memory.u32(key) >= this.maxEntries) return -Errno.E2BIG
    if ((flags & UpdateFlag.NOEXIST) !== 0) return -Errno.EEXIST
    if ((flags & UpdateFlag.LOCK) !== 0 && !this.hasLock) return -Errno.EINVAL
    return 0
  }

  protected override release(): void {
    if (this.fields.length > 0) {
      for (let index = 0; index < this.maxEntries; index++) this.endFields(this.base + index * this.stride)
    }
    this.memory.free(this.base, this.stride * this.maxEntries)
  }
}
