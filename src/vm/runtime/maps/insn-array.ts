import { BpfError } from '../../../bytes/index.ts'
import { slotsAt, type InsnBuffer } from '../../../isa/index.ts'
import { Errno, errnoName, MapFlag, UpdateFlag } from '../../../uapi/index.ts'
import { CODE_ADDRESS_HIGH } from '../../indirect.ts'
import { VmMap, type MapConfig, type MapHost } from './map.ts'

/** struct bpf_insn_array_value: u32 orig_off, xlated_off, jitted_off, padding. */
export const INSN_VALUE_SIZE = 16
const ORIGINAL = 0
const TRANSLATED = 4
const JITTED = 8
/** Programs read addresses of instructions. */
const ENTRY_SIZE = 8
const INSN_SIZE = 8
/** BPF_F_CPU and BPF_F_ALL_CPUS, for per-CPU maps alone. */
const CPU_FLAGS = 24

/**
 * BPF_MAP_TYPE_INSN_ARRAY: instructions of one program, named by user space, as addresses for its indirect jumps. What
 * user space sees (places of instructions as they were loaded, as they run, and in machine code, for which the vm gives
 * bytes of BPF code) is apart from what the program reads, an address each (see indirect.ts). Rules of
 * kernel/bpf/bpf_insn_array.c.
 */
export class InsnArrayMap extends VmMap {
  /** Address of what programs read. */
  readonly base: number
  readonly #values: number
  #used = false

  constructor(host: MapHost, config: MapConfig) {
    const { spec } = config
    super(host, { ...config, spec: { ...spec, flags: spec.flags | MapFlag.RDONLY_PROG } })
    this.#values = this.memory.allocate(this.maxEntries * INSN_VALUE_SIZE)
    this.base = this.memory.allocate(this.maxEntries * ENTRY_SIZE)
    if (spec.contents !== null) this.memory.write(this.#values, spec.contents)
  }

  /** Slots of the program that the entries name. */
  get targets(): number[] {
    return Array.from({ length: this.maxEntries }, (_, i) => this.memory.u32(this.#values + i * INSN_VALUE_SIZE))
  }

  /** Checks an offset that an immediate of a program adds to the address. @throws BpfError `syscall` EACCES */
  checkOffset(offset: number): void {
    if (offset % ENTRY_SIZE === 0 && offset / ENTRY_SIZE < this.maxEntries) return
    this.#refuse(Errno.EACCES, `has no entry at byte ${offset}`)
  }

  /**
   * Takes the map for a program that is loaded, as no other one can any more.
   * @throws BpfError `syscall` EINVAL when the map may still change or names what is no instruction of the program, EBUSY
   */
  use(insns: InsnBuffer): void {
    if (!this.frozen) this.#refuse(Errno.EINVAL, 'is not frozen, as it must be before the program is loaded')
    const starts = new Uint8Array(insns.length)
    for (let at = 0; at < insns.length; at += slotsAt(insns, at)) starts[at] = 1
    const wrong = this.targets.find((slot) => starts[slot] !== 1)
    if (wrong !== undefined) this.#refuse(Errno.EINVAL, `names slot ${wrong}, where the program has no instruction`)
    if (this.#used) this.#refuse(Errno.EBUSY, 'belongs to another program')
    this.#used = true
  }

  /** The program could not be loaded. */
  giveBack(): void {
    this.#used = false
  }

  /** Fills in what the program reads. `numbers`: of instructions, by slot. */
  resolve(numbers: ReadonlyMap<number, number>): void {
    this.targets.forEach((slot, index) => {
      const value = this.#values + index * INSN_VALUE_SIZE
      this.memory.setU32(value + TRANSLATED, slot)
      this.memory.setU32(value + JITTED, slot * INSN_SIZE)
      this.memory.setU32(this.base + index * ENTRY_SIZE, numbers.get(slot) as number)
      this.memory.setU32(this.base + index * ENTRY_SIZE + 4, CODE_ADDRESS_HIGH >>> 0)
    })
  }

  override lookupAt(key: number): number {
    const index = this.memory.u32(key)
    return index < this.maxEntries ? this.#values + index * INSN_VALUE_SIZE : 0
  }

  override updateAt(key: number, value: number, flags: number): number {
    if ((flags & CPU_FLAGS) !== 0) return -Errno.EINVAL
    const at = this.lookupAt(key)
    if (at === 0) return -Errno.E2BIG
    if ((flags & UpdateFlag.NOEXIST) !== 0) return -Errno.EEXIST
    if (this.memory.u32(value + TRANSLATED) !== 0 || this.memory.u32(value + JITTED) !== 0) return -Errno.EINVAL
    this.memory.setU32(at + ORIGINAL, this.memory.u32(value + ORIGINAL))
    return 0
  }

  protected override userNextKey(key: number, next: number): number {
    return this.nextIndex(key, next)
  }

  protected override release(): void {
    this.memory.free(this.#values, this.maxEntries * INSN_VALUE_SIZE)
    this.memory.free(this.base, this.maxEntries * ENTRY_SIZE)
  }

  #refuse(errno: number, why: string): never {
    throw new BpfError('syscall', `map ${this.name}, an instruction array, ${why}`, {
      errno: errnoName(errno) ?? String(errno),
      where: { map: this.name },
    })
  }
}
