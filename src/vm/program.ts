import { BpfError } from '../bytes/index.ts'
import type { ProgramSpec, RunInput, RunOutput } from '../loader/index.ts'
import { AttachType, ProgType } from '../uapi/index.ts'
import { STACK_TOP_ADDRESS, type CompiledCode } from './engine.ts'
import { createContext } from './runtime/context/index.ts'
import { PROGRAM_STACK_SIZE, STACK_END } from './runtime/layout.ts'
import type { VmMap } from './runtime/maps/map.ts'
import type { Run, RunningProgram, Runtime } from './runtime/runtime.ts'

const RUN_ON_CPU = 1
/** XDP programs that run behind a redirect. */
const XDP_TARGETS: ReadonlySet<number> = new Set<number>([AttachType.XDP_DEVMAP, AttachType.XDP_CPUMAP])

/** A program that is loaded in the vm. */
export class VmProgram implements RunningProgram {
  readonly type: number
  readonly name: string
  readonly id: number
  readonly fd: null = null
  readonly log: string = ''
  readonly #runtime: Runtime
  readonly #code: CompiledCode
  readonly #attachType: number | null
  readonly #maps: readonly VmMap[]
  #closed = false
  #users = 0

  constructor(runtime: Runtime, spec: ProgramSpec, code: CompiledCode, maps: readonly VmMap[]) {
    this.#runtime = runtime
    this.#code = code
    this.#maps = maps
    this.#attachType = spec.attachType
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
    if (this.#closed) throw new BpfError('closed', `program ${this.name} was closed`, { where: { program: this.name } })
    const runtime = this.#runtime
    if (runtime.run !== null) throw new BpfError('usage', 'a program of this vm is running already')
    const cpu = input.cpu ?? 0
    if (cpu >= runtime.cpus) {
      throw new BpfError('syscall', `test run: ENXIO: CPU ${cpu}, the vm has ${runtime.cpus}`, { errno: 'ENXIO' })
    }
    if (cpu !== 0 && ((input.flags ?? 0) & RUN_ON_CPU) === 0) {
      throw new BpfError('syscall', `test run: EINVAL: CPU ${cpu} without the flag BPF_F_TEST_RUN_ON_CPU`, {
        errno: 'EINVAL',
      })
    }
    if (this.type === ProgType.XDP && XDP_TARGETS.has(this.#attachType ?? -1)) {
      throw new BpfError('syscall', 'test run: EINVAL: programs of devmaps and cpumaps have no test run', {
        errno: 'EINVAL',
      })
    }
    const repeat = Math.max(1, input.repeat ?? 1)
    const context = createContext(runtime.memory, this.type, input)
    const trace: string[] = []
    runtime.cpu = cpu
    let retval = 0
    let started = 0
    let elapsed = 0
    try {
      started = performance.now()
      const newRun = (): Run => ({
        context,
        trace,
        tailCalls: 0,
        programs: [],
        stackLimit: STACK_END - PROGRAM_STACK_SIZE,
      })
      if (repeat === 1 || !this.#repeat(newRun(), repeat)) {
        for (let i = 0; i < repeat; i++) this.#once(newRun())
      }
      retval = runtime.low(0)
      elapsed = performance.now() - started
    } finally {
      runtime.endRun()
      runtime.cpu = 0
    }
    const { data, ctx } = context.output()
    return { retval, data, ctx, durationNs: (elapsed * 1e6) / repeat, trace }
  }

  /** Runs on a context that lies in memory; r0 is in the register area afterwards. */
  enter(ctx: number): void {
    const programs = this.#runtime.run?.programs
    programs?.push(this)
    try {
      this.#code.run(ctx)
    } finally {
      programs?.pop()
    }
  }

  callback(index: number): void {
    this.#code.call(index)
  }

  retain(): void {
    this.#users++
  }

  drop(): void {
    this.#users--
    if (this.#closed && this.#users === 0) this.#free()
  }

  /** No more runs; slots of prog arrays keep it until they are emptied. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    if (this.#users === 0) this.#free()
  }

  #free(): void {
    for (const map of this.#maps) map.drop()
  }

  #once(run: Run): void {
    const runtime = this.#runtime
    runtime.run = run
    runtime.memory.setU32(STACK_TOP_ADDRESS, STACK_END)
    this.enter(run.context.address)
  }

  /** All runs by one call of the engine; false when it cannot do that. */
  #repeat(run: Run, times: number): boolean {
    const runtime = this.#runtime
    runtime.run = run
    runtime.memory.setU32(STACK_TOP_ADDRESS, STACK_END)
    run.programs.push(this)
    return this.#code.repeat?.(run.context.address, times) ?? false
  }
}

/** Types whose programs follow kernel pointers; a load that faults reads zero there. */
export const FAULTS_READ_ZERO: ReadonlySet<number> = new Set<number>([
  ProgType.KPROBE,
  ProgType.TRACEPOINT,
  ProgType.PERF_EVENT,
  ProgType.RAW_TRACEPOINT,
  ProgType.RAW_TRACEPOINT_WRITABLE,
  ProgType.TRACING,
  ProgType.LSM,
  ProgType.STRUCT_OPS,
  ProgType.EXT,
])
