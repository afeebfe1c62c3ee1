import { BpfError } from '../../../bytes/index.ts'
import type { VirtualCgroup } from './cgroup.ts'
import type { VirtualFile } from './file.ts'
import type { VirtualSocket } from './socket.ts'
import type { VirtualTask } from './task.ts'

/** What user space holds a descriptor of. */
export type KernelObject = VirtualSocket | VirtualCgroup | VirtualFile | VirtualTask

/** As in a process: 0 to 2 are taken. */
const FIRST = 3

/**
 * The file descriptors of the vm's user space. Maps whose values or keys are descriptors take them: sockmaps, cgroup
 * arrays, and the storage maps of sockets, inodes, tasks and cgroups.
 */
export class Descriptors {
  readonly #open: Map<number, KernelObject> = new Map()
  #next = FIRST

  open(object: KernelObject): number {
    const fd = this.#next++
    this.#open.set(fd, object)
    return fd
  }

  get(fd: number): KernelObject | undefined {
    return this.#open.get(fd)
  }

  close(fd: number): void {
    this.#open.delete(fd)
  }

  /** All objects that are open. */
  values(): Iterable<KernelObject> {
    return this.#open.values()
  }
}

/** @throws BpfError `usage` for a number that is no unsigned one of `bits` bits */
export function requireUnsigned(what: string, value: number, bits: number): number {
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** bits) {
    throw new BpfError('usage', `${what} is ${value}, expected a number of ${bits} bits`)
  }
  return value
}
