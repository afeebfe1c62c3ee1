import { CONTEXT_ADDRESS, CONTEXT_SIZE } from '../layout.ts'
import type { LinearMemory } from '../memory.ts'
import { testRunError, type ContextOutput, type RunContext } from './context.ts'

const NOTHING: Uint8Array = new Uint8Array(0)

/** More than any context structure has: programs write to its fields, also when fewer bytes were given. */
const LARGEST_STRUCTURE = 1024

/**
 * Context bytes as they are: pt_regs, tracepoint records, the u64 arguments of raw and BTF tracepoints, and whatever
 * other program types have. What is not given reads as zero.
 */
export class RawContext implements RunContext {
  readonly kind: 'raw' = 'raw' as const
  readonly address: number = CONTEXT_ADDRESS
  readonly #memory: LinearMemory
  /** Bytes that were given. */
  size: number = 0
  readonly #returned: boolean
  /** Bytes from the start that may differ from zero. */
  #used: number = CONTEXT_SIZE

  /** @param returned whether the context is copied out after the run (syscall programs, and those of the vm only) */
  constructor(memory: LinearMemory, ctx: Uint8Array | undefined, returned: boolean) {
    this.#memory = memory
    this.#returned = returned && ctx !== undefined
    this.reset(ctx ?? NOTHING)
  }

  reset(ctx: Uint8Array): void {
    const size = ctx.length
    if (size > CONTEXT_SIZE) {
      throw testRunError('EINVAL', `the context has ${size} bytes, at most ${CONTEXT_SIZE} are possible`)
    }
    if (this.#used > size) this.#memory.fill(CONTEXT_ADDRESS + size, 0, this.#used - size)
    this.#memory.u8.set(ctx, CONTEXT_ADDRESS)
    this.size = size
    this.#used = Math.max(size, LARGEST_STRUCTURE)
  }

  claim(): void {
    this.#used = CONTEXT_SIZE
  }

  packetView(): Uint8Array | null {
    return null
  }

  dispose(): void {}

  loadPacket(_offset: number, _size: number): number | null {
    return null
  }

  output(): ContextOutput {
    return { data: null, ctx: this.#returned ? this.#memory.read(CONTEXT_ADDRESS, this.size) : null }
  }
}
