import type { assemble as assembleText } from '../../src/isa/index.ts'
import type { Backend } from '../../src/loader/index.ts'

export function insnArrayOutcomes(
  backend: Pick<Backend, 'createMap' | 'loadProgram'>,
  assemble: typeof assembleText,
): Record<string, unknown>
