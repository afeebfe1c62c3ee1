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
