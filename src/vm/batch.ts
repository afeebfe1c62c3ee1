import { isBpfError } from '../bytes/index.ts'
import {
  batchRounds,
  noPacket,
  packetError,
  runEach,
  VerdictCounts,
  type BatchOptions,
  type BatchOutput,
  type BatchTrap,
} from '../loader/index.ts'
import { ProgType } from '../uapi/index.ts'
import { AREA } from './area.ts'
import { BATCH_LEFT_ADDRESS, BATCH_MOVED_ADDRESS, BUDGET_ADDRESS } from './engine.ts'
import { BATCH_RUNS, PacketTable } from './runtime/packets.ts'
import { budgetFor, RUN_ON_CPU, STACK_LIMIT, VmRunner, type Runnable } from './runner.ts'
import { XdpBatchContext } from './runtime/context/xdp-batch.ts'
import { LARGEST_LINEAR, SHORTEST_PACKET } from './runtime/context/xdp.ts'
import { STACK_END } from './runtime/layout.ts'
import type { Run, Runtime } from './runtime/runtime.ts'

/**
 * Runs a program on many packets: XDP programs in the JIT in a loop inside WebAssembly, all others one by one.
 * @throws BpfError of the first packet that fails, unless they are collected
 */
export function runBatch(
  runtime: Runtime,
  program: Runnable,
  packets: readonly Uint8Array[],
  given: BatchOptions,
): BatchOutput {
  const options = onOneCpu(runtime, given)
  const runner = new VmRunner(runtime, program, options)
  const linear = (packet: Uint8Array): boolean => packet.length >= SHORTEST_PACKET && packet.length <= LARGEST_LINEAR
  const fast =
    program.type === ProgType.XDP && program.code.batch !== undefined && options.ctx === undefined && !program.throws
  if (!fast || packets.length === 0 || !packets.every(linear)) return runEach(runner, packets, options)
  runner.check()
  runtime.runDue()
  const batch = new XdpBatch(runtime, program, packets, options)
  try {
    batch.run()
  } finally {
    runtime.occupant = null
    runtime.cpu = AREA.cpu
  }
  const output = batch.output()
  runtime.runDue()
  return output
}

/** The CPU of a batch that names none, where the seed chooses. */
function onOneCpu(runtime: Runtime, options: BatchOptions): BatchOptions {
  if (options.cpu !== undefined || !runtime.options.scheduling) return options
  return { ...options, cpu: runtime.nextCpu(), flags: (options.flags ?? 0) | RUN_ON_CPU }
}

/** One batch of an XDP program. */
class XdpBatch {
  readonly #runtime: Runtime
  readonly #program: Runnable
  readonly #options: BatchOptions
  readonly #table: PacketTable
  readonly #context: XdpBatchContext
  readonly #run: Run
  readonly #count: number
  readonly #verdicts: Uint32Array
  readonly #counts: VerdictCounts = new VerdictCounts()
  readonly #traps: BatchTrap[] = []
  /** Packet and number of runs of the call of the engine that is under way. */
  #first = 0
  #times = 0
  #time = 0

  constructor(runtime: Runtime, program: Runnable, packets: readonly Uint8Array[], options: BatchOptions) {
    this.#runtime = runtime
    this.#program = program
    this.#options = options
    this.#count = packets.length
    this.#verdicts = new Uint32Array(packets.length)
    this.#table = runtime.batchTable(packets)
    this.#context = new XdpBatchContext(runtime.memory, {
      current: (left) => this.#table.entry(this.#packetOf(this.#times - left)),
    })
    this.#run = { context: this.#context, trace: runtime.takeAsyncTrace(), programs: [], stackLimit: STACK_LIMIT }
  }

  run(): void {
    const runs = batchRounds(this.#options) * this.#count
    const runtime = this.#runtime
    runtime.packetMoved = () => this.#table.put(this.#context.moved())
    runtime.memory.setU32(BATCH_MOVED_ADDRESS, 0)
    if (this.#options.cpu !== undefined) runtime.cpu = this.#options.cpu
    const budget = budgetFor(runtime, this.#program, this.#options.budget)
    if (budget !== null) runtime.memory.setU64(BUDGET_ADDRESS, BigInt(budget))
    for (let done = 0; done < runs;) done += this.#some(done, Math.min(BATCH_RUNS, runs - done))
  }

  output(): BatchOutput {
    const runs = batchRounds(this.#options) * this.#count
    const { memory } = this.#runtime
    const table = this.#table
    return {
      runs,
      verdicts: this.#verdicts,
      counts: this.#counts.counts,
      traps: this.#traps,
      durationNs: (this.#time * 1e6) / runs,
      trace: this.#run.trace,
      packet: (index) => {
        if (!(index >= 0 && index < this.#count)) noPacket(index, this.#count)
        return this.#runtime.isBatch(table) ? table.view(index) : memory.u8.subarray(0, 0)
      },
    }
  }

  /** So many runs, or fewer when one is stopped; returns how many. */
  #some(done: number, times: number): number {
    const runtime = this.#runtime
    const { memory } = runtime
    const table = this.#table
    this.#first = done % this.#count
    this.#times = times
    this.#context.forget()
    runtime.run = this.#run
    this.#run.programs.splice(0, this.#run.programs.length, this.#program)
    this.#run.stackLimit = STACK_LIMIT
    const started = performance.now()
    let ended = times
    let problem: unknown = null
    try {
      this.#program.code.batch?.({
        ctx: this.#context.address,
        top: STACK_END,
        limit: STACK_LIMIT,
        table: table.start,
        tableEnd: table.end,
        first: table.entry(this.#first),
        times,
        out: table.out,
      })
    } catch (error) {
      ended = times - memory.u32(BATCH_LEFT_ADDRESS)
      problem = error
    } finally {
      // What programs have deleted may be used again.
      runtime.endRun()
      this.#time += performance.now() - started
    }
    this.#take(ended)
    if (problem === null) return ended
    const index = this.#packetOf(ended)
    if (memory.u32(BATCH_MOVED_ADDRESS) !== 0) table.put(this.#context.moved())
    const error = packetError(problem, index)
    if (this.#options.traps !== 'collect' || !isBpfError(error)) throw error
    this.#traps.push({ packet: index, error })
    this.#verdicts[index] = 0
    return ended + 1
  }

  /** Return values of the last call's first `count` runs. */
  #take(count: number): void {
    const out = new Uint32Array(this.#runtime.memory.wasm.buffer, this.#table.out, count)
    const verdicts = this.#verdicts
    const counts = this.#counts
    let packet = this.#first
    for (let i = 0; i < count; i++) {
      const verdict = out[i] as number
      verdicts[packet] = verdict
      counts.add(verdict)
      if (++packet === this.#count) packet = 0
    }
  }

  /** Packet of the run that is so many runs after the first of this call. */
  #packetOf(run: number): number {
    return (this.#first + run) % this.#count
  }
}
