import { BpfError, encodeUtf8 } from '../../bytes/index.ts'
import type { Btf } from '../../btf/index.ts'
import type { RunEffect } from '../../loader/index.ts'
import {
  CPU_ADDRESS,
  DEFERRED_ADDRESS,
  GRACE_ADDRESS,
  GUARD_SIZE,
  mapSlot,
  RANDOM_ADDRESS,
  REGS_ADDRESS,
  STACK_TOP_ADDRESS,
  TAIL_CALLS_ADDRESS,
  TASK_ADDRESS,
  TASK_COMM_ADDRESS,
  TASK_COMM_SIZE,
  TASK_IDS_ADDRESS,
} from '../engine.ts'
import type { VirtualClock } from '../clock.ts'
import { AREA } from '../area.ts'
import { Trap } from '../trap.ts'
import { AbsentPages } from './absent-pages.ts'
import { AsyncQueue } from './async.ts'
import type { RunContext } from './context/context.ts'
import { RawContext } from './context/raw.ts'
import { taskStruct, taskStructSize } from './fake-task.ts'
import { PROGRAM_STACK_SIZE, STACK_END } from './layout.ts'
import { KernelObjects } from './kernel/objects.ts'
import { LinearMemory, type SharedPart } from './memory.ts'
import { Objects } from './objects.ts'
import { PacketArea, PacketTable } from './packets.ts'
import { Trees } from './trees.ts'
import { ValueLocks } from './value-locks.ts'
import type { FunctionSet } from './user-functions.ts'
import { Deferred } from './maps/descriptor.ts'
import type { FieldKind } from './maps/fields.ts'
import type { MapHost, VmMap } from './maps/map.ts'
import type { SlotProgram } from './maps/prog-array.ts'

/** In place of 0, with which the random numbers would all be 0. */
const DEFAULT_SEED = 0x9e3779b9

/** The task that a program in the vm finds itself in. */
export interface FakeTask {
  readonly pid: number
  /** Thread group: what user space calls the process id. */
  readonly tgid: number
  readonly uid: number
  readonly gid: number
  readonly comm: string
  readonly cgroupId: bigint
  /** Return addresses that bpf_get_stack and its like see, the innermost first; by default a few made-up ones. */
  readonly kernelStack?: readonly bigint[]
  /** The same of user space; by default none. */
  readonly userStack?: readonly bigint[]
}

export interface RuntimeOptions {
  readonly cpus: number
  readonly memoryLimit: number
  /** Whether other threads may use the memory. */
  readonly shared?: boolean
  /** What this thread has of the memory of another one. */
  readonly part?: SharedPart
  readonly fuel: number
  /** Monotonic time in ns. */
  readonly clock: () => bigint
  /** The same as a number, when that is exact. */
  readonly clockNumber?: (() => number) | null
  /** The clock, when it only moves by advanceTo(). */
  readonly virtual?: VirtualClock | null
  /** Next random 32 bits; null for a generator that starts with `seed`. */
  readonly random: (() => number) | null
  readonly seed: number
  /** Next random 32 bits for the choice of CPUs and the order of timers; null for CPU 0 and the order of arming. */
  readonly scheduling?: (() => number) | null
  readonly task: FakeTask
  /** Bytes of the struct task_struct that get_current_task points to; null for one made from `btf`. */
  readonly taskBytes: Uint8Array | null
  readonly btf: () => Btf | null
  readonly functions: FunctionSet
  /** Address of the current task's cgroup, which another thread has made. */
  readonly cgroupAddress?: number
}

/** A program as the runtime sees it while it runs. */
export interface RunningProgram extends SlotProgram {
  readonly name: string
  /** Types of the object that it comes from. */
  readonly btf: Btf | null
  readonly attachType: number | null
  /** Runs function `index` of the program as a callback. */
  callback(index: number): void
}

/** What lasts for one run. */
export interface Run {
  readonly context: RunContext
  trace: string[]
  /** Programs that are under way, the innermost last. */
  readonly programs: RunningProgram[]
  stackLimit: number
  /** What helpers were asked for that has no effect in the vm. */
  effects?: RunEffect[]
  /** What the caller of a cgroup program will get (bpf_set_retval). */
  callerResult?: number
  /** No test run, but a timer or work that is due. */
  readonly detached?: boolean
}

/** Everything that the programs of one vm share: memory, maps, clock, the fake task, and the run that is under way. */
export class Runtime implements MapHost {
  readonly memory: LinearMemory
  readonly options: RuntimeOptions
  /** Helpers and kernel functions. */
  readonly functions: FunctionSet
  readonly cpus: number
  run: Run | null = null
  /** The context whose input lies in the context area, null when none can go on there. */
  occupant: RunContext | null = null
  /** During a batch: puts a packet that has left its place back into the batch. */
  packetMoved: () => void = () => {}
  /** Timers and work queues. */
  readonly async: AsyncQueue = new AsyncQueue(this)
  /** Sockets, cgroups and files. */
  readonly kernel: KernelObjects
  /** Objects that programs have made, and trees of them. */
  readonly trees: Trees
  readonly objects: Objects
  readonly locks: ValueLocks
  /** Where bpf_trace_printk of timers goes: the next run shows it. */
  #asyncTrace: string[] = []
  #absentPages: AbsentPages | null = null
  #nextId = 1
  /** Id from which on other threads do not know what there is. */
  #firstUnknown = Infinity
  /** Of a shared vm, by id. */
  readonly #programs: Map<number, SlotProgram> = new Map()
  readonly #maps: Map<number, VmMap> = new Map()
  #deferred: (() => void)[] = []
  readonly #batchArea: PacketArea
  #batch: PacketTable | null = null

  constructor(options: RuntimeOptions) {
    this.options = options
    this.functions = options.functions
    this.cpus = options.cpus
    const { part = null, shared = part !== null } = options
    this.memory = new LinearMemory(options.memoryLimit, shared, part)
    this.cpu = AREA.cpu
    const { task } = options
    this.memory.setU32(RANDOM_ADDRESS, options.seed >>> 0 || DEFAULT_SEED)
    this.memory.setU64(TASK_IDS_ADDRESS, (BigInt(task.tgid) << 32n) | BigInt(task.pid))
    this.memory.setU64(TASK_IDS_ADDRESS + 8, (BigInt(task.gid) << 32n) | BigInt(task.uid))
    this.memory.write(TASK_COMM_ADDRESS, encodeUtf8(task.comm).subarray(0, TASK_COMM_SIZE - 1))
    this.kernel = new KernelObjects({
      memory: this.memory,
      cgroupId: options.task.cgroupId,
      cgroupAddress: options.cgroupAddress ?? null,
      pid: options.task.pid,
      taskAddress: () => this.taskAddress(),
      btf: options.btf,
    })
    this.#batchArea = new PacketArea(this.memory)
    this.trees = new Trees(this.memory)
    this.objects = new Objects(this)
    this.locks = new ValueLocks(this.memory)
  }

  get absentPages(): AbsentPages {
    return (this.#absentPages ??= new AbsentPages(this.memory))
  }

  /** The CPU that programs run on; in memory, where the JIT reads it. */
  get cpu(): number {
    return this.memory.u32(CPU_ADDRESS)
  }

  set cpu(cpu: number) {
    this.memory.setU32(CPU_ADDRESS, cpu)
  }

  // Maps.

  currentCpu(): number {
    return this.cpu
  }

  afterGracePeriod(work: () => void): void {
    if (this.run === null) return work()
    this.#deferred.push(work)
    this.memory.setU32(GRACE_ADDRESS, 1)
  }

  reclaimLater(map: VmMap, entry: number): void {
    // Only this thread knows of its runs, which is not enough where others hold pointers too.
    if (this.run === null || this.memory.isShared) return map.reclaim(entry)
    this.memory.setU32(entry + Deferred.MAP, map.handle)
    this.memory.setU32(entry + Deferred.NEXT, this.memory.u32(DEFERRED_ADDRESS))
    this.memory.setU32(DEFERRED_ADDRESS, entry)
  }

  mapAt(handle: number): VmMap | undefined {
    return this.#maps.get(handle)
  }

  register(map: VmMap): void {
    this.#maps.set(map.handle, map)
    this.memory.setU32(mapSlot(map.handle), map.handle)
  }

  unregister(map: VmMap): void {
    this.#maps.delete(map.handle)
    const slot = mapSlot(map.handle)
    if (this.memory.u32(slot) === map.handle) this.memory.setU32(slot, 0)
  }

  /** Ids of maps and programs. */
  nextId(): number {
    return this.#nextId++
  }

  /** What is made next has this id, as in the thread that made it first. */
  goOnAt(id: number): void {
    this.#nextId = id
  }

  /** What is made from now on, the threads that were made for other CPUs do not know. */
  handOut(): void {
    this.#firstUnknown = Math.min(this.#firstUnknown, this.#nextId)
  }

  checkKnown(target: { readonly id: number }, map: string): void {
    if (target.id < this.#firstUnknown) return
    const problem = `update in map ${map}: what it is to hold was made after fork(), other threads do not know it`
    throw new BpfError('usage', problem, { where: { map } })
  }

  /** Notes a program of a shared vm, which tail calls of any thread may lead to. */
  shareProgram(program: SlotProgram): void {
    this.#programs.set(program.id, program)
  }

  programAt(id: number): SlotProgram | undefined {
    return this.#programs.get(id)
  }

  maps(): Iterable<VmMap> {
    return this.#maps.values()
  }

  /** Ends the run: what was freed meanwhile may be used again. */
  endRun(): void {
    this.run = null
    this.locks.openAll()
    this.endGracePeriod()
  }

  /** No program holds a pointer any more: frees what waited for that. */
  endGracePeriod(): void {
    let entry = this.memory.u32(DEFERRED_ADDRESS)
    if (entry !== 0) this.memory.setU32(DEFERRED_ADDRESS, 0)
    // The list ends early where a program has overwritten it.
    for (let steps = 0; entry !== 0 && steps < this.memory.size >> 4 && this.isMemory(entry, 8); steps++) {
      const next = this.memory.u32(entry + Deferred.NEXT)
      this.#maps.get(this.memory.u32(entry + Deferred.MAP))?.reclaim(entry)
      entry = next
    }
    if (this.#deferred.length === 0) return
    this.memory.setU32(GRACE_ADDRESS, 0)
    const deferred = this.#deferred
    this.#deferred = []
    for (const work of deferred) work()
  }

  /** The packets of a new batch in memory; those of the batch before are no longer there. */
  batchTable(packets: readonly Uint8Array[]): PacketTable {
    this.#batch?.release()
    this.#batch = new PacketTable(this.memory, this.#batchArea, packets)
    return this.#batch
  }

  /** Whether this is the batch whose packets are in memory. */
  isBatch(table: PacketTable): boolean {
    return this.#batch === table
  }

  /** Puts an input into a context, which may have been used before. */
  place(context: RunContext, input: Uint8Array): void {
    if (this.occupant !== context) context.claim()
    this.occupant = null
    context.reset(input)
    this.occupant = context
  }

  // Timers and work queues.

  now(): bigint {
    return this.options.clock()
  }

  cancelAsync(address: number): void {
    this.async.free(address)
  }

  freeField(kind: FieldKind, address: number): void {
    this.objects.free(kind, address)
  }

  cancelAsyncOf(map: VmMap): void {
    this.async.freeOf(map)
  }

  schedulingKey(): number | null {
    return this.options.scheduling?.() ?? null
  }

  /** CPU of a run that names none. */
  nextCpu(): number {
    return (this.schedulingKey() ?? 0) % this.cpus
  }

  /** Lets time go on; timers fire at their times. */
  advanceTo(clock: VirtualClock, end: bigint): void {
    this.runDue()
    for (;;) {
      const due = this.async.nextDue()
      if (due === null || due > end) break
      // What is due and did not run now has armed itself again too often.
      if (due <= clock.now) break
      clock.now = due
      this.runDue()
    }
    clock.now = end
    this.runDue()
  }

  runDue(): void {
    if (this.run === null) this.async.runDue()
  }

  /** Whether nothing runs, or would run first, or has to be shown by the next run. */
  get isQuiet(): boolean {
    return this.run === null && this.async.armed === 0 && this.#asyncTrace.length === 0
  }

  get hasAsyncTrace(): boolean {
    return this.#asyncTrace.length > 0
  }

  /** What timers have printed since it was last asked for; a list of its own. */
  takeAsyncTrace(): string[] {
    const trace = this.#asyncTrace
    this.#asyncTrace = []
    return trace
  }

  runCallback(program: RunningProgram, index: number, map: VmMap, value: number): void {
    let key = map.keyOf(value)
    const copied = key === 0 ? this.memory.allocate(4) : 0
    if (copied !== 0) {
      key = copied
      this.memory.setU32(copied, map.indexOf(value))
    }
    const context = new RawContext(this.memory, undefined, false)
    this.occupant = context
    this.run = {
      context,
      trace: this.#asyncTrace,
      programs: [program],
      stackLimit: STACK_END - PROGRAM_STACK_SIZE,
      detached: true,
    }
    this.memory.setU32(STACK_TOP_ADDRESS, STACK_END)
    this.memory.setU32(TAIL_CALLS_ADDRESS, 0)
    try {
      this.callback(index, map.handle, key, value)
    } finally {
      if (copied !== 0) this.memory.free(copied, 4)
      this.endRun()
    }
  }

  // Arguments and memory, for helpers. Registers are counted as in BPF: r1 to r5.

  /** Low half of an argument, unsigned. */
  low(register: number): number {
    return this.memory.view.getUint32(REGS_ADDRESS + register * 8, true)
  }

  /** High half of an argument, signed. */
  high(register: number): number {
    return this.memory.view.getInt32(REGS_ADDRESS + register * 8 + 4, true)
  }

  arg64(register: number): bigint {
    return this.memory.view.getBigUint64(REGS_ADDRESS + register * 8, true)
  }

  /** A 64-bit flags argument; flags above bit 30 come out as a number that no set of known flags has. */
  flags(register: number): number {
    const low = this.low(register)
    return this.high(register) === 0 && low < 0x80000000 ? low : 0x7fffffff
  }

  /** Whether `size` bytes at an address are memory of programs. */
  isMemory(address: number, size: number): boolean {
    return address >= GUARD_SIZE && address + size <= this.memory.size
  }

  /**
   * The address in a register that points to `size` bytes.
   * @throws Trap when it does not (the verifier would have refused the program)
   */
  pointer(register: number, size: number, what: string): number {
    const address = this.low(register)
    if (this.high(register) !== 0 || (size > 0 && !this.isMemory(address, size))) {
      throw new Trap(
        'memory',
        `r${register} = 0x${this.arg64(register).toString(16)} does not point to ${what} of ${size} bytes`,
      )
    }
    return address
  }

  /** The map whose handle is in a register. */
  map(register: number): VmMap {
    const map = this.high(register) === 0 ? this.#maps.get(this.low(register)) : undefined
    if (map === undefined) {
      throw new Trap('call', `r${register} = 0x${this.arg64(register).toString(16)} is no map`)
    }
    return map
  }

  /** Runs a function of the current program as callback; arguments are addresses or small numbers. Returns r0. */
  callback(index: number, ...args: readonly number[]): bigint {
    const program = this.run?.programs.at(-1)
    if (program === undefined) throw new Trap('call', 'no program runs')
    for (let i = 0; i < 5; i++) {
      const view = this.memory.view
      view.setUint32(REGS_ADDRESS + (i + 1) * 8, args[i] ?? 0, true)
      view.setUint32(REGS_ADDRESS + (i + 1) * 8 + 4, 0, true)
    }
    program.callback(index)
    return this.memory.view.getBigUint64(REGS_ADDRESS, true)
  }

  /** Notes what a program asked of the kernel. */
  effect(helper: string, details: RunEffect['details'] = {}): void {
    if (this.run !== null) (this.run.effects ??= []).push({ helper, details })
  }

  /** Writes a helper's result to r0. */
  setResult(value: number | bigint): void {
    const view = this.memory.view
    if (typeof value === 'bigint') {
      view.setBigUint64(REGS_ADDRESS, BigInt.asUintN(64, value), true)
    } else {
      view.setInt32(REGS_ADDRESS, value, true)
      view.setInt32(REGS_ADDRESS + 4, value < 0 ? -1 : 0, true)
    }
  }

  /** Address of the fake task_struct, which is made when first asked for. */
  taskAddress(): number {
    const known = this.memory.u32(TASK_ADDRESS)
    if (known !== 0) return known
    const { task, taskBytes } = this.options
    const btf = taskBytes === null ? this.options.btf() : null
    const address = this.memory.allocate(taskBytes?.length ?? taskStructSize(btf))
    this.memory.write(address, taskBytes ?? taskStruct(btf, task, address))
    this.memory.setU32(TASK_ADDRESS, address)
    return address
  }

  /** Next random 32 bits: xorshift32, small, seeded, and good enough for what BPF programs do with it. */
  random(): number {
    const { random } = this.options
    if (random !== null) return random() >>> 0
    let state = this.memory.u32(RANDOM_ADDRESS)
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    this.memory.setU32(RANDOM_ADDRESS, state)
    return state >>> 0
  }
}
