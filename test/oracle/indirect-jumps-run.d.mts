import type { assemble as assembleText } from '../../src/isa/index.ts'
import type { Backend, ProgramRequest } from '../../src/loader/index.ts'

export const PROGRAMS: number
export const INPUTS: number
export function runJumps(
  seed: number,
  backend: Pick<Backend, 'loadProgram'>,
  assemble: typeof assembleText,
  extra?: Partial<ProgramRequest>,
): number[] | string
