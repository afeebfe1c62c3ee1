import { readValue, BtfKind, type Btf } from '../../btf/index.ts'
import { BpfError } from '../../bytes/index.ts'
import type { BackendMap, EventCounters, EventWatch } from '../backend.ts'

/** Records of one map that are taken in one turn of the event loop. */
const BATCH = 1024

/** How to read events. */
export interface EventOptions {
  /** C type of the records, as the object's BTF names it ("struct event", "event"); default: what the map declares. */
  readonly type?: string
  /** The same as a type id. */
  readonly typeId?: number
  /** Ends the reading; an iteration then throws the signal's reason. */
  readonly signal?: AbortSignal
}

/** One event. */
export interface MapEvent {
  /** Name of the map that it came from. */
  readonly map: string
  /** CPU that wrote it, -1 for ring buffers. */
  readonly cpu: number
  /** The record by its C type, bytes where no type is known. */
  readonly value: unknown
}

/** What a reader needs of a map. */
export interface EventSource {
  readonly name: string
  readonly raw: BackendMap
  /** BTF that type names and ids refer to. */
  readonly btf: Btf | null
  /** Declared type of its records, 0 for none. */
  readonly eventTypeId: number
}

interface Queued {
  readonly source: Source
  readonly cpu: number
  readonly data: Uint8Array
}

interface Source {
  readonly name: string
  readonly raw: BackendMap
  readonly decode: (data: Uint8Array) => unknown
}

/**
 * Reads the events of one or more ring buffers and perf event arrays, as an async iterable or by a callback. Nothing is
 * taken out of the maps faster than it is handled: at most one batch waits in memory, the rest stays in the kernel's
 * buffers, which drop new records when they are full ({@link EventReader.counters}).
 *
 * One reader a map and thread: two would take records from each other.
 */
export class EventReader implements AsyncIterable<MapEvent>, Disposable {
  readonly #sources: readonly Source[]
  readonly #watches: EventWatch[] = []
  readonly #signal: AbortSignal | null
  readonly #onAbort = (): void => {
    this.close()
  }
  #queue: Queued[] = []
  #next = 0
  #wake: (() => void) | null = null
  #callback: ((event: MapEvent) => void) | null = null
  #closed = false

  /** @throws BpfError `unsupported` in the vm, `usage` for maps without events, `not-found` for an unknown type */
  constructor(sources: readonly EventSource[], options: EventOptions = {}) {
    this.#signal = options.signal ?? null
    this.#sources = sources.map(({ name, raw, btf, eventTypeId }) => {
      const typeId = resolveType(name, btf, options) ?? eventTypeId
      const typed = btf !== null && typeId !== 0
      return { name, raw, decode: typed ? (data) => readValue(btf, typeId, data) : (data) => data.slice() }
    })
    this.#signal?.throwIfAborted()
    try {
      for (const { name, raw } of this.#sources) {
        if (raw.watch === undefined) {
          const why = 'events only come here while a program is run: drain() the map afterwards'
          throw new BpfError('unsupported', `map ${name}: ${why}`, { where: { map: name } })
        }
        this.#watches.push(
          raw.watch(() => {
            this.#ready()
          }),
        )
      }
    } catch (error) {
      this.close()
      throw error
    }
    this.#signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  /** Events of all maps together. */
  get counters(): EventCounters {
    const all = this.#sources.flatMap(({ raw }) => raw.eventCounters?.() ?? [])
    const sum = (count: (counters: EventCounters) => number): number => all.reduce((total, c) => total + count(c), 0)
    const known = all.some(({ lost }) => lost !== null)
    return {
      consumed: sum((c) => c.consumed),
      discarded: sum((c) => c.discarded),
      lost: known ? sum((c) => c.lost ?? 0) : null,
    }
  }

  get closed(): boolean {
    return this.#closed
  }

  /**
   * Calls `callback` for every event from now on, until the reader is closed. An exception in it goes to the process
   * ('uncaughtException'); the events behind it are delivered afterwards.
   */
  listen(callback: (event: MapEvent) => void): this {
    this.#claim()
    this.#callback = callback
    this.#watches[0]?.soon()
    return this
  }

  /**
   * Iterates over the events as they come. The iteration ends when the reader is closed; leaving the loop closes it.
   * @throws the reason of the signal when that is aborted; BpfError for a record that is no value of its type
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<MapEvent, void, undefined> {
    this.#claim()
    try {
      let idle = true
      for (;;) {
        for (let queued = this.#shift(); queued !== null; queued = this.#shift()) {
          const { source, cpu, data } = queued
          yield { map: source.name, cpu, value: source.decode(data) }
          this.#signal?.throwIfAborted()
        }
        if (this.#closed) {
          this.#signal?.throwIfAborted()
          return
        }
        // Others get a turn after each batch, also when there is more.
        if (!idle) await this.#wait(false)
        idle = this.#fill() === 0
        if (idle) await this.#wait(true)
      }
    } finally {
      this.close()
    }
  }

  /** Ends the reading; the maps stay open. May be called again. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#signal?.removeEventListener('abort', this.#onAbort)
    for (const watch of this.#watches) watch.close()
    this.#wake?.()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #claimed = false

  #claim(): void {
    if (this.#closed) throw new BpfError('closed', 'the reader of events is closed')
    if (this.#claimed) throw new BpfError('usage', 'a reader of events is iterated or listened to only once')
    this.#claimed = true
  }

  #shift(): Queued | null {
    const queued = this.#queue[this.#next]
    if (queued === undefined) return null
    this.#next++
    return queued
  }

  #fill(): number {
    this.#queue = []
    this.#next = 0
    for (const source of this.#sources) {
      if (this.#closed) break
      source.raw.drain((data, cpu) => {
        this.#queue.push({ source, cpu, data })
      }, BATCH)
    }
    return this.#queue.length
  }

  /** Waits for events, or just for the next turn of the event loop. */
  async #wait(forEvents: boolean): Promise<void> {
    if (this.#closed) return
    await new Promise<void>((resolve) => {
      this.#wake = resolve
      if (forEvents) for (const watch of this.#watches) watch.arm()
      else this.#watches[0]?.soon()
    })
    this.#wake = null
  }

  #ready(): void {
    if (this.#callback === null) {
      this.#wake?.()
      return
    }
    let count = 0
    let finished = false
    try {
      for (const source of this.#sources) {
        if (this.#closed) return
        count += source.raw.drain((data, cpu) => {
          this.#callback?.({ map: source.name, cpu, value: source.decode(data) })
        }, BATCH)
      }
      finished = true
    } finally {
      if (!this.#closed) {
        if (finished && count === 0) for (const watch of this.#watches) watch.arm()
        else this.#watches[0]?.soon()
      }
    }
  }
}

/** The type that the options choose, null when they choose none. */
function resolveType(map: string, btf: Btf | null, options: EventOptions): number | null {
  if (options.typeId !== undefined) return options.typeId
  if (options.type === undefined) return null
  const where = { map }
  if (btf === null) throw new BpfError('not-found', `the object has no BTF to look up "${options.type}" in`, { where })
  const match = /^(?:(struct|union|enum)\s+)?(\w+)$/.exec(options.type.trim())
  const kinds = match?.[1] === undefined ? ANY_KIND : [KIND[match[1] as keyof typeof KIND]]
  for (const kind of kinds) {
    const id = match === null ? undefined : btf.findByName(match[2] as string, kind)
    if (id !== undefined) return id
  }
  throw new BpfError('not-found', `the object's BTF has no type "${options.type}"`, { where })
}

const KIND = { struct: BtfKind.STRUCT, union: BtfKind.UNION, enum: BtfKind.ENUM } as const
const ANY_KIND: readonly BtfKind[] = [BtfKind.STRUCT, BtfKind.UNION, BtfKind.TYPEDEF, BtfKind.INT, BtfKind.ENUM]
