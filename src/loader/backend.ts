import type { Btf } from '../btf/index.ts'
import type { KconfigFacts } from './prepare/kconfig.ts'
import type { ModuleBtf } from './prepare/ksyms.ts'
import type { BatchOptions, BatchOutput, ProgramRunner, RunnerOptions } from './batch.ts'
import type { ContextFields } from './context-fields.ts'
import type { InstructionStep, Instrument } from './instrument.ts'
import type { AttachOptions, Link } from './link.ts'
import type { MapSpec, PreparedProgram, ProgramSpec, StructOpsAttach, StructOpsLayout } from './spec.ts'

/** What a backend needs to create one map. */
export interface MapRequest {
  readonly spec: MapSpec
  /** Name to give the kernel (at most 15 characters). */
  readonly kernelName: string
  /** The object's BTF, which key and value type ids refer to; null for none. */
  readonly btf: Btf | null
  /** A map made from `spec.inner`, which serves as template of map-in-map types. */
  readonly inner: BackendMap | null
  /** For struct_ops maps: how the kernel has the type. */
  readonly structOps?: StructOpsLayout
  /** The only program that may use the map. */
  readonly exclusiveTo?: PreparedProgram
}

/** What a backend needs to load one program. */
export interface ProgramRequest {
  readonly program: PreparedProgram
  readonly license: string
  /** Kernel version of old kprobe objects (section `version`), 0 for none. */
  readonly version: number
  readonly btf: Btf | null
  /** Created maps by name; late references name them. */
  readonly maps: ReadonlyMap<string, BackendMap>
  /** Read-only data maps to bind to the program (BPF_PROG_BIND_MAP). */
  readonly bindMaps: readonly BackendMap[]
  /** Verifier log: 0 silent first (then retried with a log on failure), 1, 2, or 4 for statistics. */
  readonly logLevel: number
  /** What the program does beside running; absent for nothing. Backends without instruments are not asked. */
  readonly instrument?: Instrument
  /** For struct_ops programs: what the program implements. */
  readonly structOps?: StructOpsAttach
  /** Whether the vm verifies the program, where the vm's own setting is not to hold. A kernel always does. */
  readonly verify?: boolean
}

/**
 * A map in a backend. Keys and values are bytes; typed access is built on top. Values of per-CPU maps are the
 * values of all possible CPUs one after the other, each rounded up to 8 bytes.
 * Failures are BpfError `syscall` with the errno that the kernel gives for the same misuse.
 */
export interface BackendMap {
  readonly type: number
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  readonly flags: number
  /** Attribute map_extra, where the backend knows of it. */
  readonly mapExtra?: bigint
  /** CPUs in a per-CPU value, 1 for other maps. */
  readonly valueCount: number
  /** Kernel map id, or a number that is unique in the vm. */
  readonly id: number
  /** Descriptor in the kernel backend, null in the vm. */
  readonly fd: number | null
  /**
   * A copy of the value, or null when there is none (ENOENT). A bloom filter is asked for a value in the key's place, and
   * gives it when it may have been added.
   */
  lookup(key: Uint8Array, flags?: number): Uint8Array | null
  update(key: Uint8Array, value: Uint8Array, flags?: number): void
  /** False when there was no such key. */
  delete(key: Uint8Array): boolean
  /** Key after `key`, the first one for null; null at the end. */
  nextKey(key: Uint8Array | null): Uint8Array | null
  lookupAndDelete(key: Uint8Array, flags?: number): Uint8Array | null
  /**
   * Up to `count` elements from `cursor` (null for the first); absent where elements are only read one by one. Hash maps
   * give whole buckets: when one does not fit, the kernel says ENOSPC and a larger count helps.
   * @throws BpfError `syscall`
   */
  lookupBatch?(cursor: Uint8Array | null, count: number, options?: MapBatchOptions): MapBatch
  /** Writes elements; keys and values stand back to back. Returns how many were written. @throws BpfError `syscall` */
  updateBatch?(keys: Uint8Array, values: Uint8Array, flags?: number): number
  /** Deletes elements; a missing key ends it with ENOENT. @throws BpfError `syscall` */
  deleteBatch?(keys: Uint8Array): number
  /** Puts another map (map-in-map) or a program (prog array) in a slot. */
  setSlot(key: Uint8Array, target: BackendMap | BackendProgram): void
  /** User space may not write any more. */
  freeze(): void
  /**
   * Takes what a ring buffer or perf event array holds; returns how many records were handed to `record`. `limit` is
   * the most to take, where the backend heeds it (the kernel does).
   */
  drain(record: (data: Uint8Array, cpu: number) => void, limit?: number): number
  /** As drain(), without an object for each record; absent where that would be no faster. */
  consume?(sink: RecordSink, limit?: number): number
  /** Records that a producer could not store, when known. */
  readonly lost: number
  /** Pins it at a path; absent where there are no pins. @throws BpfError `syscall` */
  pin?(path: string): void
  /**
   * Pins several maps and programs of this backend at their paths: all of them, or none when one fails or the process is
   * killed meanwhile.
   * @throws BpfError `syscall`
   */
  pinTogether?(pins: readonly PinTarget[]): void
  /** Removes a pin. @throws BpfError `syscall` */
  unpin?(path: string): void
  /**
   * Puts a record in a user ring buffer; false when there is no room now. Absent where no program could take it.
   * @throws BpfError `usage` for other maps and for records that never fit
   */
  produce?(record: Uint8Array): boolean
  /** What became of the events of this map; absent where nothing is counted. */
  eventCounters?(): EventCounters
  /**
   * Waits for events; absent where they only come while a program is run. `ended` is called when the map is closed.
   * Records that a limit leaves behind do not count as news: drain until there are none, then wait.
   * @throws BpfError `usage` for other maps
   */
  watch?(ready: () => void, ended: () => void): EventWatch
  /** Live memory of all values of an array that can be mapped, null for other maps; absent where nothing can. */
  liveMemory?(): Uint8Array | null
  close(): void
}

/** Something with a descriptor, and a path to pin it at. */
export interface PinTarget {
  readonly target: { readonly fd: number | null }
  readonly path: string
}

/** One round of a batch operation: keys and values back to back, and where to go on (null at the end). */
export interface MapBatch {
  readonly count: number
  readonly keys: Uint8Array
  readonly values: Uint8Array
  readonly cursor: Uint8Array | null
}

export interface MapBatchOptions {
  /** Deletes what it gives. */
  readonly remove?: boolean
  /** BPF_F_LOCK or 0. */
  readonly flags?: number
}

/**
 * Takes one record: `length` bytes from `offset` of a chunk, which is only valid during the call and must not be written
 * to: it may be the kernel's own memory, mapped read-only, and a write to that ends the process. `cpu` is -1 for ring
 * buffers.
 */
export type RecordSink = (chunk: Uint8Array, offset: number, length: number, cpu: number) => void

/** What became of the events of a ring buffer or perf event array, as far as they were read. */
export interface EventCounters {
  /** Handed out. */
  readonly consumed: number
  /** Taken back by the program (bpf_ringbuf_discard). */
  readonly discarded: number
  /** Dropped by the kernel because a buffer was full; null where it does not count (ring buffers). */
  readonly lost: number | null
}

/** A wait for events, which is quiet until it is armed, and again after each call. */
export interface EventWatch {
  /** Calls back once, in a later turn of the event loop, when there is something to drain; keeps the process alive. */
  arm(): void
  /** Calls back once in a later turn of the event loop, whatever there is. */
  soon(): void
  /** No more calls. May be called again. */
  close(): void
}

/** Input of one test run. */
export interface RunInput {
  /** Packet, for program types that have one. */
  readonly data?: Uint8Array
  /** Context structure as bytes: struct xdp_md, __sk_buff, or the u64 arguments of raw tracepoints and tp_btf, or pt_regs. */
  readonly ctx?: Uint8Array
  /**
   * The context by the names of its fields, instead of `ctx`: `{ mark: 7 }`. Which there are for each program type is in
   * docs/vm.md; fields that point to something (a socket, text) are the vm's only.
   */
  readonly fields?: ContextFields
  /** Number of runs; durationNs is the average. */
  readonly repeat?: number
  readonly cpu?: number
  /** BPF_F_TEST_* flags. */
  readonly flags?: number
  /** Instructions that each run may take, for programs that were loaded with instrument `fuel`. */
  readonly budget?: number
}

/** Something that a program asked of the kernel beside its return value, in the vm: a redirect, a signal ... */
export interface RunEffect {
  /** The helper, such as `bpf_redirect`. */
  readonly helper: string
  /** What it was asked for, by the names of the helper's arguments. */
  readonly details: Readonly<Record<string, number | bigint | string | Uint8Array>>
}

/** Result of one test run. */
export interface RunOutput {
  /** Return value, 32 bits unsigned as BPF_PROG_TEST_RUN gives it. */
  readonly retval: number
  /** Packet after the run, null when the type has none. */
  readonly data: Uint8Array | null
  /** Context after the run, null when there is none. */
  readonly ctx: Uint8Array | null
  /** Average time of one run in ns. */
  readonly durationNs: number
  /** Lines of bpf_trace_printk, when the backend can see them. */
  readonly trace: readonly string[]
  /** The context by field after the run, when the input had `fields`. */
  readonly fields?: ContextFields
  /** What the program asked for, in the vm; of the last run with `repeat`. */
  readonly effects?: readonly RunEffect[]
  /** What the last run took of its budget in instructions, for programs that were loaded with instrument `fuel`. */
  readonly instructions?: number
}

/** A loaded program in a backend. */
export interface BackendProgram {
  readonly type: number
  readonly id: number
  readonly fd: number | null
  /** Verifier log, empty when none was asked for. */
  readonly log: string
  /** @throws BpfError `syscall` (kernel: errno of BPF_PROG_TEST_RUN) or `trap` (vm) */
  run(input: RunInput): RunOutput
  /** A cheaper way to run it often; absent where there is none. @throws BpfError `syscall`, `usage` */
  runner?(options: RunnerOptions): ProgramRunner
  /** By slot, how often each instruction ran; null when it was not loaded with `coverage` or `count`. */
  hits?(): Float64Array | null
  /** The last instructions that ran, when it was loaded with `trace`. */
  steps?(): InstructionStep[]
  /** Forgets hits and steps. */
  resetInstruments?(): void
  /** Runs it on many packets; absent where that would be no faster. @throws BpfError `syscall`, `trap`, `usage` */
  runBatch?(packets: readonly Uint8Array[], options: BatchOptions): BatchOutput
  /** Pins it at a path; absent where there are no pins. @throws BpfError `syscall` */
  pin?(path: string): void
  /**
   * Pins several maps and programs of this backend at their paths: all of them, or none when one fails or the process is
   * killed meanwhile.
   * @throws BpfError `syscall`
   */
  pinTogether?(pins: readonly PinTarget[]): void
  /** Removes a pin. @throws BpfError `syscall` */
  unpin?(path: string): void
  /** Takes what the program printed to a stream (bpf_stream_printk), or the kernel about it, as bytes; may be empty. */
  readStream?(stream: ProgramStream): Uint8Array
  close(): void
}

/** Streams of a program (enum bpf_stream_id). */
export type ProgramStream = 'stdout' | 'stderr'

/** What a program was loaded with. */
export interface AttachObject {
  readonly btf: Btf | null
  readonly maps: ReadonlyMap<string, BackendMap>
  readonly mapSpecs: Readonly<Record<string, MapSpec>>
}

/** A place where maps live and programs run: the kernel, or the vm. */
export interface Backend {
  readonly name: 'kernel' | 'vm'
  /** Why `auto` took this one and not the kernel; absent when it was asked for. */
  readonly reason?: string
  /** BTF that CO-RE relocates against, null when there is none. */
  kernelBtf(): Btf | null
  /** Whether programs can be loaded with instruments. */
  readonly instruments?: boolean
  /** BTF of kernel modules, split on top of kernelBtf(); none when absent. */
  moduleBtfs?(): readonly ModuleBtf[]
  /** Configuration of the kernel, for .kconfig externs; unknown when absent. */
  kconfig?(): Partial<KconfigFacts>
  /** Number of possible CPUs. */
  readonly cpus: number
  /** Bytes of a page; 4096 when absent. */
  readonly pageSize?: number
  /** Opens a pinned map; absent where there are no pins. @throws BpfError `syscall` */
  pinnedMap?(path: string): BackendMap
  /** @throws BpfError `syscall`, `unsupported` */
  createMap(request: MapRequest): BackendMap
  /** @throws BpfError `verifier` with the full log, `syscall`, `unsupported` */
  loadProgram(request: ProgramRequest): BackendProgram
  /**
   * The same without blocking the event loop, where that takes a thread; programs are then loaded a few at a time.
   * Absent where loading is work of this thread.
   */
  loadProgramAsync?(request: ProgramRequest): Promise<BackendProgram>
  /**
   * Attaches a program that this backend loaded; absent where nothing can be attached.
   * @throws BpfError `usage`, `not-found`, `unsupported`, `syscall`
   */
  attach?(program: BackendProgram, spec: ProgramSpec, options: AttachOptions, object?: AttachObject | null): Link
  close(): void
}
