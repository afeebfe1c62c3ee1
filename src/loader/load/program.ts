import { verdictName } from '../../uapi/index.ts'
import type { BackendProgram, RunInput, RunOutput } from '../backend.ts'
import { Pins } from './pins.ts'
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
  /** Where it is pinned, as far as this object knows. @internal */
  readonly pins: Pins

  constructor(prepared: PreparedProgram, raw: BackendProgram) {
    this.name = prepared.spec.name
    this.spec = prepared.spec
    this.prepared = prepared
    this.raw = raw
    this.pins = new Pins(raw, `program ${prepared.spec.name}`)
  }

  /** Runs it once, or `repeat` times, on the given packet or context. @throws BpfError `syscall`, `trap` */
  run(input: RunInput = {}): ProgramRunOutput {
    const output = this.raw.run(input)
    return { ...output, verdict: verdictName(this.spec.type, output.retval) }
  }

  /** Pins it at a path in a bpf file system; it then outlives the process. @throws BpfError `syscall`, `unsupported` */
  pin(path: string): void {
    this.pins.pin(path)
  }

  /** Removes one pin, or all that this object knows of. @throws BpfError `syscall`, `unsupported` */
  unpin(path?: string): void {
    this.pins.unpin(path)
  }

  close(): void {
    this.raw.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
