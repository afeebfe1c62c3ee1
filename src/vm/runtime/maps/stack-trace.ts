import { Errno } from '../../../uapi/index.ts'
import { VmMap } from './map.ts'

/** BPF_MAP_TYPE_STACK_TRACE: call stacks that bpf_get_stackid has seen, by the id that it gave. */
export class StackTraceMap extends VmMap {
  readonly #stacks: Map<number, BigUint64Array> = new Map()

  /** Ids are below this. */
  get buckets(): number {
    return 2 ** Math.ceil(Math.log2(this.maxEntries))
  }

  /** Stores a stack under its id; an id that another stack has is EEXIST, unless `replace`. */
  store(id: number, frames: readonly bigint[], replace: boolean): number {
    const kept = BigUint64Array.from(frames.slice(0, this.valueSize / 8))
    const old = this.#stacks.get(id)
    if (old !== undefined && !replace) {
      const same = old.length === kept.length && old.every((frame, i) => frame === kept[i])
      if (!same) return -Errno.EEXIST
    }
    this.#stacks.set(id, kept)
    return id
  }

  override updateAt(_key: number, _value: number, _flags: number): number {
    return -Errno.EINVAL
  }

  override deleteAt(key: number): number {
    if (this.memory.u32(key) >= this.buckets) return -Errno.E2BIG
    return this.#stacks.delete(this.memory.u32(key)) ? 0 : -Errno.ENOENT
  }

  protected override userLookup(key: number, value: number): number {
    const frames = this.#stacks.get(this.memory.u32(key))
    if (frames === undefined) return -Errno.ENOENT
    this.memory.fill(value, 0, this.valueSize)
    frames.forEach((frame, i) => this.memory.setU64(value + i * 8, frame))
    return 0
  }

  protected override userLookupAndDelete(key: number, value: number): number {
    const error = this.userLookup(key, value)
    if (error === 0) this.#stacks.delete(this.memory.u32(key))
    return error
  }

  protected override userNextKey(key: number, next: number): number {
    const ids = [...this.#stacks.keys()].sort((a, b) => a - b)
    const after = key === 0 ? -1 : this.memory.u32(key)
    const id = ids.find((candidate) => candidate > after)
    if (id === undefined) return -Errno.ENOENT
    this.memory.setU32(next, id)
    return 0
  }

  protected override release(): void {
    this.#stacks.clear()
  }
}
