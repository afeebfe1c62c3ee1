import { BpfError, decodeUtf8 } from '../../bytes/index.ts'
import { takesPacket, verdictName } from '../../uapi/index.ts'
import { Pins } from './pins.ts'
import type { AttachObject, Backend, BackendProgram, ProgramStream, RunInput, RunOutput } from '../backend.ts'
import {
  packetBytes,
  plainRunner,
  runEach,
  type BatchOptions,
  type BatchOutput,
  type BatchPacket,
  type ProgramRunner,
  type RunnerOptions,
} from '../batch.ts'
import type { InstructionStep } from '../instrument.ts'
import { programCoverage, type ProgramCoverage } from './coverage.ts'
import type { AttachOptions, Link } from '../link.ts'
import type { PreparedProgram, ProgramSpec } from '../spec.ts'

/** Result of a test run, with the kernel's name for the return value where there is one ("XDP_DROP"). */
export interface ProgramRunOutput extends RunOutput {
  readonly verdict: string | null
}

type Writable<T> = { -readonly [K in keyof T]: T[K] }

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
  readonly #backend: Backend

  readonly #object: AttachObject | null

  constructor(prepared: PreparedProgram, raw: BackendProgram, backend: Backend, object: AttachObject | null = null) {
    this.#object = object
    this.name = prepared.spec.name
    this.spec = prepared.spec
    this.prepared = prepared
    this.raw = raw
    this.pins = new Pins(raw, `program ${prepared.spec.name}`)
    this.#backend = backend
  }

  /** Runs it once, or `repeat` times, on the given packet or context. @throws BpfError `syscall`, `trap` */
  run(input: RunInput = {}): ProgramRunOutput {
    const { retval, data, ctx, durationNs, trace, effects, instructions, fields } = this.raw.run(input)
    const verdict = verdictName(this.spec.type, retval)
    // Spreading objects takes longer than many a program.
    const output: Writable<ProgramRunOutput> = { retval, verdict, data, ctx, durationNs, trace }
    if (effects !== undefined) output.effects = effects
    if (instructions !== undefined) output.instructions = instructions
    if (fields !== undefined) output.fields = fields
    return output
  }

  /**
   * The program made ready to run on one packet (or context) after another: in the vm that takes tens of nanoseconds a
   * run, because nothing is allocated or copied out.
   * @throws BpfError `syscall`, `usage`
   */
  runner(options: RunnerOptions = {}): ProgramRunner {
    return this.raw.runner?.(options) ?? plainRunner(this.raw, takesPacket(this.spec.type), options)
  }

  /**
   * Runs it on many packets, one after the other. XDP programs in the vm's JIT loop inside WebAssembly. Types without
   * packets take contexts. Captures: `runBatch(parseCapture(bytes).packets)`. Timers of the vm fire before and after.
   * @throws BpfError of the first packet that fails, unless option `traps` is 'collect'
   */
  runBatch(packets: readonly BatchPacket[], options: BatchOptions = {}): BatchOutput {
    const bytes = packetBytes(packets)
    return this.raw.runBatch?.(bytes, options) ?? runEach(this.runner(options), bytes, options)
  }

  /**
   * Takes what the program printed to a stream with bpf_stream_printk, or what the kernel reported about it to `stderr`
   * (Linux 6.17). @throws BpfError `unsupported` in the vm, `syscall`
   */
  readStream(stream: ProgramStream = 'stdout'): string {
    if (this.raw.readStream === undefined) {
      throw new BpfError('unsupported', `program ${this.name}: the ${this.#backend.name} has no streams`, {
        where: { program: this.name },
      })
    }
    return decodeUtf8(this.raw.readStream(stream))
  }

  /**
   * What of the program ran, by instruction and C line, since it was loaded or it was reset.
   * @throws BpfError `usage` when it was not loaded with instrument `coverage` or `count`
   */
  coverage(): ProgramCoverage {
    const hits = this.raw.hits?.() ?? null
    if (hits !== null) return programCoverage(this.prepared, hits)
    throw new BpfError('usage', "coverage: load the object with instrument: 'coverage' or 'count'", {
      where: { program: this.name },
    })
  }

  /** The last 65,536 instructions that ran, when it was loaded with instrument `trace`; otherwise none. */
  steps(): InstructionStep[] {
    return this.raw.steps?.() ?? []
  }

  /** Forgets which instructions ran. */
  resetInstruments(): void {
    this.raw.resetInstruments?.()
  }

  /** Pins it at a path in a bpf file system; it then outlives the process. @throws BpfError `syscall`, `unsupported` */
  pin(path: string): void {
    this.pins.pin(path)
  }

  /** Removes one pin, or all that this object knows of. @throws BpfError `syscall`, `unsupported` */
  unpin(path?: string): void {
    this.pins.unpin(path)
  }

  /**
   * Attaches it where its section and the options say, in the kernel. It stays attached until the link is closed, also
   * when the program is closed before. Links of iterators are {@link IteratorLink}s.
   * @throws BpfError `unsupported` in the vm and for kinds that no link attaches; `usage`, `not-found`, `syscall`
   */
  attach(options: AttachOptions = {}): Link {
    const { spec } = this
    if (this.#backend.attach === undefined) {
      throw new BpfError(
        'unsupported',
        `program ${this.name}: the ${this.#backend.name} has nothing to attach to; run() it, or load it into the kernel`,
        { where: { program: this.name, section: spec.section } },
      )
    }
    return this.#backend.attach(this.raw, spec, options, this.#object)
  }

  close(): void {
    this.raw.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
