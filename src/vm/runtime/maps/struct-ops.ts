import { Errno, MapFlag } from '../../../uapi/index.ts'
import { VmMap } from './map.ts'

/** enum bpf_struct_ops_state. */
const State = { INIT: 0, INUSE: 1, TOBEFREE: 2, READY: 3 } as const
/** Offset in struct bpf_struct_ops_common, with which values begin; the reference count comes first. */
const STATE = 4

/**
 * BPF_MAP_TYPE_STRUCT_OPS: one value of a kernel type whose functions are programs, which the vm names by their ids. An
 * update registers it (with BPF_F_LINK: makes it ready), a deletion takes it back. No subsystem of the vm calls the
 * programs; run them with the arguments that it would give.
 */
export class StructOpsMap extends VmMap {
  #value: Uint8Array | null = null
  #state: number = State.INIT

  protected override userLookup(key: number, value: number): number {
    if (this.memory.u32(key) !== 0) return -Errno.ENOENT
    this.memory.fill(value, 0, this.valueSize)
    if (this.#value !== null) this.memory.write(value, this.#value)
    this.memory.setU32(value + STATE, this.#state)
    return 0
  }

  protected override userUpdate(key: number, value: number, flags: number): number {
    if (flags !== 0) return -Errno.EINVAL
    if (this.memory.u32(key) !== 0) return -Errno.E2BIG
    if (this.memory.u64(value) !== 0n) return -Errno.EINVAL
    if (this.#state !== State.INIT) return -Errno.EBUSY
    this.#value = this.memory.read(value, this.valueSize)
    this.#state = (this.flags & MapFlag.LINK) === 0 ? State.INUSE : State.READY
    return 0
  }

  protected override userDelete(_key: number): number {
    if ((this.flags & MapFlag.LINK) !== 0) return -Errno.EOPNOTSUPP
    if (this.#state === State.INIT) return -Errno.ENOENT
    if (this.#state === State.TOBEFREE) return -Errno.EINPROGRESS
    this.#state = State.TOBEFREE
    return 0
  }

  protected override userNextKey(key: number, next: number): number {
    if (key !== 0 && this.memory.u32(key) === 0) return -Errno.ENOENT
    this.memory.setU32(next, 0)
    return 0
  }

  override freeze(): void {
    this.fail('freeze', -Errno.ENOTSUPP)
  }

  protected override release(): void {
    this.#value = null
  }
}
