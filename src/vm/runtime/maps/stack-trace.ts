import { Errno, MapFlag } from '../../../uapi/index.ts'
import { VmMap, onlyFlags, requireAttributes, type MapConfig, type MapHost } from './map.ts'

/** BPF_MAP_TYPE_STACK_TRACE: call stacks that bpf_get_stackid has seen, by the id that it gave. */
export class StackTraceMap extends VmMap {
  readonly #stacks: Map<number, BigUint64Array> = new Map()

  constructor(host: MapHost, config: MapConfig) {
    const { spec } = config
    requireAttributes(
      config,
      spec.keySize === 4 &&
        spec.valueSize >= 8 &&
        spec.valueSize % 8 === 0 &&
        spec.maxEntries > 0 &&
        onlyFlags(spec.flags, MapFlag.STACK_BUILD_ID),
      'a key of 4 bytes, a value of a multiple of 8 bytes and entries',
    )
    super(host, config)
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
    return this.#stacks.delete(this.memory.u32(key)) ? 0 : -Errno.ENOENT
  }

  protected override userLookup(key: number, value: number): number {
    const frames = this.#stacks.get(this.memory.u32(key))
    if (frames === undefined) return -Errno.ENOENT
    this.memory.fill(value, 0, this.valueSize)
    frames.forEach((frame, i) => this.memory.setU64(value + i * 8, frame))
    return 0
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
