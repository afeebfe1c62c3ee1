import type { Btf } from '../../btf/index.ts'
import { BpfError } from '../../bytes/index.ts'
import type { VariableSpec } from '../spec.ts'
import { readVariable, writeVariable } from '../values.ts'
import type { LoadedMap } from './map.ts'

/** A global variable of a loaded object: reads and writes its map. */
export class LoadedVariable {
  readonly name: string
  readonly spec: VariableSpec
  readonly #map: LoadedMap
  readonly #btf: Btf | null

  constructor(spec: VariableSpec, map: LoadedMap, btf: Btf | null) {
    this.name = spec.name
    this.spec = spec
    this.#map = map
    this.#btf = btf
  }

  /** Its value now, by its C type. @throws BpfError `syscall` */
  get(): unknown {
    return readVariable(this.#btf, this.spec.typeId, this.#field(this.#map.memory ?? this.#section()))
  }

  /**
   * Changes it, in place where the section can be mapped (the kernel does since Linux 5.5). Otherwise the whole section
   * is read and written back, so a program that runs meanwhile may lose what it writes to other variables of it.
   * @throws BpfError `type-mismatch`, `syscall`; `usage` for constants
   */
  set(value: unknown): void {
    if (this.spec.readonly) {
      throw new BpfError('usage', `variable '${this.name}' is constant once the object is loaded; set it in the spec`)
    }
    const live = this.#map.memory
    if (live !== null) {
      // By way of a copy, as a value that does not fit must change nothing.
      const field = this.#field(live)
      const copy = field.slice()
      writeVariable(this.#btf, this.spec.typeId, value, copy, this.name)
      field.set(copy)
      return
    }
    const section = this.#section()
    writeVariable(this.#btf, this.spec.typeId, value, this.#field(section), this.name)
    this.#map.raw.update(KEY, section)
  }

  #section(): Uint8Array {
    const bytes = this.#map.raw.lookup(KEY)
    if (bytes === null) throw new BpfError('not-found', `map ${this.#map.name} has no element 0`)
    return bytes
  }

  #field(section: Uint8Array): Uint8Array {
    return section.subarray(this.spec.offset, this.spec.offset + this.spec.size)
  }
}

const KEY = new Uint8Array(4)
