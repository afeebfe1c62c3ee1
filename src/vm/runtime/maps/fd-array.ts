import { Errno } from '../../../uapi/index.ts'
import { VmMap } from './map.ts'

/** Maps of slots that user space names by index, with descriptors as values. */
export abstract class FdArrayMap extends VmMap {
  protected override userUpdate(key: number, value: number, flags: number): number {
    if (flags !== 0) return -Errno.EINVAL
    const index = this.memory.u32(key)
    return index >= this.maxEntries ? -Errno.E2BIG : this.put(index, this.memory.view.getInt32(value, true))
  }

  protected override userDelete(key: number): number {
    const index = this.memory.u32(key)
    return index >= this.maxEntries ? -Errno.E2BIG : this.clear(index)
  }

  protected override userNextKey(key: number, next: number): number {
    return this.nextIndex(key, next)
  }

  /** Puts what a descriptor stands for in a slot: 0 or a negative errno. */
  protected put(_index: number, _fd: number): number {
    return -Errno.EBADF
  }

  /** Empties a slot: 0, or -ENOENT when it was empty. */
  protected abstract clear(index: number): number
}
