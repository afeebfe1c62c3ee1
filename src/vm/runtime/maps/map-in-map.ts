import type { BackendMap, BackendProgram } from '../../../loader/index.ts'
import { Errno, MapFlag, MapType } from '../../../uapi/index.ts'
import type { MapLayout } from '../../engine.ts'
import { ArrayMap } from './array.ts'
import { refuse } from './attributes.ts'
import type { SpecialField } from './fields.ts'
import { HashMap } from './hash.ts'
import { innerLayoutOf } from './layout.ts'
import { VmMap, type MapConfig, type MapHost } from './map.ts'

/** Types that compare no attributes, which therefore cannot be inner maps (no map_meta_equal in their operations). */
const NEVER_INNER: ReadonlySet<number> = new Set<number>([
  MapType.PROG_ARRAY,
  MapType.CGROUP_STORAGE,
  MapType.PERCPU_CGROUP_STORAGE,
  MapType.STRUCT_OPS,
])
const MAPS_OF_MAPS: ReadonlySet<number> = new Set<number>([MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS])

/** Attributes that an inner map must share with the one that the outer map was made with (bpf_map_meta_equal). */
interface InnerShape {
  readonly type: number
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  readonly flags: number
  readonly fields: readonly SpecialField[]
  readonly layout: MapLayout | null
}

function shapeOf(host: MapHost, config: MapConfig): InnerShape {
  const { inner } = config
  if (inner === null) refuse(config, 'EINVAL', 'an inner map')
  if (MAPS_OF_MAPS.has(inner.type)) refuse(config, 'EINVAL', 'an inner map that holds no maps')
  if (NEVER_INNER.has(inner.type)) refuse(config, 'ENOTSUPP', 'an inner map of another type')
  const { type, keySize, valueSize, maxEntries, flags, fields } = inner
  const layout = innerLayoutOf(inner, (address) => host.memory.u32(address))
  return { type, keySize, valueSize, maxEntries, flags, fields, layout }
}

/** The handle of a map that may be put into a slot, or a negative errno. */
function acceptInner(host: MapHost, shape: InnerShape, target: BackendMap | BackendProgram): number {
  if (!(target instanceof VmMap) || host.mapAt(target.handle) !== target) return -Errno.EINVAL
  const same =
    target.type === shape.type &&
    target.keySize === shape.keySize &&
    target.valueSize === shape.valueSize &&
    target.flags === shape.flags &&
    sameFields(target.fields, shape.fields) &&
    // Arrays are inlined with their size, unless BPF_F_INNER_MAP says otherwise.
    (target.type !== MapType.ARRAY || (shape.flags & MapFlag.INNER_MAP) !== 0 || target.maxEntries === shape.maxEntries)
  return same ? target.handle : -Errno.EINVAL
}

/** A slot no longer holds a map. Other threads that have seen it there go on with it, so that it stays for them. */
function dropInner(host: MapHost, handle: number): void {
  if (!host.memory.isShared) host.mapAt(handle)?.drop()
}

function sameFields(a: readonly SpecialField[], b: readonly SpecialField[]): boolean {
  return a.length === b.length && a.every(({ kind, offset }, i) => kind === b[i]?.kind && offset === b[i]?.offset)
}

/** BPF_MAP_TYPE_ARRAY_OF_MAPS: a program's lookup gives the inner map's handle, user space sees its id. */
export class ArrayOfMaps extends ArrayMap {
  readonly #shape: InnerShape

  constructor(host: MapHost, config: MapConfig) {
    const shape = shapeOf(host, config)
    super(host, config)
    this.#shape = shape
  }

  override get innerLayout(): MapLayout | null {
    return this.#shape.layout
  }

  override lookupAt(key: number): number {
    const slot = super.lookupAt(key)
    return slot === 0 ? 0 : this.memory.u32(slot)
  }

  override updateAt(_key: number, _value: number, _flags: number): number {
    return -Errno.EINVAL
  }

  override forEachAt(_visit: (key: number, value: number) => boolean): number {
    return -Errno.EINVAL
  }

  override setSlot(key: Uint8Array, target: BackendMap | BackendProgram): void {
    const at = this.slotKey(key)
    const slot = super.lookupAt(at)
    if (slot === 0) this.fail('update', -Errno.E2BIG)
    const handle = acceptInner(this.host, this.#shape, target)
    if (handle < 0) this.fail('update', handle)
    this.host.checkKnown(target, this.name)
    this.#put(slot, handle)
  }

  protected override userLookup(key: number, value: number): number {
    const inner = this.host.mapAt(this.lookupAt(key))
    if (inner === undefined) return -Errno.ENOENT
    this.memory.setU32(value, inner.id)
    return 0
  }

  protected override userUpdate(key: number, _value: number, flags: number): number {
    if (flags !== 0) return -Errno.EINVAL
    return super.lookupAt(key) === 0 ? -Errno.E2BIG : -Errno.EBADF
  }

  protected override userDelete(key: number): number {
    const slot = super.lookupAt(key)
    if (slot === 0) return -Errno.E2BIG
    if (this.memory.u32(slot) === 0) return -Errno.ENOENT
    this.#put(slot, 0)
    return 0
  }

  protected override release(): void {
    for (let index = 0; index < this.maxEntries; index++) this.#put(this.base + index * this.stride, 0)
    super.release()
  }

  /** Puts a map in a slot, 0 for none. */
  #put(slot: number, handle: number): void {
    this.host.mapAt(handle)?.retain()
    dropInner(this.host, this.memory.u32(slot))
    this.memory.setU32(slot, handle)
  }
}

/** BPF_MAP_TYPE_HASH_OF_MAPS. */
export class HashOfMaps extends HashMap {
  readonly #shape: InnerShape

  constructor(host: MapHost, config: MapConfig) {
    const shape = shapeOf(host, config)
    super(host, config)
    this.#shape = shape
  }

  override get innerLayout(): MapLayout | null {
    return this.#shape.layout
  }

  override lookupAt(key: number): number {
    const value = super.lookupAt(key)
    return value === 0 ? 0 : this.memory.u32(value)
  }

  override updateAt(_key: number, _value: number, _flags: number): number {
    return -Errno.EINVAL
  }

  override deleteAt(_key: number): number {
    return -Errno.EINVAL
  }

  override forEachAt(_visit: (key: number, value: number) => boolean): number {
    return -Errno.EINVAL
  }

  override setSlot(key: Uint8Array, target: BackendMap | BackendProgram): void {
    const at = this.slotKey(key)
    const handle = acceptInner(this.host, this.#shape, target)
    if (handle < 0) this.fail('update', handle)
    this.host.checkKnown(target, this.name)
    const old = this.lookupAt(at)
    const value = this.memory.allocate(4)
    this.memory.setU32(value, handle)
    const error = super.updateAt(at, value, 0)
    this.memory.free(value, 4)
    if (error !== 0) this.fail('update', error)
    this.host.mapAt(handle)?.retain()
    dropInner(this.host, old)
  }

  protected override userLookup(key: number, value: number): number {
    const inner = this.host.mapAt(this.lookupAt(key))
    if (inner === undefined) return -Errno.ENOENT
    this.memory.setU32(value, inner.id)
    return 0
  }

  protected override userUpdate(_key: number, _value: number, _flags: number): number {
    return -Errno.EBADF
  }

  protected override userDelete(key: number): number {
    const inner = this.lookupAt(key)
    const error = super.deleteAt(key)
    if (error === 0) dropInner(this.host, inner)
    return error
  }

  protected override release(): void {
    for (const element of this.table.elements()) {
      dropInner(this.host, this.memory.u32(this.elementValue(element)))
    }
    super.release()
  }

  protected override userLookupAndDelete(_key: number, _value: number): number {
    return -Errno.ENOTSUPP
  }
}
