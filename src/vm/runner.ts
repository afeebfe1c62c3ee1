import { BpfError } from '../bytes/index.ts'
import type { ContextFields, ProgramRunner, RunEffect, RunInput, RunnerOptions } from '../loader/index.ts'
import { AttachType, ProgType, takesPacket } from '../uapi/index.ts'
import { BUDGET_ADDRESS, FUEL_ADDRESS, STACK_TOP_ADDRESS, type CompiledCode } from './engine.ts'
import { AREA } from './area.ts'
import { ProgramException } from './exception.ts'
import type { ContextOutput, RunContext } from './runtime/context/context.ts'
import { testRunError } from './runtime/context/context.ts'
import { createContext, showsPacket } from './runtime/context/index.ts'
import { PROGRAM_STACK_SIZE, STACK_END } from './runtime/layout.ts'
import type { Run, RunningProgram, Runtime } from './runtime/runtime.ts'

/** BPF_F_TEST_RUN_ON_CPU. */
export const RUN_ON_CPU = 1
/** XDP programs that run behind a redirect. */
const XDP_TARGETS: ReadonlySet<number> = new Set<number>([AttachType.XDP_DEVMAP, AttachType.XDP_CPUMAP])
/** Lowest frame of a program that is not tail-called. */
export const STACK_LIMIT: number = STACK_END - PROGRAM_STACK_SIZE
const NOTHING: Uint8Array = new Uint8Array(0)

/** What a runner needs of the program that it runs. */
export interface Runnable extends RunningProgram {
  readonly type: number
  readonly code: CompiledCode
  readonly closed: boolean
  /** Whether its runs have a budget in instructions. */
  readonly hasBudget: boolean
  /** Whether it calls bpf_throw. */
  readonly throws: boolean
  /** What it returns after bpf_throw. */
  exceptional(cookie: bigint): number
}

/** Runs a program on one input after another, in one context. */
export class VmRunner implements ProgramRunner {
  readonly #runtime: Runtime
  readonly #program: Runnable
  readonly #code: CompiledCode
  /** CPU that was asked for; -1 for any. */
  readonly #cpu: number
  /** Input of types whose packet the vm cannot show to the program. */
  readonly #fixed: Uint8Array | null
  /** Null for programs without. */
  readonly #budget: number | null
  readonly #given: Uint8Array | undefined
  /** All of the input, for contexts that are made from it. */
  readonly #whole: RunInput | null
  #context: RunContext | null = null
  #run: Run | null = null

  /** @throws BpfError `syscall` with the errno of BPF_PROG_TEST_RUN */
  constructor(runtime: Runtime, program: Runnable, options: RunnerOptions, whole: RunInput | null = null) {
    this.#whole = whole
    const { cpu = AREA.cpu, flags = 0, ctx, budget } = options
    const asked = checkedCpu(runtime, cpu, flags)
    const any = runtime.options.scheduling ? -1 : AREA.cpu
    this.#cpu = options.cpu === undefined ? any : asked
    if (program.type === ProgType.XDP && XDP_TARGETS.has(program.attachType ?? -1)) {
      throw testRunError('EINVAL', 'programs of devmaps and cpumaps have no test run')
    }
    const hasPacket = takesPacket(program.type)
    if (ctx !== undefined && !hasPacket) {
      throw new BpfError('usage', `${program.name} takes no packet: its context is what it runs on, not an option`)
    }
    this.#budget = budgetFor(runtime, program, budget)
    this.#runtime = runtime
    this.#program = program
    this.#code = program.code
    this.#given = ctx
    this.#fixed =
      hasPacket && !showsPacket(program.type) && program.type !== ProgType.FLOW_DISSECTOR ? (ctx ?? NOTHING) : null
  }

  run(input: Uint8Array): number {
    const runtime = this.#runtime
    const context = this.#context
    const run = this.#run
    // The usual case in few steps; load() and once() do the same in all cases.
    if (context === null || run === null || runtime.occupant !== context || this.#fixed !== null || !runtime.isQuiet) {
      this.load(input)
      return this.once()
    }
    if (this.#program.closed) this.check()
    if (run.trace.length > 0) run.trace = []
    runtime.occupant = null
    context.reset(input)
    runtime.occupant = context
    return this.once()
  }

  get packet(): Uint8Array | null {
    return this.#context?.packetView() ?? null
  }

  /** What the last run asked of the kernel. */
  get effects(): readonly RunEffect[] {
    return this.#run?.effects ?? []
  }

  /** The context by field, when it was given so. */
  get fields(): ContextFields | undefined {
    return this.#context?.fields?.()
  }

  /** Gives back what only this runner's context has. */
  dispose(): void {
    this.#context?.dispose?.()
  }

  /** What the last run took of its budget; 0 when there is none. */
  get instructions(): number {
    return this.#budget === null ? 0 : this.#budget - Number(this.#runtime.memory.u64(FUEL_ADDRESS))
  }

  get trace(): readonly string[] {
    return this.#run?.trace ?? []
  }

  /** @throws BpfError `closed`, `usage` when it cannot run now */
  check(): void {
    if (this.#program.closed) throw programClosed(this.#program.name)
    if (this.#runtime.run !== null) throw new BpfError('usage', 'a program of this vm is running already')
  }

  /** Puts an input in place, for once() and repeat(). */
  load(input: Uint8Array): void {
    const runtime = this.#runtime
    const program = this.#program
    this.check()
    runtime.runDue()
    const bytes = this.#fixed ?? input
    if (this.#context !== null && this.#run !== null) {
      runtime.place(this.#context, bytes)
      if (this.#run.trace.length > 0) this.#run.trace = []
    } else {
      runtime.occupant = null
      const context = createContext(runtime.memory, runtime.kernel, program.type, this.#input(bytes))
      runtime.occupant = this.#context = context
      this.#run = { context, trace: [], programs: [program], stackLimit: STACK_LIMIT }
    }
    if (runtime.hasAsyncTrace) for (const line of runtime.takeAsyncTrace()) this.#run.trace.push(line)
  }

  /** Runs on what was loaded, or what the run before has left; gives the low half of r0. */
  once(): number {
    const runtime = this.#runtime
    runtime.run = this.#run
    if (this.#run?.effects !== undefined) this.#forgetEffects(this.#run)
    if (this.#cpu !== AREA.cpu) runtime.cpu = this.#cpu === -1 ? runtime.nextCpu() : this.#cpu
    if (this.#budget !== null) runtime.memory.setU64(BUDGET_ADDRESS, BigInt(this.#budget))
    try {
      return this.#code.start((this.#context as RunContext).address, STACK_END, STACK_LIMIT)
    } catch (error) {
      this.#recover()
      if (error instanceof ProgramException) return this.#program.exceptional(error.cookie)
      throw error
    } finally {
      runtime.endRun()
      if (this.#cpu !== AREA.cpu) runtime.cpu = AREA.cpu
    }
  }

  /** once() so many times. */
  repeat(times: number): number {
    const runtime = this.#runtime
    // The last run gives the result; in between is the time to reuse what programs have deleted.
    for (let left = times; left > 1;) {
      const single = this.#code.repeat === undefined || this.#program.throws
      const some = single ? 1 : Math.min(left - 1, REPEAT_CHUNK)
      left -= some
      if (single || this.#code.repeat === undefined) {
        this.once()
        continue
      }
      runtime.run = this.#run
      if (this.#cpu !== AREA.cpu) runtime.cpu = this.#cpu === -1 ? runtime.nextCpu() : this.#cpu
      if (this.#budget !== null) runtime.memory.setU64(BUDGET_ADDRESS, BigInt(this.#budget))
      runtime.memory.setU32(STACK_TOP_ADDRESS, STACK_END)
      try {
        this.#code.repeat((this.#context as RunContext).address, some)
      } catch (error) {
        this.#recover()
        throw error
      } finally {
        runtime.endRun()
        if (this.#cpu !== AREA.cpu) runtime.cpu = AREA.cpu
      }
    }
    return this.once()
  }

  output(): ContextOutput {
    return this.#context?.output() ?? { data: null, ctx: null }
  }

  #input(bytes: Uint8Array): RunInput {
    if (this.#whole !== null) return this.#whole
    if (this.#fixed !== null || !takesPacket(this.#program.type)) return { ctx: bytes }
    return this.#given === undefined ? { data: bytes } : { data: bytes, ctx: this.#given }
  }

  #forgetEffects(run: Run): void {
    delete run.effects
    delete run.callerResult
  }

  /** Forgets what a run that was stopped has left. */
  #recover(): void {
    if (this.#run === null) return
    this.#run.programs.splice(0, this.#run.programs.length, this.#program)
    this.#run.stackLimit = STACK_LIMIT
  }
}

/** Runs in WebAssembly before JavaScript has a look. */
const REPEAT_CHUNK = 65_536

/** @throws BpfError `syscall` ENXIO, EINVAL */
export function checkedCpu(runtime: Runtime, cpu: number, flags: number): number {
  if (cpu >= runtime.cpus) throw testRunError('ENXIO', `CPU ${cpu}, the vm has ${runtime.cpus}`)
  if (runtime.memory.isShared && cpu !== AREA.cpu) {
    throw new BpfError('usage', `CPU ${cpu} of the shared vm is another thread's, this one has CPU ${AREA.cpu}`)
  }
  if (cpu !== AREA.cpu && (flags & RUN_ON_CPU) === 0) {
    throw testRunError('EINVAL', `CPU ${cpu} without the flag BPF_F_TEST_RUN_ON_CPU`)
  }
  return cpu
}

/** What each run may take in instructions, null for programs that do not count them. @throws BpfError `usage` */
export function budgetFor(runtime: Runtime, program: Runnable, budget: number | undefined): number | null {
  if (budget !== undefined && !program.hasBudget) {
    throw new BpfError('usage', "budget: load the object with instrument: 'fuel'", { where: { program: program.name } })
  }
  if (budget !== undefined && !(Number.isSafeInteger(budget) && budget >= 0)) {
    throw new BpfError('usage', `budget is ${budget}, expected a whole number of instructions`)
  }
  return program.hasBudget ? (budget ?? runtime.options.fuel) : null
}

export function programClosed(name: string): BpfError {
  return new BpfError('closed', `program ${name} was closed`, { where: { program: name } })
}
