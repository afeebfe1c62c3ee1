import { BpfError } from '../../../bytes/index.ts'
import type { ContextFields, ContextValue } from '../../../loader/index.ts'
import type { LinearMemory } from '../memory.ts'
import { RawContext } from './raw.ts'

/** The u64 arguments of tracing, LSM, struct_ops and raw tracepoint programs, of which some point to bytes. */
export class ArgumentsContext extends RawContext {
  readonly #memory: LinearMemory
  readonly #args: readonly (number | bigint | Uint8Array)[]
  readonly #addresses: readonly number[]

  /** @throws BpfError `usage` when `fields` is not `{ args: [...] }` */
  constructor(memory: LinearMemory, fields: ContextFields) {
    const { args, ...others } = fields
    const unknown = Object.keys(others)[0]
    if (unknown !== undefined || !isList(args)) {
      const given = unknown === undefined ? 'args is no list' : `there is a field ${unknown}`
      throw new BpfError('usage', `programs that get arguments take { args: [number or bytes, ...] }; ${given}`)
    }
    const addresses = args.map((arg) => (arg instanceof Uint8Array ? memory.allocate(arg.length) : 0))
    const words = BigUint64Array.from(args, (arg, i) =>
      arg instanceof Uint8Array ? BigInt(addresses[i] as number) : BigInt.asUintN(64, BigInt(arg)),
    )
    args.forEach((arg, i) => {
      if (arg instanceof Uint8Array) memory.write(addresses[i] as number, arg)
    })
    super(memory, new Uint8Array(words.buffer), true)
    this.#memory = memory
    this.#args = args
    this.#addresses = addresses
  }

  /** Arguments after the run; bytes as the program left them. */
  fields(): ContextFields {
    const ctx = this.#memory.read(this.address, this.#args.length * 8)
    const view = new DataView(ctx.buffer)
    const args = this.#args.map((arg, i) =>
      arg instanceof Uint8Array
        ? this.#memory.read(this.#addresses[i] as number, arg.length)
        : view.getBigUint64(i * 8, true),
    )
    return { args }
  }

  override dispose(): void {
    this.#args.forEach((arg, i) => {
      if (arg instanceof Uint8Array) this.#memory.free(this.#addresses[i] as number, arg.length)
    })
  }
}

function isList(value: ContextValue | undefined): value is readonly (number | bigint | Uint8Array)[] {
  return Array.isArray(value)
}
