import type { Btf } from '../../../btf/index.ts'
import type { MapSpec } from '../../../loader/index.ts'
import type { KernelObjects } from '../kernel/objects.ts'
import type { AbsentPages } from '../absent-pages.ts'
import type { LinearMemory } from '../memory.ts'
import type { ValueLocks } from '../value-locks.ts'
import type { FieldKind, SpecialField } from './fields.ts'
import type { VmMap } from './map.ts'
import type { SlotProgram } from './prog-array.ts'

/** What maps need of the vm. */
export interface MapHost {
  readonly memory: LinearMemory
  readonly cpus: number
  /** Pages of arenas that programs cannot write; there is a table of them from the first arena on. */
  readonly absentPages: AbsentPages
  /** Sockets, cgroups and the like, which values of some maps name by descriptors. */
  readonly kernel: KernelObjects
  /** CPU that the running program is on. */
  currentCpu(): number
  /** Calls `work` when no program runs that could still hold a pointer (the end of an RCU grace period). */
  afterGracePeriod(work: () => void): void
  /** The map with this handle address; undefined when there is none. */
  mapAt(handle: number): VmMap | undefined
  /** reclaim() of the map for the entry, see Deferred in descriptor.ts, at the end of the grace period. */
  reclaimLater(map: VmMap, entry: number): void
  /** The next id of a map or program. */
  nextId(): number
  /** Makes a map known by its handle. */
  register(map: VmMap): void
  unregister(map: VmMap): void
  /** Locks in values. */
  readonly locks: ValueLocks
  /** @throws BpfError `usage` for what was made after other threads got their CPUs, when a map is to hold it */
  checkKnown(target: { readonly id: number }, map: string): void
  /** The program of a shared vm with this id. */
  programAt(id: number): SlotProgram | undefined
  /** Frees what a special field of a value holds: timers, work, objects of programs. */
  freeField(kind: FieldKind, address: number): void
  /** Ends all timers and work of a map. */
  cancelAsyncOf(map: VmMap): void
  /** Runs timers and work that are due. */
  runDue(): void
}

/** What one map is made from. */
export interface MapConfig {
  readonly spec: MapSpec
  readonly name: string
  readonly inner: VmMap | null
  /** What the type ids of the spec refer to. */
  readonly btf?: Btf | null
  /** A map that another thread has made and checked: the special fields of its values. */
  readonly fields?: readonly SpecialField[]
}
