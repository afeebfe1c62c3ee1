import { BpfError } from '../../bytes/index.ts'
import type { EventCounters, EventWatch, RecordSink } from '../../loader/index.ts'
import { MapType, mapTypeName } from '../../uapi/index.ts'
import type { NativePoller } from '../binding.ts'
import { native } from '../syscall.ts'
import { PerfReader } from './perf-reader.ts'
import { RingReader } from './ring-reader.ts'
import { UserRing } from './user-ring.ts'
import { PollWatch } from './watch.ts'

/** What an event port needs of its map. */
export interface PortMap {
  readonly name: string
  readonly type: number
  readonly maxEntries: number
  /** @throws BpfError `closed` */
  readonly fd: number
  update(key: Uint8Array, value: Uint8Array): void
}

/** The events of one ring buffer, user ring buffer or perf event array: their memory, opened on first use, and waits. */
export class EventPort {
  readonly #map: PortMap
  #ring: RingReader | null = null
  #perf: PerfReader | null = null
  #userRing: UserRing | null = null
  /** Somebody else put perf events in the slots of the map; they are not ours to read. */
  slotsInUse = false
  readonly #watches = new Map<PollWatch, () => void>()

  constructor(map: PortMap) {
    this.#map = map
  }

  get lost(): number {
    return this.#perf?.lost ?? 0
  }

  /** Opens the rings of a perf event array, so that events are kept from now on. Does nothing for other maps. */
  listen(): void {
    if (this.#map.type !== MapType.PERF_EVENT_ARRAY || this.#perf !== null || this.slotsInUse) return
    const perf = new PerfReader(this.#map.maxEntries)
    try {
      for (const ring of perf.rings) {
        const pair = new Uint8Array(8)
        const view = new DataView(pair.buffer)
        view.setUint32(0, ring.cpu, true)
        view.setUint32(4, ring.fd, true)
        this.#map.update(pair.subarray(0, 4), pair.subarray(4))
      }
    } catch (error) {
      perf.close()
      throw error
    }
    this.#perf = perf
  }

  /** @throws BpfError `usage` for maps that hold no events, `closed` */
  consume(sink: RecordSink, limit?: number): number {
    void this.#map.fd
    if (this.#map.type === MapType.PERF_EVENT_ARRAY) {
      this.listen()
      return this.#perf?.consume(sink, limit) ?? 0
    }
    return this.#ringReader().consume(sink, limit)
  }

  /** @throws BpfError `usage` for maps that take no records, `closed` */
  produce(record: Uint8Array): boolean {
    const { fd, name, type, maxEntries } = this.#map
    if (type !== MapType.USER_RINGBUF) {
      throw new BpfError('usage', `map ${name} of type ${mapTypeName(type)} takes no records`, { where: { map: name } })
    }
    this.#userRing ??= new UserRing(fd, maxEntries)
    return this.#userRing.produce(record)
  }

  counters(): EventCounters {
    return {
      consumed: this.#ring?.consumed ?? this.#perf?.consumed ?? 0,
      discarded: this.#ring?.discarded ?? 0,
      // The kernel counts nothing when a ring buffer is full; the program sees it.
      lost: this.#map.type === MapType.PERF_EVENT_ARRAY ? this.lost : null,
    }
  }

  watch(ready: () => void, ended: () => void): EventWatch {
    const watch = new PollWatch(this.#descriptors(), ready)
    this.#watches.set(watch, ended)
    return {
      arm: () => {
        watch.arm()
      },
      soon: () => {
        watch.soon()
      },
      close: () => {
        this.#watches.delete(watch)
        watch.close()
      },
    }
  }

  onReadable(callback: () => void): () => void {
    const { Poller } = native()
    const pollers: NativePoller[] = this.#descriptors().map((fd) => new Poller(fd, callback))
    return () => {
      for (const poller of pollers.splice(0)) poller.close()
    }
  }

  close(): void {
    for (const [watch, ended] of this.#watches) {
      watch.close()
      ended()
    }
    this.#watches.clear()
    this.#ring?.close()
    this.#userRing?.close()
    this.#perf?.close()
  }

  /** What to poll. */
  #descriptors(): readonly number[] {
    if (this.#map.type === MapType.PERF_EVENT_ARRAY) {
      this.listen()
      return (this.#perf?.rings ?? []).map((ring) => ring.fd)
    }
    this.#ringReader()
    return [this.#map.fd]
  }

  #ringReader(): RingReader {
    const { fd, name, type, maxEntries } = this.#map
    if (type !== MapType.RINGBUF) {
      throw new BpfError('usage', `map ${name} of type ${mapTypeName(type)} holds no events to drain`, {
        where: { map: name },
      })
    }
    this.#ring ??= new RingReader(fd, maxEntries)
    return this.#ring
  }
}
