import type { Descriptors } from './descriptors.ts'

/** The current task, as user space may name it: by a descriptor of its process (pidfd). */
export class VirtualTask {
  readonly kind: 'task' = 'task' as const
  readonly pid: number
  readonly fd: number
  readonly #address: () => number

  constructor(descriptors: Descriptors, pid: number, address: () => number) {
    this.pid = pid
    this.#address = address
    this.fd = descriptors.open(this)
  }

  /** Address of the struct task_struct. */
  get address(): number {
    return this.#address()
  }
}
