import { Errno } from '../../../uapi/index.ts'
import { VmMap, onlyFlags, requireAttributes, type MapConfig, type MapHost } from './map.ts'

/** Records that are kept for user space on each CPU before the oldest reader loses new ones. */
const MAX_RECORDS = 65536
const INDEX_MASK = 0xffffffff

/**
 * BPF_MAP_TYPE_PERF_EVENT_ARRAY, as if user space had opened a perf buffer for every CPU. Records are handed out as
 * the kernel stores raw samples: padded with zeros so that they and their u32 length fill multiples of 8 bytes.
 */
export class PerfEventArrayMap extends VmMap {
  #records: { readonly cpu: number; readonly data: Uint8Array }[] = []
  #lost = 0

  constructor(host: MapHost, config: MapConfig) {
    const { spec } = config
    requireAttributes(
      config,
      spec.keySize === 4 && spec.valueSize === 4 && spec.maxEntries > 0 && onlyFlags(spec.flags, 0x800),
      'a key and a value of 4 bytes and entries',
    )
    super(host, config)
  }

  override get lost(): number {
    return this.#lost
  }

  /** bpf_perf_event_output without the context: 0 or a negative errno. */
  output(index: number, parts: readonly Uint8Array[]): number {
    const cpu = this.host.currentCpu()
    const slot = index === INDEX_MASK ? cpu : index
    if (slot >= this.maxEntries) return -Errno.E2BIG
    if (slot >= this.host.cpus) return -Errno.ENOENT
    if (slot !== cpu) return -Errno.EOPNOTSUPP
    if (this.#records.length >= MAX_RECORDS) {
      this.#lost++
      return -Errno.ENOSPC
    }
    const size = parts.reduce((sum, part) => sum + part.length, 0)
    const data = new Uint8Array(Math.ceil((size + 4) / 8) * 8 - 4)
    let at = 0
    for (const part of parts) {
      data.set(part, at)
      at += part.length
    }
    this.#records.push({ cpu, data })
    return 0
  }

  override drain(record: (data: Uint8Array, cpu: number) => void): number {
    const records = this.#records
    this.#records = []
    for (const { data, cpu } of records) record(data, cpu)
    return records.length
  }

  protected override userLookup(_key: number, _value: number): number {
    return -Errno.EOPNOTSUPP
  }

  protected override userUpdate(key: number, _value: number, _flags: number): number {
    return this.memory.u32(key) >= this.maxEntries ? -Errno.E2BIG : -Errno.EBADF
  }

  protected override userDelete(key: number): number {
    return this.memory.u32(key) >= this.maxEntries ? -Errno.E2BIG : -Errno.ENOENT
  }

  protected override userNextKey(key: number, next: number): number {
    const index = key === 0 ? this.maxEntries : this.memory.u32(key)
    if (index === this.maxEntries - 1) return -Errno.ENOENT
    this.memory.setU32(next, index >= this.maxEntries ? 0 : index + 1)
    return 0
  }

  protected override release(): void {
    this.#records = []
  }
}
