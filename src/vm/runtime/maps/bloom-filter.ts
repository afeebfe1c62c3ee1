import { Errno, UpdateFlag } from '../../../uapi/index.ts'
import { VmMap, type MapConfig, type MapHost } from './map.ts'

const DEFAULT_HASHES = 5
/** Most bits; the kernel goes to 2^32. */
const MAX_BITS = 2 ** 31

/** BPF_MAP_TYPE_BLOOM_FILTER: a set of values that may say yes where it should say no, but not the reverse. */
export class BloomFilterMap extends VmMap {
  readonly #bits: number
  readonly #mask: number
  readonly #hashes: number

  constructor(host: MapHost, config: MapConfig) {
    const { spec } = config
    super(host, config)
    this.#hashes = Number(spec.mapExtra) || DEFAULT_HASHES
    // 7/5 is about 1/ln 2, which gives the fewest false answers for a number of bits.
    const wanted = Math.floor((spec.maxEntries * this.#hashes) / 5) * 7
    const bits = Math.min(MAX_BITS, Math.max(64, 2 ** Math.ceil(Math.log2(Math.max(1, wanted)))))
    this.#mask = bits - 1
    this.#bits = this.memory.allocate(bits / 8)
  }

  override pushAt(value: number, flags: number): number {
    if (flags !== UpdateFlag.ANY) return -Errno.EINVAL
    const { u8 } = this.memory
    for (let i = 0; i < this.#hashes; i++) {
      const bit = this.#bit(value, i)
      const at = this.#bits + (bit >>> 3)
      u8[at] = (u8[at] as number) | (1 << (bit & 7))
    }
    return 0
  }

  override popAt(_value: number): number {
    return -Errno.EOPNOTSUPP
  }

  /** 0 when the value may have been added, -ENOENT when it was not. */
  override peekAt(value: number): number {
    const { u8 } = this.memory
    for (let i = 0; i < this.#hashes; i++) {
      const bit = this.#bit(value, i)
      if (((u8[this.#bits + (bit >>> 3)] as number) & (1 << (bit & 7))) === 0) return -Errno.ENOENT
    }
    return 0
  }

  override deleteAt(_key: number): number {
    return -Errno.EOPNOTSUPP
  }

  /** The value that is asked for stands where other maps have keys. */
  protected override userLookup(key: number, value: number): number {
    this.memory.copy(value, key, this.valueSize)
    return this.peekAt(value)
  }

  protected override get lookupKeySize(): number {
    return this.valueSize
  }

  protected override userUpdate(_key: number, value: number, flags: number): number {
    return this.pushAt(value, flags)
  }

  protected override userNextKey(_key: number, _next: number): number {
    return -Errno.EOPNOTSUPP
  }

  protected override release(): void {
    this.memory.free(this.#bits, (this.#mask + 1) / 8)
  }

  #bit(value: number, seed: number): number {
    const { u8 } = this.memory
    let hash = 0x811c9dc5 ^ Math.imul(seed + 1, 0x9e3779b1)
    for (let i = 0; i < this.valueSize; i++) hash = Math.imul(hash ^ (u8[value + i] as number), 0x01000193)
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
    return ((hash ^ (hash >>> 16)) & this.#mask) >>> 0
  }
}
