import { verdictName } from '../../uapi/index.ts'
import type { BackendProgram, RunInput, RunOutput } from '../backend.ts'
import type { PreparedProgram, ProgramSpec } from '../spec.ts'

/** Result of a test run, with the kernel's name for the return value where there is one ("XDP_DROP"). */
export interface ProgramRunOutput extends RunOutput {
  readonly verdict: string | null
}

/** A program in a backend. */
export class LoadedProgram {
  readonly name: string
  readonly spec: ProgramSpec
  /** What was loaded: all functions joined, CO-RE applied, before the backend put in descriptors and addresses. */
  readonly prepared: PreparedProgram
  /** The backend's program. */
  readonly raw: BackendProgram

  constructor(prepared: PreparedProgram, raw: BackendProgram) {
    this.name = prepared.spec.name
    this.spec = prepared.spec
    this.prepared = prepared
    this.raw = raw
  }

  /** Runs it once, or `repeat` times, on the given packet or context. @throws BpfError `syscall`, `trap` */
  run(input: RunInput = {}): ProgramRunOutput {
    const output = this.raw.run(input)
    return { ...output, verdict: verdictName(this.spec.type, output.retval) }
  }

  close(): void {
    this.raw.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
