import { decode, slotsAt, type InsnBuffer } from '../isa/index.ts'
import { ProgType } from '../uapi/index.ts'
import { AccessKind, type WalkFacts } from './verifier/index.ts'

/**
 * What was proved of a program before it is compiled, by a verifier that has followed every path. Engines may rely on
 * it to leave checks out and need none of it; what is wrong here makes a program read or write what it should not, but
 * never memory outside of the machine's.
 */
export interface Facts {
  /**
   * By slot: 1 when the memory access of the instruction (load, store or atomic; not those of calls) is good whenever it
   * runs: the 64-bit address is at least GUARD_SIZE and all bytes are in the machine's memory.
   */
  readonly goodAccess: Uint8Array
  /** By slot: 0 for instructions that no run comes to, when contexts are what Linux would give. */
  readonly reached: Uint8Array
  /** By slot: which way a conditional jump always goes. */
  readonly outcome: Uint8Array
}

/** Which way a conditional jump goes. */
export const Outcome = { OPEN: 0, NEVER_TAKEN: 1, ALWAYS_TAKEN: 2 } as const

/**
 * Types whose contexts the vm makes with `data` and `data_end` around a packet in its memory, whatever the user gives.
 * Others may get a context as bytes, and with it any address.
 */
const PACKET_IN_MEMORY: ReadonlySet<number> = new Set<number>([
  ProgType.XDP,
  ProgType.SCHED_CLS,
  ProgType.SCHED_ACT,
  ProgType.CGROUP_SKB,
  ProgType.LWT_IN,
  ProgType.LWT_OUT,
  ProgType.LWT_XMIT,
])

/**
 * What the verifier's walk means for the vm. Frames, values of maps and records lie in memory above the guard, which
 * never becomes smaller, so that those of elements that are gone can still be read; pointers that may be null are not
 * accepted. Contexts are not known to be as large as the kernel's, and objects of the kernel may be anything, null
 * included: outcomes of conditions are taken from the verifier only where the vm makes the context.
 * @param type bpf_prog_type of the program
 */
export function factsOf({ accesses, reached }: WalkFacts, insns: InsnBuffer, type: number): Facts {
  const ownContext = PACKET_IN_MEMORY.has(type)
  const good = AccessKind.STACK | AccessKind.MAP_VALUE | AccessKind.SLICE | (ownContext ? AccessKind.PACKET : 0)
  return {
    goodAccess: accesses.map((kinds) => (kinds !== 0 && (kinds & ~good) === 0 ? 1 : 0)),
    reached,
    outcome: ownContext ? outcomes(insns, reached) : new Uint8Array(insns.length),
  }
}

/** Linux makes the same jumps unconditional: those with a way on to what is never reached. */
function outcomes(insns: InsnBuffer, reached: Uint8Array): Uint8Array {
  const found = new Uint8Array(insns.length)
  for (let at = 0; at < insns.length; at += slotsAt(insns, at)) {
    if (reached[at] === 0) continue
    const op = decode(insns, at)
    if (op.kind !== 'branch') continue
    if (reached[op.target] === 0) found[at] = Outcome.NEVER_TAKEN
    else if (reached[at + 1] === 0) found[at] = Outcome.ALWAYS_TAKEN
  }
  return found
}
