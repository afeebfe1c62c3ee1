import type { BackendMap, BackendProgram } from '../../../loader/index.ts'
import { Errno } from '../../../uapi/index.ts'
import { VmMap, onlyFlags, requireAttributes, type MapConfig, type MapHost } from './map.ts'

/** A program of this vm, as far as a slot is concerned. */
export interface SlotProgram extends BackendProgram {
  /** Runs it on the context of the running program; r0 is in the register area afterwards. */
  enter(ctx: number): void
  /** A slot holds the program, which therefore stays when it is closed. */
  retain(): void
  /** The opposite of retain(). */
  drop(): void
}

/** BPF_MAP_TYPE_PROG_ARRAY: targets of tail calls. User space reads program ids. */
export class ProgArrayMap extends VmMap {
  readonly #slots: Map<number, SlotProgram> = new Map()

  constructor(host: MapHost, config: MapConfig) {
    const { spec } = config
    requireAttributes(
      config,
      spec.keySize === 4 && spec.valueSize === 4 && spec.maxEntries > 0 && onlyFlags(spec.flags, 0),
      'a key and a value of 4 bytes and entries',
    )
    super(host, config)
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
    // All programs of an array must be of one type, because they share the context.
    for (const other of this.#slots.values()) {
      if (other.type !== program.type) this.fail('update', -Errno.EINVAL)
    }
    program.retain()
    this.#slots.get(index)?.drop()
    this.#slots.set(index, program)
  }

  protected override userLookup(key: number, value: number): number {
    const index = this.memory.u32(key)
    const program = this.#slots.get(index)
    if (program === undefined) return -Errno.ENOENT
    this.memory.setU32(value, program.id)
    return 0
  }

  /** A program cannot be named by number here; use setSlot. */
  protected override userUpdate(key: number, _value: number, _flags: number): number {
    return this.memory.u32(key) >= this.maxEntries ? -Errno.E2BIG : -Errno.EBADF
  }

  protected override userDelete(key: number): number {
    const index = this.memory.u32(key)
    if (index >= this.maxEntries) return -Errno.E2BIG
    const program = this.#slots.get(index)
    if (program === undefined) return -Errno.ENOENT
    this.#slots.delete(index)
    program.drop()
    return 0
  }

  protected override userNextKey(key: number, next: number): number {
    const index = key === 0 ? this.maxEntries : this.memory.u32(key)
    if (index === this.maxEntries - 1) return -Errno.ENOENT
    this.memory.setU32(next, index >= this.maxEntries ? 0 : index + 1)
    return 0
  }

  /** Without user space's hold on it a prog array is emptied, so that it and its programs do not keep each other. */
  override close(): void {
    if (!this.closed) this.#clear()
    super.close()
  }

  protected override release(): void {
    this.#clear()
  }

  #clear(): void {
    for (const program of this.#slots.values()) program.drop()
    this.#slots.clear()
  }
}
