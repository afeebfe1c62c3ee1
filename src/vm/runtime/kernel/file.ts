import type { LinearMemory } from '../memory.ts'
import type { Descriptors } from './descriptors.ts'

export interface FileOptions {
  /** What bpf_d_path gives. */
  readonly path: string
}

/** Bytes behind the address of a file and of its inode. */
const SIZE = 2048

/** A file of the virtual kernel: a path, and addresses by which programs know the file, its path and its inode. */
export class VirtualFile {
  readonly kind: 'file' = 'file' as const
  readonly path: string
  /** struct file; its struct path is anywhere in it. */
  readonly address: number
  /** struct inode, the owner of values in inode storage. */
  readonly inode: number
  readonly fd: number
  readonly #descriptors: Descriptors

  constructor(memory: LinearMemory, descriptors: Descriptors, { path }: FileOptions) {
    this.path = path
    this.address = memory.allocate(SIZE)
    this.inode = memory.allocate(SIZE)
    this.#descriptors = descriptors
    this.fd = descriptors.open(this)
  }

  /** Whether an address lies in the file's structure. */
  contains(address: number): boolean {
    return address >= this.address && address < this.address + SIZE
  }

  close(): void {
    this.#descriptors.close(this.fd)
  }
}
