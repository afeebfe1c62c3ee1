import type { InsnBuffer } from '../../src/isa/index.ts'
import type { Backend, BackendMap, BackendProgram, PreparedProgram, RunInput } from '../../src/loader/index.ts'
import type { ProgramKind } from './fuzz-programs-generate.mts'

export function prepareInsns(type: ProgramKind, insns: InsnBuffer): PreparedProgram
/** A backend with the maps that programs refer to. */
export class Side {
  constructor(name: string, backend: Backend)
  readonly name: string
  readonly backend: Backend
  readonly maps: ReadonlyMap<string, BackendMap>
  reset(): void
  contents(): string
  load(prepared: PreparedProgram): BackendProgram
  close(): void
}
export function outcome(program: BackendProgram, input: RunInput): string
export function hex(bytes: Uint8Array): string
