import type { Btf } from '../../../btf/index.ts'
import type { LinearMemory } from '../memory.ts'
import { VirtualCgroup, type CgroupOptions } from './cgroup.ts'
import { Descriptors } from './descriptors.ts'
import { VirtualFile, type FileOptions } from './file.ts'
import { VirtualSocket, type SocketOptions } from './socket.ts'
import { VirtualTask } from './task.ts'

/** What the objects of the virtual kernel are made with. */
export interface ObjectFacts {
  readonly memory: LinearMemory
  /** Of the current task: its cgroup's id, its number, and where its structure lies. */
  readonly cgroupId: bigint
  /** Where the cgroup lies, when it is there already. */
  readonly cgroupAddress: number | null
  readonly pid: number
  readonly taskAddress: () => number
  /** Types of the kernel. */
  readonly btf: () => Btf | null
}

/** Sockets, cgroups, files and the current task of the virtual kernel, found by address, number and descriptor. */
export class KernelObjects {
  readonly descriptors: Descriptors = new Descriptors()
  readonly #facts: ObjectFacts
  readonly #sockets: Map<number, VirtualSocket> = new Map()
  readonly #cgroups: Map<number, VirtualCgroup> = new Map()
  readonly #files: VirtualFile[] = []
  #current: VirtualCgroup | null = null
  #task: VirtualTask | null = null
  #default: VirtualSocket | null = null
  #nextCookie = 1n
  #nextCgroup = 2n

  constructor(facts: ObjectFacts) {
    this.#facts = facts
  }

  /** Types of the kernel, null when they are not known. */
  btf(): Btf | null {
    return this.#facts.btf()
  }

  /** The cgroup of the current task. */
  get currentCgroup(): VirtualCgroup {
    if (this.#current === null) {
      const { memory, cgroupId, cgroupAddress } = this.#facts
      this.#current = new VirtualCgroup(memory, this.descriptors, cgroupId, null, cgroupAddress)
      this.#cgroups.set(this.#current.address, this.#current)
    }
    return this.#current
  }

  get currentTask(): VirtualTask {
    this.#task ??= new VirtualTask(this.descriptors, this.#facts.pid, this.#facts.taskAddress)
    return this.#task
  }

  /** The socket of runs for which none is given: TCP, established, without addresses. */
  get defaultSocket(): VirtualSocket {
    this.#default ??= this.socket({ protocol: 'tcp' })
    return this.#default
  }

  socket(options: SocketOptions): VirtualSocket {
    const socket = new VirtualSocket(this.#facts.memory, this.descriptors, this.#nextCookie++, options)
    this.#sockets.set(socket.address, socket)
    return socket
  }

  cgroup({ id, parent }: CgroupOptions = {}): VirtualCgroup {
    while (this.cgroupById(this.#nextCgroup) !== null) this.#nextCgroup++
    const made = new VirtualCgroup(
      this.#facts.memory,
      this.descriptors,
      id ?? this.#nextCgroup,
      parent ?? this.currentCgroup,
    )
    this.#cgroups.set(made.address, made)
    return made
  }

  file(options: FileOptions): VirtualFile {
    const file = new VirtualFile(this.#facts.memory, this.descriptors, options)
    this.#files.push(file)
    return file
  }

  /** The socket whose struct bpf_sock or bpf_tcp_sock lies at an address. */
  socketAt(address: number): VirtualSocket | null {
    const socket = this.#sockets.get(address)
    if (socket !== undefined) return socket
    for (const each of this.#sockets.values()) if (each.tcpAddress === address) return each
    return null
  }

  sockets(): Iterable<VirtualSocket> {
    return this.#sockets.values()
  }

  cgroupAt(address: number): VirtualCgroup | null {
    return this.#cgroups.get(address) ?? null
  }

  cgroupById(id: bigint): VirtualCgroup | null {
    if (this.currentCgroup.id === id) return this.currentCgroup
    for (const each of this.#cgroups.values()) if (each.id === id) return each
    return null
  }

  /** A cgroup and those above it. */
  ancestors(cgroup: VirtualCgroup): VirtualCgroup[] {
    return cgroup.parent === null ? [cgroup] : [cgroup, ...this.ancestors(cgroup.parent)]
  }

  /** A cgroup and those below it, each before its children. */
  descendants(cgroup: VirtualCgroup): VirtualCgroup[] {
    const below = [...this.#cgroups.values()].filter(({ parent }) => parent === cgroup)
    return [cgroup, ...below.flatMap((child) => this.descendants(child))]
  }

  /** The file in whose structure (or its path's) an address lies. */
  fileAt(address: number): VirtualFile | null {
    return this.#files.find((file) => file.contains(address)) ?? null
  }

  /** The socket behind a descriptor, or the errno of sockfd_lookup(). */
  socketOf(fd: number): VirtualSocket | 'EBADF' | 'ENOTSOCK' {
    const object = this.descriptors.get(fd)
    if (object === undefined) return 'EBADF'
    return object.kind === 'socket' ? object : 'ENOTSOCK'
  }
}
