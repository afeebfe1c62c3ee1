import { BpfError, isBpfError } from '../../bytes/index.ts'
import type { BackendProgram } from '../backend.ts'
import type { StructOpsLayout } from '../spec.ts'
import type { StructOpsSpec } from '../struct-ops.ts'
import type { LoadedMap } from './map.ts'

const KEY = new Uint8Array(4)

/**
 * A struct_ops variable whose map is in the kernel. Loading registers nothing: {@link register} does, for one of section
 * `.struct_ops`; one of `.struct_ops.link` is registered by a link to its map, which {@link makeReady} comes before.
 */
export class LoadedStructOps {
  readonly name: string
  readonly spec: StructOpsSpec
  readonly map: LoadedMap
  readonly #layout: StructOpsLayout
  readonly #programs: ReadonlyMap<string, BackendProgram>
  #registered = false

  constructor(
    spec: StructOpsSpec,
    map: LoadedMap,
    layout: StructOpsLayout,
    programs: ReadonlyMap<string, BackendProgram>,
  ) {
    this.name = spec.name
    this.spec = spec
    this.map = map
    this.#layout = layout
    this.#programs = programs
  }

  /** Whether register() was called here, and unregister() not since. */
  get registered(): boolean {
    return this.#registered
  }

  /**
   * What the map's update hands to the kernel: the kernel's value type, with descriptors of the programs as pointers.
   * @throws BpfError `not-found` when one of the programs did not load
   */
  value(): Uint8Array {
    const value = this.#layout.value.slice()
    const view = new DataView(value.buffer)
    for (const { offset, program } of this.#layout.functions) {
      const loaded = this.#programs.get(program)
      if (loaded === undefined) {
        throw new BpfError('not-found', `struct_ops '${this.name}' needs program '${program}', which did not load`, {
          where: { map: this.name, program },
        })
      }
      // The vm has no descriptors: there programs go by their ids.
      view.setBigUint64(offset, BigInt(loaded.fd ?? loaded.id), true)
    }
    return value
  }

  /** Gives a variable of `.struct_ops` to its subsystem. @throws BpfError `usage` for `.struct_ops.link`, `syscall` */
  register(): void {
    this.#checkKind(false, 'is registered by a link')
    this.map.raw.update(KEY, this.value())
    this.#registered = true
  }

  /** Takes it back. The subsystem lets go when it uses it no more. @throws BpfError `usage`, `syscall` */
  unregister(): void {
    this.#checkKind(false, 'is registered by a link')
    this.map.raw.delete(KEY)
    this.#registered = false
  }

  /**
   * Writes the value of a variable of `.struct_ops.link`, which a link to the map may then register. May be called again:
   * the value is set once.
   * @throws BpfError `usage` for `.struct_ops`, `syscall`
   */
  makeReady(): void {
    this.#checkKind(true, 'is registered by register()')
    try {
      this.map.raw.update(KEY, this.value())
    } catch (error) {
      if (!isBpfError(error) || error.errno !== 'EBUSY') throw error
    }
  }

  /** Unregisters it if it was registered here. */
  close(): void {
    if (!this.#registered) return
    this.#registered = false
    this.map.raw.delete(KEY)
  }

  #checkKind(byLink: boolean, message: string): void {
    if (this.spec.byLink === byLink) return
    throw new BpfError('usage', `struct_ops '${this.name}' ${message}`, { where: { map: this.name } })
  }
}
