import { CONTEXT_ADDRESS, CONTEXT_SIZE } from '../layout.ts'
import type { LinearMemory } from '../memory.ts'
import { testRunError, type ContextOutput, type RunContext } from './context.ts'

/**
 * Context bytes as they are: pt_regs, tracepoint records, the u64 arguments of raw and BTF tracepoints, and whatever
 * other program types have. What is not given reads as zero.
 */
export class RawContext implements RunContext {
  readonly kind: 'raw' = 'raw' as const
  readonly address: number = CONTEXT_ADDRESS
  readonly #memory: LinearMemory
  /** Bytes that were given. */
  readonly size: number
  readonly #returned: boolean

  /** @param returned whether the context is copied out after the run (syscall programs, and those of the vm only) */
  constructor(memory: LinearMemory, ctx: Uint8Array | undefined, returned: boolean) {
    const size = ctx?.length ?? 0
    if (size > CONTEXT_SIZE) {
      throw testRunError('EINVAL', `the context has ${size} bytes, at most ${CONTEXT_SIZE} are possible`)
    }
    memory.fill(CONTEXT_ADDRESS, 0, CONTEXT_SIZE)
    if (ctx !== undefined) memory.write(CONTEXT_ADDRESS, ctx)
    this.#memory = memory
    this.size = size
    this.#returned = returned && ctx !== undefined
  }

  loadPacket(_offset: number, _size: number): number | null {
    return null
  }

  output(): ContextOutput {
    return { data: null, ctx: this.#returned ? this.#memory.read(CONTEXT_ADDRESS, this.size) : null }
  }
}
