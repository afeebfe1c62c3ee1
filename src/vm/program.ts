import type { Btf } from '../btf/index.ts'
import type {
  BatchOptions,
  BatchOutput,
  InstructionStep,
  ProgramSpec,
  RunInput,
  RunnerOptions,
  RunOutput,
} from '../loader/index.ts'
import { takesPacket } from '../uapi/index.ts'
import { runBatch } from './batch.ts'
import { NO_TAIL_ENTRY, REGS_ADDRESS, STACK_TOP_ADDRESS, type CompiledCode } from './engine.ts'
import type { ExceptionFacts } from './exception.ts'
import type { ProgramInstruments } from './instruments.ts'
import { programClosed, VmRunner, type Runnable } from './runner.ts'
import { isMadeAnew } from './runtime/context/index.ts'
import { STACK_END } from './runtime/layout.ts'
import type { VmMap } from './runtime/maps/map.ts'
import type { Runtime } from './runtime/runtime.ts'

const NOTHING: Uint8Array = new Uint8Array(0)

/** A program that is loaded in the vm. */
export class VmProgram implements Runnable {
  readonly type: number
  readonly name: string
  readonly id: number
  readonly fd: null = null
  /** The verifier's log, empty unless one was asked for. */
  readonly log: string
  readonly btf: Btf | null
  readonly #runtime: Runtime
  readonly code: CompiledCode
  /** The program in the interpreter, made when first asked for. */
  readonly #interpreted: () => CompiledCode
  readonly #instruments: ProgramInstruments | null
  #detached: CompiledCode | null = null
  readonly attachType: number | null
  /** The function that makes the result of what bpf_throw is given; null for the value itself. */
  readonly #handler: number | null
  readonly #maps: readonly VmMap[]
  readonly throws: boolean
  closed: boolean = false
  #users = 0
  #runner: VmRunner | null = null

  constructor(
    runtime: Runtime,
    spec: ProgramSpec,
    code: CompiledCode,
    maps: readonly VmMap[],
    btf: Btf | null,
    interpreted: () => CompiledCode,
    log: string,
    instruments: ProgramInstruments | null = null,
    exceptions: ExceptionFacts = { throws: false, handler: null },
  ) {
    this.log = log
    this.#instruments = instruments
    this.#interpreted = interpreted
    this.btf = btf
    this.#runtime = runtime
    this.code = code
    this.#maps = maps
    this.attachType = spec.attachType
    this.throws = exceptions.throws
    this.#handler = exceptions.handler
    this.name = spec.name
    this.type = spec.type
    this.id = runtime.nextId()
    for (const map of maps) map.retain()
  }

  /**
   * Runs the program as BPF_PROG_TEST_RUN does; unlike the kernel it takes every program type. `repeat` runs go on
   * with the packet and context that the run before has left.
   * @throws BpfError `syscall` with the errno of BPF_PROG_TEST_RUN, `trap` when the program was stopped
   */
  run(input: RunInput): RunOutput {
    const hasPacket = takesPacket(this.type)
    const anew = isMadeAnew(this.type, input)
    const runner = anew ? this.#runnerOf(input) : this.#runnerFor(input, hasPacket)
    runner.load((hasPacket ? input.data : input.ctx) ?? NOTHING)
    const repeat = input.repeat ?? 1
    const started = performance.now()
    const retval = repeat > 1 ? runner.repeat(repeat) : runner.once()
    const elapsed = performance.now() - started
    const { data, ctx } = runner.output()
    this.#runtime.runDue()
    const durationNs = repeat > 1 ? (elapsed * 1e6) / repeat : elapsed * 1e6
    const { trace, effects } = runner
    const shown = input.ctx === undefined && input.fields === undefined ? null : ctx
    // Spreading objects would double the time of a run.
    const output: { -readonly [K in keyof RunOutput]: RunOutput[K] } = { retval, data, ctx: shown, durationNs, trace }
    if (effects.length > 0) output.effects = effects
    if (this.hasBudget) output.instructions = runner.instructions
    if (!anew) return output
    const fields = input.fields === undefined ? undefined : runner.fields
    runner.dispose()
    if (fields !== undefined) output.fields = fields
    return output
  }

  /** @throws BpfError `syscall`, `closed` */
  runner(options: RunnerOptions): VmRunner {
    if (this.closed) throw programClosed(this.name)
    return new VmRunner(this.#runtime, this, options)
  }

  /** @throws BpfError `syscall`, `trap`, `usage` */
  runBatch(packets: readonly Uint8Array[], options: BatchOptions): BatchOutput {
    return runBatch(this.#runtime, this, packets, options)
  }

  /** A runner for one input, whose context is made from all of it. */
  #runnerOf(input: RunInput): VmRunner {
    if (this.closed) throw programClosed(this.name)
    const { cpu, flags, budget } = input
    const options = {
      ...(cpu === undefined ? {} : { cpu }),
      ...(flags === undefined ? {} : { flags }),
      ...(budget === undefined ? {} : { budget }),
    }
    return new VmRunner(this.#runtime, this, options, input)
  }

  /** A runner with these options; the one without any is kept. */
  #runnerFor(input: RunInput, hasPacket: boolean): VmRunner {
    const { cpu, flags, ctx, budget } = input
    const isPlain = cpu === undefined && flags === undefined && budget === undefined
    if (isPlain && (ctx === undefined || !hasPacket)) return (this.#runner ??= this.runner({}))
    return this.runner({
      ...(cpu === undefined ? {} : { cpu }),
      ...(flags === undefined ? {} : { flags }),
      ...(budget === undefined ? {} : { budget }),
      ...(ctx === undefined || !hasPacket ? {} : { ctx }),
    })
  }

  hits(): Float64Array | null {
    return this.#instruments?.hits() ?? null
  }

  steps(): InstructionStep[] {
    return this.#instruments?.steps() ?? []
  }

  resetInstruments(): void {
    this.#instruments?.reset()
  }

  get hasBudget(): boolean {
    return this.#instruments !== null && this.#instruments.instrumentation.charges !== null
  }

  /** Runs on a context that lies in memory; r0 is in the register area afterwards. */
  enter(ctx: number): void {
    const programs = this.#runtime.run?.programs
    programs?.push(this)
    try {
      this.code.run(ctx)
    } finally {
      programs?.pop()
    }
  }

  /** What the program returns after bpf_throw. */
  exceptional(cookie: bigint): number {
    const runtime = this.#runtime
    if (this.#handler === null) runtime.setResult(cookie)
    else {
      runtime.memory.setU32(STACK_TOP_ADDRESS, STACK_END)
      runtime.memory.setU64(REGS_ADDRESS + 8, cookie)
      this.code.call(this.#handler)
    }
    return runtime.low(0)
  }

  callback(index: number): void {
    if (this.#runtime.run?.detached === true) {
      // The JIT has callbacks inside of runs only; timers and work are rare enough for the interpreter.
      this.#detached ??= this.#interpreted()
      this.#detached.call(index)
      return
    }
    this.code.call(index)
  }

  retain(): void {
    this.#users++
  }

  drop(): void {
    this.#users--
    if (this.closed && this.#users === 0) this.#free()
  }

  /** No more runs; slots of prog arrays keep it until they are emptied. */
  close(): void {
    if (this.closed) return
    this.closed = true
    if (this.#users === 0) this.#free()
  }

  #free(): void {
    for (const map of this.#maps) map.drop()
    this.#instruments?.release()
  }

  retainTail(place?: number): number {
    return this.code.retainTail?.(place) ?? NO_TAIL_ENTRY
  }

  releaseTail(): void {
    this.code.releaseTail?.()
  }
}
