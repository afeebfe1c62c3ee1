import { BpfError } from '../../../bytes/index.ts'
import type { ContextFields } from '../../../loader/index.ts'
import type { LinearMemory } from '../memory.ts'

/** Result of a run that the context holds: what BPF_PROG_TEST_RUN copies out. */
export interface ContextOutput {
  readonly data: Uint8Array | null
  readonly ctx: Uint8Array | null
}

/**
 * The context of one run: where its structure lies and what helpers may do with it. Structures lie in linear memory
 * in the layout that user space sees (struct xdp_md, struct __sk_buff ...). Pointers in them are 32 bits in the user
 * layout already and the memory has 32-bit addresses, so that loads of context fields need no rewriting, unlike in
 * the kernel.
 */
export interface RunContext {
  readonly kind: 'xdp' | 'skb' | 'raw' | 'struct'
  /** What r1 holds. */
  readonly address: number
  /** LD_ABS and LD_IND: big-endian, or null when the packet has no such bytes. */
  loadPacket(offset: number, size: number): number | null
  output(): ContextOutput
  /**
   * Starts anew with another packet (or, where there is none, context bytes), as a new context with the same other
   * input would. When another context has used the memory in between, claim() comes before.
   * @throws BpfError as the constructor
   */
  reset(input: Uint8Array): void
  /** Another context has used the memory. */
  claim(): void
  /** Fields by name after the run, where they were given by name. */
  fields?(): ContextFields
  /** Gives memory back that only this context has. */
  dispose?(): void
  /** The packet after the run, as a view of the memory where it lies there in one piece; null when there is none. */
  packetView(): Uint8Array | null
}

/** What a test run fails with, as BPF_PROG_TEST_RUN does. */
export function testRunError(errno: string, message: string): BpfError {
  return new BpfError('syscall', `test run: ${errno}: ${message}`, { errno })
}

/**
 * The user's context in a buffer of the structure's size. A longer one must have zeros behind it (E2BIG).
 */
export function contextBytes(given: Uint8Array | undefined, size: number): Uint8Array | null {
  if (given === undefined) return null
  if (given.subarray(size).some((byte) => byte !== 0)) {
    throw testRunError('E2BIG', `the context has ${given.length} bytes, at most ${size} may differ from 0`)
  }
  const bytes = new Uint8Array(size)
  bytes.set(given.subarray(0, size))
  return bytes
}

/** Big-endian number at an address. */
export function readBigEndian(memory: LinearMemory, address: number, size: number): number {
  switch (size) {
    case 1:
      return memory.view.getUint8(address)
    case 2:
      return memory.view.getUint16(address, false)
    default:
      return memory.view.getUint32(address, false)
  }
}
