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
}

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
 * accepted. Contexts are not known to be as large as the kernel's, and objects of the kernel may be anything.
 * @param type bpf_prog_type of the program
 */
export function factsOf({ accesses }: WalkFacts, type: number): Facts {
  const packet = PACKET_IN_MEMORY.has(type) ? AccessKind.PACKET : 0
  const good = AccessKind.STACK | AccessKind.MAP_VALUE | AccessKind.SLICE | packet
  return { goodAccess: accesses.map((kinds) => (kinds !== 0 && (kinds & ~good) === 0 ? 1 : 0)) }
}
