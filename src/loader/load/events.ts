import { BtfKind, compileDecoder, type Btf } from '../../btf/index.ts'
import { BpfError, within } from '../../bytes/index.ts'
import type { BackendMap, EventCounters, EventWatch, RecordSink } from '../backend.ts'

/** Records that are handled in one turn of the event loop. */
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

/** Makes a value of one record. */
export type EventDecoder = (chunk: Uint8Array, offset: number, length: number) => unknown

interface Source {
  readonly name: string
  readonly raw: BackendMap
  readonly decode: EventDecoder
}

/**
 * Reads the events of one or more ring buffers and perf event arrays, as an async iterable or by a callback. Nothing is
 * taken out of the maps faster than it is handled: what waits stays in the kernel's buffers, and when these are full the
 * kernel drops new records ({@link EventReader.counters}). What a reader leaves, the next one gets.
 *
 * One reader a map and thread: two would take records from each other.
 */
export class EventReader implements AsyncIterable<MapEvent>, Disposable {
  readonly #sources: readonly Source[]
  readonly #watches: EventWatch[] = []
  readonly #signal: AbortSignal | null
  readonly #end = (): void => {
    this.close()
  }
  #wake: (() => void) | null = null
  #callback: ((event: MapEvent) => void) | null = null
  #closed = false
  #claimed = false

  /** @throws BpfError `unsupported` in the vm, `usage` for maps without events, `not-found` for an unknown type */
  constructor(sources: readonly EventSource[], options: EventOptions = {}) {
    this.#signal = options.signal ?? null
    this.#sources = sources.map(({ name, raw, btf, eventTypeId }) => {
      const typeId = resolveType(name, btf, options) ?? eventTypeId
      return { name, raw, decode: eventDecoder(btf, typeId) }
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
          }, this.#end),
        )
      }
    } catch (error) {
      this.close()
      throw error
    }
    this.#signal?.addEventListener('abort', this.#end, { once: true })
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
      const { length } = this.#sources
      let taken = 0
      let dry = 0
      for (let i = 0; !this.#closed; i = (i + 1) % length) {
        const event = takeOne(this.#sources[i] as Source)
        if (event === null) {
          if (++dry < length) continue
          await this.#wait(true)
          dry = 0
          taken = 0
          continue
        }
        dry = 0
        yield event
        this.#signal?.throwIfAborted()
        if (++taken < BATCH) continue
        // Others get a turn of the event loop, also when there is always more.
        await this.#wait(false)
        taken = 0
      }
      this.#signal?.throwIfAborted()
    } finally {
      this.close()
    }
  }

  /** Ends the reading; the maps stay open. May be called again. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#signal?.removeEventListener('abort', this.#end)
    for (const watch of this.#watches) watch.close()
    this.#wake?.()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #claim(): void {
    if (this.#closed) throw new BpfError('closed', 'the reader of events is closed')
    if (this.#claimed) throw new BpfError('usage', 'a reader of events is iterated or listened to only once')
    this.#claimed = true
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
        const { name: map, raw, decode } = source
        const sink: RecordSink = (chunk, offset, length, cpu) => {
          this.#callback?.({ map, cpu, value: decode(chunk, offset, length) })
        }
        count += consume(raw, sink, BATCH)
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

/** The next event of a map, null when there is none now. */
function takeOne({ name: map, raw, decode }: Source): MapEvent | null {
  let event: MapEvent | null = null
  consume(
    raw,
    (chunk, offset, length, cpu) => {
      event = { map, cpu, value: within({ map }, () => decode(chunk, offset, length)) }
    },
    1,
  )
  return event
}

/** Takes records out of a map by the fastest way that its backend has. */
export function consume(raw: BackendMap, sink: RecordSink, limit?: number): number {
  if (raw.consume !== undefined) return raw.consume(sink, limit)
  return raw.drain((data, cpu) => {
    sink(data, 0, data.length, cpu)
  }, limit)
}

/** Decoder of records: by their C type, or copies of their bytes for type 0. */
export function eventDecoder(btf: Btf | null, typeId: number): EventDecoder {
  if (btf === null || typeId === 0) return COPY
  let decoders = compiled.get(btf)
  if (decoders === undefined) compiled.set(btf, (decoders = new Map()))
  let decoder = decoders.get(typeId)
  if (decoder === undefined) decoders.set(typeId, (decoder = compileDecoder(btf, typeId)))
  return decoder
}

const COPY: EventDecoder = (chunk, offset, length) => chunk.slice(offset, offset + length)
const compiled = new WeakMap<Btf, Map<number, EventDecoder>>()

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
