import type { BackendMap, BackendProgram } from '../../../loader/index.ts'
import { Errno } from '../../../uapi/index.ts'
import { Descriptor } from './descriptor.ts'
import { FdArrayMap } from './fd-array.ts'
import type { MapConfig, MapHost } from './map.ts'

/** A program of this vm, as far as a slot is concerned. */
export interface SlotProgram extends BackendProgram {
  /** Runs it on the context of the running program; r0 is in the register area afterwards. */
  enter(ctx: number): void
  /** A slot holds the program, which therefore stays when it is closed. */
  retain(): void
  /** The opposite of retain(). */
  drop(): void
  /** Place in the table of tail calls, or NO_TAIL_ENTRY; the program keeps it until it was released as often. */
  retainTail(): number
  releaseTail(): void
}

/** The programs in the slots of a prog array, and the type that all it ever had were of. */
interface Slots {
  type: number | null
  get(index: number): SlotProgram | undefined
  set(index: number, program: SlotProgram): void
  /** Empties a slot that is not empty. */
  clear(index: number): void
  clearAll(): void
  /** Gives back what only the slots need. */
  release(): void
}

/** BPF_MAP_TYPE_PROG_ARRAY: targets of tail calls. User space reads program ids. */
export class ProgArrayMap extends FdArrayMap {
  readonly #slots: Slots
  /** Address of one u32 an index: place in the table of tail calls, 0 for an empty slot. */
  readonly #places: number

  constructor(host: MapHost, config: MapConfig) {
    super(host, config)
    this.#places = this.memory.allocate(this.maxEntries * 4)
    this.#slots = this.memory.isShared ? new SharedSlots(host, this.maxEntries) : new OwnSlots()
    this.memory.setU32(this.handle + Descriptor.BASE, this.#places)
  }

  /** The program in a slot. */
  program(index: number): SlotProgram | undefined {
    return this.#slots.get(index)
  }

  override setSlot(key: Uint8Array, target: BackendMap | BackendProgram): void {
    const index = this.memory.u32(this.slotKey(key))
    if (index >= this.maxEntries) this.fail('update', -Errno.E2BIG)
    if (!('enter' in target)) this.fail('update', -Errno.EINVAL)
    const program = target as SlotProgram
    // All programs that an array ever had must be of one type, because they share the context.
    this.#slots.type ??= program.type
    if (this.#slots.type !== program.type) this.fail('update', -Errno.EINVAL)
    this.host.checkKnown(program, this.name)
    this.#slots.set(index, program)
    this.memory.setU32(this.#places + index * 4, program.retainTail())
  }

  protected override userLookup(key: number, value: number): number {
    const index = this.memory.u32(key)
    const program = index < this.maxEntries ? this.#slots.get(index) : undefined
    if (program === undefined) return -Errno.ENOENT
    this.memory.setU32(value, program.id)
    return 0
  }

  protected override clear(index: number): number {
    if (this.#slots.get(index) === undefined) return -Errno.ENOENT
    this.memory.setU32(this.#places + index * 4, 0)
    this.#slots.clear(index)
    return 0
  }

  /** Without user space's hold on it a prog array is emptied, so that it and its programs do not keep each other. */
  override close(): void {
    if (!this.closed && !this.memory.isAttached) this.#clear()
    super.close()
  }

  protected override release(): void {
    if (!this.memory.isAttached) this.#clear()
    this.#slots.release()
    this.memory.free(this.#places, this.maxEntries * 4)
  }

  #clear(): void {
    this.memory.fill(this.#places, 0, this.maxEntries * 4)
    this.#slots.clearAll()
  }
}

class OwnSlots implements Slots {
  type: number | null = null
  readonly #programs: Map<number, SlotProgram> = new Map()

  get(index: number): SlotProgram | undefined {
    return this.#programs.get(index)
  }

  set(index: number, program: SlotProgram): void {
    program.retain()
    const old = this.#programs.get(index)
    old?.releaseTail()
    old?.drop()
    this.#programs.set(index, program)
  }

  clear(index: number): void {
    const program = this.#programs.get(index)
    this.#programs.delete(index)
    program?.releaseTail()
    program?.drop()
  }

  clearAll(): void {
    for (const program of this.#programs.values()) {
      program.releaseTail()
      program.drop()
    }
    this.#programs.clear()
  }

  release(): void {}
}

/**
 * Slots that all threads see: ids of programs in memory, 0 for none, after their type plus 1. Programs of a shared vm
 * keep their places in the tables of tail calls, the same in each thread, as long as it lasts.
 */
class SharedSlots implements Slots {
  readonly #host: MapHost
  readonly #address: number
  readonly #size: number

  constructor(host: MapHost, count: number) {
    this.#host = host
    this.#size = (count + 1) * 4
    this.#address = host.memory.allocate(this.#size)
  }

  get type(): number | null {
    const known = this.#host.memory.u32(this.#address)
    return known === 0 ? null : known - 1
  }

  set type(type: number | null) {
    this.#host.memory.setU32(this.#address, type === null ? 0 : type + 1)
  }

  get(index: number): SlotProgram | undefined {
    return this.#host.programAt(this.#host.memory.u32(this.#id(index)))
  }

  set(index: number, program: SlotProgram): void {
    this.#host.memory.setU32(this.#id(index), program.id)
  }

  clear(index: number): void {
    this.#host.memory.setU32(this.#id(index), 0)
  }

  clearAll(): void {
    this.#host.memory.fill(this.#id(0), 0, this.#size - 4)
  }

  release(): void {
    this.#host.memory.free(this.#address, this.#size)
  }

  #id(index: number): number {
    return this.#address + 4 + index * 4
  }
}
