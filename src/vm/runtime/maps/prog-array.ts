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

/** BPF_MAP_TYPE_PROG_ARRAY: targets of tail calls. User space reads program ids. */
export class ProgArrayMap extends FdArrayMap {
  readonly #slots: Map<number, SlotProgram> = new Map()
  /** Type of its programs, once it had one. */
  #programType: number | null = null
  /** Address of one u32 an index: place in the table of tail calls, 0 for an empty slot. */
  readonly #places: number

  constructor(host: MapHost, config: MapConfig) {
    super(host, config)
    this.#places = this.memory.allocate(this.maxEntries * 4)
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
    this.#programType ??= program.type
    if (this.#programType !== program.type) this.fail('update', -Errno.EINVAL)
    program.retain()
    const old = this.#slots.get(index)
    old?.releaseTail()
    old?.drop()
    this.#slots.set(index, program)
    this.memory.setU32(this.#places + index * 4, program.retainTail())
  }

  protected override userLookup(key: number, value: number): number {
    const index = this.memory.u32(key)
    const program = this.#slots.get(index)
    if (program === undefined) return -Errno.ENOENT
    this.memory.setU32(value, program.id)
    return 0
  }

  protected override clear(index: number): number {
    const program = this.#slots.get(index)
    if (program === undefined) return -Errno.ENOENT
    this.#slots.delete(index)
    this.memory.setU32(this.#places + index * 4, 0)
    program.releaseTail()
    program.drop()
    return 0
  }

  /** Without user space's hold on it a prog array is emptied, so that it and its programs do not keep each other. */
  override close(): void {
    if (!this.closed) this.#clear()
    super.close()
  }

  protected override release(): void {
    this.#clear()
    this.memory.free(this.#places, this.maxEntries * 4)
  }

  #clear(): void {
    this.memory.fill(this.#places, 0, this.maxEntries * 4)
    for (const program of this.#slots.values()) {
      program.releaseTail()
      program.drop()
    }
    this.#slots.clear()
  }
}
