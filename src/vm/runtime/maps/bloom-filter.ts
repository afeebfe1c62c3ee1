import { Errno, UpdateFlag } from '../../../uapi/index.ts'
import { Descriptor } from './descriptor.ts'
import { hashBytes } from './hash-table.ts'
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
    this.memory.setU32(this.handle + Descriptor.BASE, this.#bits)
    this.memory.setU32(this.handle + Descriptor.STRIDE, this.#mask)
    this.memory.setU32(this.handle + Descriptor.EXTRA, this.#hashes)
  }

  override pushAt(value: number, flags: number): number {
    if (flags !== UpdateFlag.ANY) return -Errno.EINVAL
    const { u8 } = this.memory
    this.#everyBit(value, (at, bit) => {
      u8[at] = (u8[at] as number) | bit
      return true
    })
    return 0
  }

  override popAt(_value: number): number {
    return -Errno.EOPNOTSUPP
  }

  /** 0 when the value may have been added, -ENOENT when it was not. */
  override peekAt(value: number): number {
    const { u8 } = this.memory
    return this.#everyBit(value, (at, bit) => ((u8[at] as number) & bit) !== 0) ? 0 : -Errno.ENOENT
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

  /** Whether `visit` (address of the byte, bit in it) is true for all bits of a value; stops at the first other one. */
  #everyBit(value: number, visit: (at: number, bit: number) => boolean): boolean {
    // Two hashes make all others (Kirsch and Mitzenmacher, "Less hashing, same performance").
    let hash = hashBytes(this.memory.view, value, this.valueSize)
    const step = secondHash(hash)
    for (let i = 0; i < this.#hashes; i++) {
      const bit = (hash & this.#mask) >>> 0
      if (!visit(this.#bits + (bit >>> 3), 1 << (bit & 7))) return false
      hash = (hash + step) | 0
    }
    return true
  }
}

/** Factor of the second hash, which is odd, so that no step is 0. */
export const STEP_FACTOR = 0xc2b2ae35

function secondHash(hash: number): number {
  const mixed = Math.imul(hash, STEP_FACTOR)
  return (mixed ^ (mixed >>> 16)) | 1
}
