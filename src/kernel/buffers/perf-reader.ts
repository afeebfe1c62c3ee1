import type { RecordSink } from '../../loader/index.ts'
import { onlineCpus } from '../cpus.ts'
import { closeFd, native, syscallError } from '../syscall.ts'
import { mapMemory } from './memory.ts'

/** Facts of include/uapi/linux/perf_event.h. */
const PERF_TYPE_SOFTWARE = 1
const PERF_COUNT_SW_BPF_OUTPUT = 10
const PERF_SAMPLE_RAW = 1 << 10
const PERF_FLAG_FD_CLOEXEC = 8
const PERF_EVENT_IOC_ENABLE = 0x2400
const PERF_RECORD_LOST = 2
const PERF_RECORD_SAMPLE = 9
/** Offsets in struct perf_event_attr (first published size, 64 bytes) and struct perf_event_mmap_page. */
const ATTR = { type: 0, size: 4, config: 8, samplePeriod: 16, sampleType: 24, wakeupEvents: 48, bytes: 64 } as const
const PAGE = { dataHead: 1024, dataTail: 1032 } as const
const DATA_PAGES = 64

/** Events of one CPU: a perf_event descriptor with its ring. */
class CpuRing {
  readonly cpu: number
  readonly fd: number
  consumed = 0
  /** Records that the kernel dropped because the ring was full, as far as read. */
  lost = 0
  readonly #memory: ArrayBuffer
  readonly #positions: BigUint64Array
  readonly #data: Uint8Array
  readonly #view: DataView

  constructor(cpu: number, pages: number) {
    const attr = new DataView(new ArrayBuffer(ATTR.bytes))
    attr.setUint32(ATTR.type, PERF_TYPE_SOFTWARE, true)
    attr.setUint32(ATTR.size, ATTR.bytes, true)
    attr.setBigUint64(ATTR.config, BigInt(PERF_COUNT_SW_BPF_OUTPUT), true)
    attr.setBigUint64(ATTR.samplePeriod, 1n, true)
    attr.setBigUint64(ATTR.sampleType, BigInt(PERF_SAMPLE_RAW), true)
    attr.setUint32(ATTR.wakeupEvents, 1, true)
    const binding = native()
    const fd = binding.perfEventOpen(new Uint8Array(attr.buffer), -1, cpu, -1, PERF_FLAG_FD_CLOEXEC)
    if (fd < 0) throw syscallError('perf_event_open', fd, {}, `for CPU ${cpu}`)
    binding.own(fd)
    this.cpu = cpu
    this.fd = fd
    try {
      this.#memory = mapMemory(fd, (1 + pages) * binding.pageSize, 'rw', 0)
    } catch (error) {
      closeFd(fd)
      throw error
    }
    this.#positions = new BigUint64Array(this.#memory, PAGE.dataHead, 2)
    this.#data = new Uint8Array(this.#memory, binding.pageSize)
    this.#view = new DataView(this.#memory, binding.pageSize)
    const enabled = binding.ioctl(fd, PERF_EVENT_IOC_ENABLE, 0)
    if (enabled < 0) {
      this.close()
      throw syscallError('ioctl(PERF_EVENT_IOC_ENABLE)', enabled)
    }
  }

  /** Hands out raw samples, at most `limit`; returns their number. */
  consume(sink: RecordSink, limit: number): number {
    if (this.#memory.byteLength === 0) return 0
    let count = 0
    let tail = Number(Atomics.load(this.#positions, 1))
    const head = Number(Atomics.load(this.#positions, 0))
    while (tail < head && count < limit) {
      const at = tail % this.#data.length
      // Records are multiples of 8 bytes, so a header is never split.
      const type = this.#view.getUint32(at, true)
      const size = this.#view.getUint16(at + 6, true)
      if (size < 8) break
      const body = this.#copy(tail + 8, size - 8)
      tail += size
      Atomics.store(this.#positions, 1, BigInt(tail))
      if (type === PERF_RECORD_SAMPLE && body.length >= 4) {
        count++
        this.consumed++
        const length = new DataView(body.buffer).getUint32(0, true)
        sink(body, 4, Math.min(length, body.length - 4), this.cpu)
      } else if (type === PERF_RECORD_LOST && body.length >= 16) {
        this.lost += Number(new DataView(body.buffer).getBigUint64(8, true))
      }
      if (this.#memory.byteLength === 0) break
    }
    return count
  }

  close(): void {
    native().detach(this.#memory)
    closeFd(this.fd)
  }

  #copy(position: number, length: number): Uint8Array<ArrayBuffer> {
    const size = this.#data.length
    const start = position % size
    const copy = new Uint8Array(length)
    const first = Math.min(length, size - start)
    copy.set(this.#data.subarray(start, start + first))
    copy.set(this.#data.subarray(0, length - first), first)
    return copy
  }
}

/** Reader of a perf event array: one ring for each online CPU, which bpf_perf_event_output() writes to. */
export class PerfReader {
  readonly rings: readonly CpuRing[]
  #next = 0

  /** @throws BpfError `syscall` */
  constructor(maxCpus: number, pages: number = DATA_PAGES) {
    const rings: CpuRing[] = []
    this.rings = rings
    try {
      for (const cpu of onlineCpus()) if (cpu < maxCpus) rings.push(new CpuRing(cpu, pages))
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** Records that the kernel dropped because a ring was full, as far as drained. */
  get lost(): number {
    return this.rings.reduce((sum, ring) => sum + ring.lost, 0)
  }

  /** Records handed out so far. */
  get consumed(): number {
    return this.rings.reduce((sum, ring) => sum + ring.consumed, 0)
  }

  /** Hands out records of all CPUs in turn, at most `limit`; returns their number. */
  consume(sink: RecordSink, limit: number = Number.POSITIVE_INFINITY): number {
    let total = 0
    // Another CPU comes first each time, so that a busy one does not starve the others.
    const first = this.#next++
    for (let i = 0; i < this.rings.length && total < limit; i++) {
      const ring = this.rings[(first + i) % this.rings.length] as CpuRing
      total += ring.consume(sink, limit - total)
    }
    return total
  }

  close(): void {
    for (const ring of this.rings) ring.close()
  }
}
