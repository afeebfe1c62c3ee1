/**
 * The part of the memory that this thread runs programs in. In a thread that was made for a shared vm it is another one
 * for each CPU, said before any of this code is loaded (see worker.ts), so that addresses are constants for V8.
 */
export interface Area {
  /** Added to addresses inside the guard. */
  readonly guard: number
  /** Added to addresses of stacks, context and packet. */
  readonly run: number
  readonly cpu: number
}

/** Bytes of the guard that a CPU needs, from 896 to 1072, and where those of other CPUs than the first begin. */
export const GUARD_AREA_SIZE = 256
export const GUARD_AREAS = 16384
/** What the first CPU has from there on belongs to it. */
export const GUARD_AREA_START = 832

const said = (globalThis as { [key: symbol]: Area | undefined })[Symbol.for('elfbee.vm.area')]

export const AREA: Area = said ?? { guard: 0, run: 0, cpu: 0 }
