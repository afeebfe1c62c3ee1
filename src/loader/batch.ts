import { BpfError, isBpfError } from '../bytes/index.ts'
import type { BackendProgram } from './backend.ts'

/** What stays the same from run to run. */
export interface RunnerOptions {
  /** Context structure as bytes, as in a test run; not for types without packets, whose context is the input. */
  readonly ctx?: Uint8Array
  readonly cpu?: number
  /** BPF_F_TEST_* flags. */
  readonly flags?: number
  /** Instructions that each run may take, for programs that were loaded with instrument `fuel`. */
  readonly budget?: number
}

/** A program made ready to run on one input after another, with as little as possible done for each. */
export interface ProgramRunner {
  /**
   * Runs the program on a packet; for types that have none, on a context. Returns what it returns, 32 bits unsigned.
   * @throws BpfError `syscall` (errno of BPF_PROG_TEST_RUN), `trap` (vm)
   */
  run(input: Uint8Array): number
  /**
   * Packet after the last run, null for types without one. In the vm a view of its memory: good until the next run of
   * any program or change of a map; copy it (`slice()`) to keep it.
   */
  readonly packet: Uint8Array | null
  /** What the last run took of its budget in instructions, for programs that were loaded with instrument `fuel`. */
  readonly instructions?: number
  /** Lines that the last run printed (bpf_trace_printk), where the backend can see them. */
  readonly trace: readonly string[]
}

/** A packet of a batch: bytes, or a record of a capture. */
export type BatchPacket = Uint8Array | { readonly data: Uint8Array }

export interface BatchOptions extends RunnerOptions {
  /**
   * How often to go through all packets; default 1. From the second time on a program finds packets as it left them.
   */
  readonly repeat?: number
  /** What a packet does whose run was stopped: end the batch with that error (default), or be noted in `traps`. */
  readonly traps?: 'throw' | 'collect'
}

/** A run of a batch that was stopped. */
export interface BatchTrap {
  /** Index of the packet. */
  readonly packet: number
  readonly error: BpfError
}

/** What came out of a batch. */
export interface BatchOutput {
  /** Runs, those that were stopped included. */
  readonly runs: number
  /** Return value for each packet, the last one with `repeat`; 0 for a run that was stopped. */
  readonly verdicts: Uint32Array
  /** How many runs returned a value, of those that ended. */
  readonly counts: ReadonlyMap<number, number>
  readonly traps: readonly BatchTrap[]
  /** Average time of a run in ns. */
  readonly durationNs: number
  /** Lines of bpf_trace_printk. */
  readonly trace: readonly string[]
  /**
   * Packet `index` as the program left it. In the vm it may be a view of its memory: good until the next batch or change
   * of a map; copy it (`slice()`) to keep it.
   */
  readonly packet: (index: number) => Uint8Array
}

/** Counts return values; batches mostly return the same one again and again. */
export class VerdictCounts {
  readonly #counts: Map<number, number> = new Map()
  #last = -1
  #length = 0

  add(verdict: number): void {
    if (verdict === this.#last) {
      this.#length++
      return
    }
    this.#flush()
    this.#last = verdict
    this.#length = 1
  }

  get counts(): Map<number, number> {
    this.#flush()
    return this.#counts
  }

  #flush(): void {
    if (this.#length > 0) this.#counts.set(this.#last, (this.#counts.get(this.#last) ?? 0) + this.#length)
    this.#length = 0
  }
}

/** An error of one packet of a batch, which says which one it is. */
export function packetError(error: unknown, packet: number): unknown {
  if (!isBpfError(error)) return error
  return new BpfError(error.code, `packet ${packet}: ${error.message}`, {
    where: error.where,
    cause: error,
    ...(error.errno === undefined ? {} : { errno: error.errno }),
  })
}

/** The bytes of the packets of a batch. */
export function packetBytes(packets: readonly BatchPacket[]): Uint8Array[] {
  return packets.map((packet) => (packet instanceof Uint8Array ? packet : packet.data))
}

/** @throws BpfError `usage` */
export function batchRounds(options: BatchOptions): number {
  const rounds = options.repeat ?? 1
  if (!Number.isSafeInteger(rounds) || rounds < 1) {
    throw new BpfError('usage', `repeat is ${rounds}, expected a whole number from 1 on`)
  }
  return rounds
}

/** A runner for a backend that only has single runs. */
export function plainRunner(program: BackendProgram, hasPacket: boolean, options: RunnerOptions): ProgramRunner {
  let packet: Uint8Array | null = null
  let trace: readonly string[] = []
  return {
    run(input) {
      const output = program.run(hasPacket ? { ...options, data: input } : { ...options, ctx: input })
      packet = output.data
      trace = output.trace
      return output.retval
    },
    get packet() {
      return packet
    },
    get trace() {
      return trace
    },
  }
}

/**
 * A batch by single runs. `now` in ms; `runner` keeps nothing of its own from run to run.
 * @throws BpfError of the first packet that fails, unless they are collected
 */
export function runEach(
  runner: ProgramRunner,
  packets: readonly Uint8Array[],
  options: BatchOptions,
  afterRun: () => void = () => {},
): BatchOutput {
  const rounds = batchRounds(options)
  const state = packets.slice()
  const verdicts = new Uint32Array(packets.length)
  const counts = new VerdictCounts()
  const traps: BatchTrap[] = []
  const trace: string[] = []
  let time = 0
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < state.length; i++) {
      const started = performance.now()
      try {
        const verdict = runner.run(state[i] as Uint8Array)
        verdicts[i] = verdict
        counts.add(verdict)
        const { packet } = runner
        if (packet !== null) state[i] = packet.slice()
      } catch (error) {
        const located = packetError(error, i)
        if (options.traps !== 'collect' || !isBpfError(located)) throw located
        traps.push({ packet: i, error: located })
        verdicts[i] = 0
      } finally {
        time += performance.now() - started
      }
      for (const line of runner.trace) trace.push(line)
      afterRun()
    }
  }
  const runs = rounds * packets.length
  return {
    runs,
    verdicts,
    counts: counts.counts,
    traps,
    durationNs: runs === 0 ? 0 : (time * 1e6) / runs,
    trace,
    packet: (index) => state[index] ?? noPacket(index, packets.length),
  }
}

export function noPacket(index: number, count: number): never {
  throw new BpfError('usage', `there is no packet ${index}, the batch has ${count}`)
}
