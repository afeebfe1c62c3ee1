import { Errno, MapFlag, UpdateFlag } from '../../../uapi/index.ts'
import { Deferred, Descriptor, Element } from './descriptor.ts'
import { HashTable } from './hash-table.ts'
import { checkLinks } from './links.ts'
import { VmMap, type MapConfig, type MapHost } from './map.ts'

/**
 * BPF_MAP_TYPE_HASH. As in the kernel, an update of a key makes a new element, so that a pointer to the value before
 * keeps showing the old value; the old element is used again at once (preallocated maps) or when the program has
 * ended (BPF_F_NO_PREALLOC).
 */
export class HashMap extends VmMap {
  protected readonly table: HashTable
  protected readonly preallocated: boolean
  /** Preallocated maps: address of the elements that the next update of an existing key takes, one a CPU. */
  readonly #spare: number

  /** @param ring see HashTable */
  constructor(host: MapHost, config: MapConfig, perCpu: boolean = false, ring: boolean = false) {
    const { spec } = config
    super(host, config, perCpu)
    this.preallocated = (spec.flags & MapFlag.NO_PREALLOC) === 0
    this.#spare = this.preallocated ? this.memory.allocate(host.cpus * 4) : 0
    this.memory.setU32(this.handle + Descriptor.SPARE, this.#spare)
    this.table = new HashTable(this.memory, this.handle, spec.keySize, this.valueStride * this.valueCount, ring)
  }

  override takeMemory(): void {
    this.table.reserve(this.maxEntries + this.host.cpus)
  }

  override lookupAt(key: number): number {
    const element = this.table.find(key)
    return element === 0 ? 0 : element + this.table.valueOffset
  }

  override keyOf(value: number): number {
    return value - this.table.valueOffset + Element.KEY
  }

  override updateAt(key: number, value: number, flags: number): number {
    if ((flags & ~UpdateFlag.LOCK) > UpdateFlag.EXIST) return -Errno.EINVAL
    const old = this.table.find(key)
    const error = checkFlags(old, flags)
    if (error !== 0) return error
    if ((flags & UpdateFlag.LOCK) !== 0) {
      if (!this.hasLock) return -Errno.EINVAL
      if (old !== 0) {
        const to = old + this.table.valueOffset
        this.copyLocked(to, value, to)
        return 0
      }
    }
    if (old === 0 && this.table.count >= this.maxEntries) return -Errno.E2BIG
    const element = old === 0 ? this.table.take() : this.#takeSpare()
    this.initFields(element + this.table.valueOffset)
    this.copyValue(element + this.table.valueOffset, value)
    if (old !== 0) {
      this.endFields(old + this.table.valueOffset)
      this.table.remove(old)
    }
    this.table.insert(element, key)
    if (old !== 0) this.#keepSpare(old)
    return 0
  }

  override deleteAt(key: number): number {
    const element = this.table.find(key)
    if (element === 0) return -Errno.ENOENT
    this.removeElement(element)
    return 0
  }

  override forEachAt(visit: (key: number, value: number) => boolean): number {
    let visited = 0
    for (let element = this.nextElement(0); element !== 0;) {
      const next = this.nextElement(element)
      checkLinks(++visited, this.#mostVisits)
      if (visit(element + Element.KEY, this.elementValue(element))) break
      element = next
    }
    return visited
  }

  /** HashTable.next(), for a walk during which other threads go on. */
  protected nextElement(element: number): number {
    return this.table.next(element)
  }

  /** Address of an element's value for the running program. */
  protected elementValue(element: number): number {
    return element + this.table.valueOffset
  }

  protected override userNextKey(key: number, next: number): number {
    const at = key === 0 ? 0 : this.table.find(key)
    const element = this.table.next(at)
    if (element === 0) return -Errno.ENOENT
    this.memory.copy(next, element + Element.KEY, this.keySize)
    return 0
  }

  protected override userLookupAndDelete(key: number, value: number): number {
    const element = this.table.find(key)
    if (element === 0) return -Errno.ENOENT
    this.memory.copy(value, element + this.table.valueOffset, this.userValueSize)
    this.removeElement(element)
    return 0
  }

  /** Takes an element out; its memory may be used again as the map's flags say. */
  protected removeElement(element: number): void {
    this.endFields(element + this.table.valueOffset)
    this.table.remove(element)
    this.freeElement(element)
  }

  protected freeElement(element: number): void {
    if (this.preallocated) this.table.give(element)
    else this.host.reclaimLater(this, element + Deferred.IN_ELEMENT)
  }

  override reclaim(entry: number): void {
    this.table.give(entry - Deferred.IN_ELEMENT)
  }

  protected override release(): void {
    if (this.fields.length > 0) {
      for (const element of this.table.elements()) {
        this.endFields(element + this.table.valueOffset)
      }
    }
    this.table.release()
    if (this.#spare !== 0) this.memory.free(this.#spare, this.host.cpus * 4)
  }

  /** Elements that a walk may come to, during which others come and go. */
  get #mostVisits(): number {
    return Math.max(1 << 20, 2 * this.maxEntries)
  }

  #takeSpare(): number {
    if (!this.preallocated) return this.table.take()
    const at = this.#spare + this.host.currentCpu() * 4
    const spare = this.memory.u32(at)
    if (spare === 0) return this.table.take()
    this.memory.setU32(at, 0)
    return spare
  }

  #keepSpare(element: number): void {
    if (this.preallocated) this.memory.setU32(this.#spare + this.host.currentCpu() * 4, element)
    else this.freeElement(element)
  }
}

/** BPF_NOEXIST and BPF_EXIST against what was found. */
export function checkFlags(old: number, flags: number): number {
  if (old !== 0 && (flags & ~UpdateFlag.LOCK) === UpdateFlag.NOEXIST) return -Errno.EEXIST
  if (old === 0 && (flags & ~UpdateFlag.LOCK) === UpdateFlag.EXIST) return -Errno.ENOENT
  return 0
}

/** Tells the JIT where the values of the other CPUs are. */
export function publishCpuStride(map: VmMap, memory: { setU32(address: number, value: number): void }): void {
  memory.setU32(map.handle + Descriptor.CPU_STRIDE, map.valueStride)
}
