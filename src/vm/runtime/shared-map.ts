import { BpfError } from '../../bytes/index.ts'
import { MapFlag, MapType, mapTypeName } from '../../uapi/index.ts'
import { Trap } from '../trap.ts'
import type { LinearMemory } from './memory.ts'
import type { MapConfig, VmMap } from './maps/map.ts'

/** Map types that several threads may use at a time, and whether their operations take a lock. */
const SHARED_TYPES: ReadonlyMap<number, boolean> = new Map<number, boolean>([
  [MapType.ARRAY, false],
  [MapType.PERCPU_ARRAY, false],
  [MapType.HASH, true],
  [MapType.PERCPU_HASH, true],
  [MapType.RINGBUF, true],
])

/** Operations that a lock goes around; a map has some of them. */
const LOCKED = ['lookupAt', 'lookupCpuAt', 'updateAt', 'deleteAt', 'userNextKey', 'userLookupAndDelete', 'reserve']
/** Looks at a lock before a thread sleeps, and how long that is in ms. */
const SPINS = 1000
const SLEEP = 1
/** Nobody holds a lock for so long, in ms: the thread that has it must have ended. */
const PATIENCE = 10_000

type Operation = (...args: unknown[]) => unknown

/** @throws BpfError `unsupported` for maps that only one thread may use */
export function checkShareable({ spec, name }: MapConfig): void {
  const where = { where: { map: name } }
  if (!SHARED_TYPES.has(spec.type)) {
    const type = mapTypeName(spec.type) ?? String(spec.type)
    throw new BpfError('unsupported', `map ${name}: a shared vm has no maps of type ${type}`, where)
  }
  if ((spec.flags & MapFlag.NO_PREALLOC) !== 0) {
    throw new BpfError(
      'unsupported',
      `map ${name}: hashes of a shared vm are preallocated (no BPF_F_NO_PREALLOC)`,
      where,
    )
  }
}

/** Makes a map ready for several threads: takes all of its memory now, and puts a lock around its operations. */
export function share(map: VmMap, memory: LinearMemory): void {
  if (map.fields.length > 0) {
    throw new BpfError('unsupported', `map ${map.name}: a shared vm has no locks, timers or objects in values`, {
      where: { map: map.name },
    })
  }
  if (SHARED_TYPES.get(map.type) !== true) return
  map.takeMemory()
  const lock = new SpinLock(memory, memory.allocate(4), map.name)
  const operations = map as unknown as Record<string, Operation | undefined>
  for (const name of LOCKED) {
    const operation = operations[name]
    if (operation === undefined) continue
    operations[name] = (...args) => lock.during(() => operation.apply(map, args))
  }
  operations['forEachAt'] = () => {
    throw new Trap('call', `bpf_for_each_map_elem of ${map.name}: other threads of the shared vm may change it`)
  }
}

/** A word in shared memory that one thread at a time sets; the thread may take it again. */
class SpinLock {
  readonly #words: Int32Array
  readonly #index: number
  readonly #name: string
  #depth = 0

  constructor(memory: LinearMemory, address: number, name: string) {
    this.#words = new Int32Array(memory.wasm.buffer)
    this.#index = address / 4
    this.#name = name
  }

  during<T>(work: () => T): T {
    if (this.#depth === 0) this.#take()
    this.#depth++
    try {
      return work()
    } finally {
      if (--this.#depth === 0) Atomics.store(this.#words, this.#index, 0)
    }
  }

  #take(): void {
    const words = this.#words
    let since = 0
    for (let spins = 1; Atomics.compareExchange(words, this.#index, 0, 1) !== 0; spins++) {
      if (spins % SPINS !== 0) continue
      since ||= performance.now()
      if (performance.now() - since > PATIENCE) {
        throw new BpfError('trap', `map ${this.#name} is locked for ever: did a thread end while it used the map?`, {
          where: { map: this.#name },
        })
      }
      try {
        Atomics.wait(words, this.#index, 1, SLEEP)
      } catch {
        // The main thread of a browser may not sleep.
      }
    }
  }
}
