import type { LinearMemory } from '../memory.ts'
import type { Descriptors } from './descriptors.ts'

export interface CgroupOptions {
  /** Default: the next free number. */
  readonly id?: bigint
  /** Default: the root of the hierarchy. */
  readonly parent?: VirtualCgroup
}

/** Bytes behind a cgroup's address, which programs read as a struct cgroup of zeros. */
const SIZE = 4096

/** A cgroup of the virtual kernel. */
export class VirtualCgroup {
  readonly kind: 'cgroup' = 'cgroup' as const
  readonly id: bigint
  readonly parent: VirtualCgroup | null
  /** Address of what programs see of it. */
  readonly address: number
  /** Descriptor, for cgroup arrays and storage. */
  readonly fd: number
  readonly #descriptors: Descriptors

  constructor(
    memory: LinearMemory,
    descriptors: Descriptors,
    id: bigint,
    parent: VirtualCgroup | null,
    address: number | null = null,
  ) {
    this.id = id
    this.parent = parent
    this.address = address ?? memory.allocate(SIZE)
    this.#descriptors = descriptors
    this.fd = descriptors.open(this)
  }

  /** Levels below the root, which is at 0. */
  get level(): number {
    return this.parent === null ? 0 : this.parent.level + 1
  }

  /** The cgroup itself or one above it, by level; null when it is not that deep. */
  ancestor(level: number): VirtualCgroup | null {
    if (level === this.level) return this
    return level < this.level && level >= 0 ? (this.parent?.ancestor(level) ?? null) : null
  }

  /** Whether it is the other or lies below it. */
  isUnder(other: VirtualCgroup): boolean {
    return this.ancestor(other.level) === other
  }

  /** Closes the descriptor; maps that hold the cgroup keep it. */
  close(): void {
    this.#descriptors.close(this.fd)
  }
}
