import { Errno, MapType, UpdateFlag } from '../../../uapi/index.ts'
import { VmMap, type MapConfig, type MapHost } from './map.ts'

/** The vm has one device, the loopback device. */
const LOOPBACK = 1
/** Longest queue of a CPU map. */
const MAX_QUEUE = 16_384

/**
 * BPF_MAP_TYPE_DEVMAP, DEVMAP_HASH, CPUMAP and XSKMAP: targets of bpf_redirect_map by index. A value is the number of a
 * device, the length of a CPU's queue, or the descriptor of an AF_XDP socket (which the vm has not); that of a program
 * behind it is none, since programs have no descriptors in the vm.
 */
export abstract class RedirectMap extends VmMap {
  /** By key: address of the value that programs and user space read. */
  readonly #targets: Map<number, number> = new Map()

  /** Whether bpf_redirect_map finds a target there. */
  hasTarget(index: number): boolean {
    return this.#targets.has(index)
  }

  override lookupAt(key: number): number {
    return this.#targets.get(this.memory.u32(key)) ?? 0
  }

  protected override release(): void {
    for (const address of this.#targets.values()) this.memory.free(address, this.valueSize)
    this.#targets.clear()
  }

  /** A value with a program's descriptor behind its first 4 bytes. */
  protected hasProgram(value: number): boolean {
    return this.valueSize === 8 && this.memory.view.getInt32(value + 4, true) > 0
  }

  protected get count(): number {
    return this.#targets.size
  }

  protected keys(): number[] {
    return [...this.#targets.keys()]
  }

  /** Stores a target; the program's id behind it is 0. */
  protected store(index: number, target: number): void {
    let address = this.#targets.get(index)
    if (address === undefined) this.#targets.set(index, (address = this.memory.allocate(this.valueSize)))
    this.memory.fill(address, 0, this.valueSize)
    this.memory.setU32(address, target)
  }

  protected forget(index: number): boolean {
    const address = this.#targets.get(index)
    if (address === undefined) return false
    this.#targets.delete(index)
    this.host.afterGracePeriod(() => this.memory.free(address, this.valueSize))
    return true
  }
}

/** Targets by index. */
abstract class RedirectArray extends RedirectMap {
  protected override userUpdate(key: number, value: number, flags: number): number {
    const index = this.memory.u32(key)
    if (flags > UpdateFlag.EXIST) return -Errno.EINVAL
    if (index >= this.maxEntries) return -Errno.E2BIG
    return this.put(index, value, flags)
  }

  protected override userDelete(key: number): number {
    const index = this.memory.u32(key)
    if (index >= this.maxEntries) return -Errno.EINVAL
    this.forget(index)
    return 0
  }

  protected override userNextKey(key: number, next: number): number {
    return this.nextIndex(key, next)
  }

  protected abstract put(index: number, value: number, flags: number): number
}

class DevMap extends RedirectArray {
  protected override put(index: number, value: number, flags: number): number {
    if (flags === UpdateFlag.NOEXIST) return -Errno.EEXIST
    const device = this.memory.u32(value)
    if (device !== LOOPBACK && device !== 0) return -Errno.EINVAL
    if (this.hasProgram(value)) return -Errno.EINVAL
    if (device === 0) this.forget(index)
    else this.store(index, device)
    return 0
  }
}

class CpuMap extends RedirectArray {
  protected override put(index: number, value: number, flags: number): number {
    if (flags === UpdateFlag.NOEXIST) return -Errno.EEXIST
    const queue = this.memory.u32(value)
    if (queue > MAX_QUEUE) return -Errno.EOVERFLOW
    if (index >= this.host.cpus) return -Errno.ENODEV
    if (queue !== 0 && this.hasProgram(value)) return -Errno.EINVAL
    if (queue === 0) this.forget(index)
    else this.store(index, queue)
    return 0
  }
}

class XskMap extends RedirectArray {
  protected override userLookup(_key: number, _value: number): number {
    return -Errno.EOPNOTSUPP
  }

  /** There are no AF_XDP sockets in the vm. */
  protected override put(_index: number, value: number, _flags: number): number {
    const socket = this.host.kernel.socketOf(this.memory.view.getInt32(value, true))
    return typeof socket === 'string' ? -Errno[socket] : -Errno.EOPNOTSUPP
  }
}

class DevHash extends RedirectMap {
  protected override userUpdate(key: number, value: number, flags: number): number {
    const index = this.memory.u32(key)
    const device = this.memory.u32(value)
    if (flags > UpdateFlag.EXIST || device === 0) return -Errno.EINVAL
    if (this.hasTarget(index) && (flags & UpdateFlag.NOEXIST) !== 0) return -Errno.EEXIST
    if (device !== LOOPBACK || this.hasProgram(value)) return -Errno.EINVAL
    if (!this.hasTarget(index) && this.count >= this.maxEntries) return -Errno.E2BIG
    this.store(index, device)
    return 0
  }

  protected override userDelete(key: number): number {
    return this.forget(this.memory.u32(key)) ? 0 : -Errno.ENOENT
  }

  protected override userNextKey(key: number, next: number): number {
    const keys = this.keys()
    const following = keys[key === 0 ? 0 : keys.indexOf(this.memory.u32(key)) + 1]
    if (following === undefined) return -Errno.ENOENT
    this.memory.setU32(next, following)
    return 0
  }
}

export function createRedirectMap(host: MapHost, config: MapConfig): RedirectMap {
  switch (config.spec.type) {
    case MapType.DEVMAP:
      return new DevMap(host, config)
    case MapType.DEVMAP_HASH:
      return new DevHash(host, config)
    case MapType.CPUMAP:
      return new CpuMap(host, config)
    default:
      return new XskMap(host, config)
  }
}
