import { MapType } from '../../../uapi/index.ts'
import { ArrayMap } from './array.ts'
import { HashMap } from './hash.ts'
import type { MapConfig, MapHost } from './map.ts'

/**
 * BPF_MAP_TYPE_DEVMAP, CPUMAP and XSKMAP: targets of bpf_redirect_map by index. There are no devices in the vm; a slot
 * is a target once user space has written something other than 0 into its first 4 bytes.
 */
export class RedirectArrayMap extends ArrayMap {
  hasTarget(key: number): boolean {
    const slot = this.lookupAt(key)
    return slot !== 0 && this.memory.u32(slot) !== 0
  }
}

/** BPF_MAP_TYPE_DEVMAP_HASH. */
export class RedirectHashMap extends HashMap {
  hasTarget(key: number): boolean {
    return this.lookupAt(key) !== 0
  }
}

export function createRedirectMap(host: MapHost, config: MapConfig): RedirectArrayMap | RedirectHashMap {
  return config.spec.type === MapType.DEVMAP_HASH
    ? new RedirectHashMap(host, config)
    : new RedirectArrayMap(host, config)
}
