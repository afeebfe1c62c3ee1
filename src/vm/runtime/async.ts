import { Errno } from '../../uapi/index.ts'
import type { VmMap } from './maps/map.ts'
import type { FieldKind } from './maps/fields.ts'
import type { RunningProgram } from './runtime.ts'

/** What a timer or work queue entry needs of the runtime. */
export interface AsyncHost {
  readonly memory: { u64(address: number): bigint; setU64(address: number, value: bigint): void }
  now(): bigint
  /** What orders those that are due at the same time; null for the order of arming. */
  schedulingKey(): number | null
  /** Runs a function of a program outside of a test run, with the arguments of timers. */
  runCallback(program: RunningProgram, index: number, map: VmMap, value: number): void
}

/** A timer or a work queue entry that was initialised. */
interface Async {
  readonly kind: FieldKind
  readonly map: VmMap
  /** Address of the map value that it lies in. */
  readonly value: number
  /** Address of the structure. */
  readonly address: number
  program: RunningProgram | null
  callback: number
  /** When it is due in ns, null when it is not armed. */
  due: bigint | null
  /** Order, for those due at the same time. */
  order: number
}

/** Most callbacks that one look at the clock runs, so that timers which arm themselves again do not go on for ever. */
const MAX_CALLBACKS = 10_000

/** Timers (bpf_timer) and work queues (bpf_wq) in map values. They run when a run has ended and user space looks. */
export class AsyncQueue {
  readonly #host: AsyncHost
  /** By the number in the structure's first 8 bytes; 0 there means not initialised. */
  readonly #all: Map<number, Async> = new Map()
  #nextNumber = 1
  #order = 0
  /** How many are armed. */
  armed: number = 0
  #running: Async | null = null

  constructor(host: AsyncHost) {
    this.#host = host
  }

  /** bpf_timer_init and bpf_wq_init: 0, -EBUSY when it was initialised, -EINVAL when the map has no such field. */
  init(address: number, map: VmMap, kind: FieldKind, value: number): number {
    if (this.#at(address) !== null) return -Errno.EBUSY
    const number = this.#nextNumber++
    this.#all.set(number, { kind, map, value, address, program: null, callback: 0, due: null, order: 0 })
    this.#host.memory.setU64(address, BigInt(number))
    return 0
  }

  setCallback(address: number, program: RunningProgram, index: number): number {
    const async = this.#at(address)
    if (async === null) return -Errno.EINVAL
    if (async.program !== program) {
      program.retain()
      async.program?.drop()
      async.program = program
    }
    async.callback = index
    return 0
  }

  /** Arms it for a time in ns (at once: 0). */
  start(address: number, due: bigint): number {
    const async = this.#at(address)
    if (async === null || async.program === null) return -Errno.EINVAL
    if (async.due === null) this.armed++
    async.due = due
    async.order = this.#host.schedulingKey() ?? this.#order++
    return 0
  }

  /** bpf_timer_cancel: 1 when it was armed, else 0. */
  cancel(address: number): number {
    const async = this.#at(address)
    if (async === null) return -Errno.EINVAL
    if (async === this.#running) return -Errno.EDEADLK
    const armed = async.due !== null
    this.#disarm(async)
    return armed ? 1 : 0
  }

  /** The value that holds the structure goes away. */
  free(address: number): void {
    const async = this.#at(address)
    if (async === null) return
    this.#disarm(async)
    this.#all.delete(Number(this.#host.memory.u64(address)))
    this.#host.memory.setU64(address, 0n)
  }

  freeOf(map: VmMap): void {
    if (this.#all.size === 0) return
    for (const async of Array.from(this.#all.values())) if (async.map === map) this.free(async.address)
  }

  /** When the next one is due, null when none is armed. */
  nextDue(): bigint | null {
    if (this.armed === 0) return null
    let next: bigint | null = null
    for (const { due } of this.#all.values()) if (due !== null && (next === null || due < next)) next = due
    return next
  }

  /** Runs what is due, the earliest first. */
  runDue(): void {
    if (this.armed === 0 || this.#running !== null) return
    for (let i = 0; i < MAX_CALLBACKS; i++) {
      const next = this.#earliest(this.#host.now())
      if (next?.program == null) return
      next.due = null
      this.armed--
      this.#running = next
      const { program } = next
      // The callback may delete the element, and with it the last reference to the program.
      program.retain()
      try {
        this.#host.runCallback(program, next.callback, next.map, next.value)
      } finally {
        this.#running = null
        program.drop()
      }
    }
  }

  #at(address: number): Async | null {
    const async = this.#all.get(Number(this.#host.memory.u64(address)))
    return async !== undefined && async.address === address ? async : null
  }

  #earliest(now: bigint): Async | null {
    let best: Async | null = null
    for (const async of this.#all.values()) {
      if (async.due === null || async.due > now) continue
      const bestDue = best?.due ?? null
      if (best === null || bestDue === null || async.due < bestDue) best = async
      else if (async.due === bestDue && async.order < best.order) best = async
    }
    return best
  }

  #disarm(async: Async): void {
    if (async.due !== null) this.armed--
    async.due = null
    async.program?.drop()
    async.program = null
  }
}
