import { isBpfError } from '../../bytes/index.ts'
import type { Btf } from '../../btf/index.ts'
import { specialFields, type FieldKind, type SpecialField } from './maps/fields.ts'
import type { LinearMemory } from './memory.ts'
import { popNode } from './list.ts'
import type { Trees } from './trees.ts'

/** An object that a program made (bpf_obj_new), or one value for each CPU (bpf_percpu_obj_new). */
interface ProgramObject {
  readonly size: number
  readonly fields: readonly SpecialField[]
  /** Bytes from one CPU's value to the next. */
  readonly stride: number
  references: number
}

/** What objects need of the runtime. */
export interface ObjectHost {
  readonly memory: LinearMemory
  readonly cpus: number
  readonly trees: Trees
  afterGracePeriod(work: () => void): void
  cancelAsync(address: number): void
}

/** Most objects that one drop frees, by lists in lists. */
const MAX_DROPS = 1_000_000

/** Objects of programs, with their reference counts. */
export class Objects {
  readonly #host: ObjectHost
  readonly #all: Map<number, ProgramObject> = new Map()
  readonly #fields: WeakMap<Btf, Map<number, readonly SpecialField[]>> = new WeakMap()

  constructor(host: ObjectHost) {
    this.#host = host
  }

  /** Objects that were made and not given back. */
  get count(): number {
    return this.#all.size
  }

  /** Zeroed memory for a type; 0 when there is no more. */
  make(btf: Btf, typeId: number, perCpu: boolean): number {
    const stride = Math.ceil(btf.sizeOf(typeId) / 8) * 8
    const size = perCpu ? stride * this.#host.cpus : stride
    try {
      const address = this.#host.memory.allocate(size)
      this.#all.set(address, {
        size,
        stride: perCpu ? stride : 0,
        fields: perCpu ? [] : this.#fieldsOf(btf, typeId),
        references: 1,
      })
      return address
    } catch (error) {
      if (isBpfError(error) && error.code === 'limit') return 0
      throw error
    }
  }

  /** Address of a CPU's value. */
  perCpu(address: number, cpu: number): number {
    return address + (this.#all.get(address)?.stride ?? 0) * cpu
  }

  /** One more reference; 0 for what is no object. */
  acquire(address: number): number {
    const object = this.#all.get(address)
    if (object === undefined) return 0
    object.references++
    return address
  }

  /** One reference less; the last one frees the object and what only it holds. */
  drop(address: number): void {
    const pending = [address]
    for (let i = 0; i < MAX_DROPS; i++) {
      const next = pending.pop()
      if (next === undefined) return
      const object = this.#all.get(next)
      if (object === undefined || --object.references > 0) continue
      this.#all.delete(next)
      for (const { kind, offset } of object.fields) this.#empty(kind, next + offset, pending)
      this.#host.afterGracePeriod(() => this.#host.memory.free(next, object.size))
    }
  }

  /** Frees what a field of a map value holds. */
  free(kind: FieldKind, address: number): void {
    const pending: number[] = []
    this.#empty(kind, address, pending)
    for (const object of pending) this.drop(object)
  }

  /** The object that a node at an address is in; 0 for none. */
  containing(node: number): number {
    for (const [address, { size }] of this.#all) {
      if (node >= address && node < address + size) return address
    }
    return 0
  }

  /** Takes what a field holds out of it. */
  #empty(kind: FieldKind, address: number, held: number[]): void {
    const { memory, trees } = this.#host
    switch (kind) {
      case 'timer':
      case 'work':
        this.#host.cancelAsync(address)
        break
      case 'kptr': {
        const target = memory.u32(address)
        if (this.#all.has(target)) held.push(target)
        memory.setU64(address, 0n)
        break
      }
      case 'list':
        for (let node = popNode(memory, address, false); node !== 0; node = popNode(memory, address, false)) {
          held.push(this.containing(node))
        }
        break
      case 'tree':
        for (let node = trees.first(address); trees.remove(address, node); node = trees.first(address)) {
          held.push(this.containing(node))
        }
        break
      case 'lock':
      case 'node':
      case 'refcount':
    }
  }

  #fieldsOf(btf: Btf, typeId: number): readonly SpecialField[] {
    let known = this.#fields.get(btf)
    if (known === undefined) this.#fields.set(btf, (known = new Map()))
    let fields = known.get(typeId)
    if (fields === undefined) known.set(typeId, (fields = specialFields(btf, typeId)))
    return fields
  }
}
