import { Errno } from '../../../uapi/index.ts'
import { FdArrayMap } from './fd-array.ts'

/** Records that are kept for user space on each CPU before the oldest reader loses new ones. */
const MAX_RECORDS = 65536
const INDEX_MASK = 0xffffffff

/**
 * BPF_MAP_TYPE_PERF_EVENT_ARRAY, as if user space had opened a perf buffer for every CPU. Records are handed out as
 * the kernel stores raw samples: padded with zeros so that they and their u32 length fill multiples of 8 bytes.
 */
export class PerfEventArrayMap extends FdArrayMap {
  #records: { readonly cpu: number; readonly data: Uint8Array }[] = []
  #lost = 0

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
    return -Errno.ENOTSUPP
  }

  protected override clear(_index: number): number {
    return -Errno.ENOENT
  }

  protected override release(): void {
    this.#records = []
  }
}
