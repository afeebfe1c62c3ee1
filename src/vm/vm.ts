import { BpfError, isBpfError, within } from '../bytes/index.ts'
import type { Btf } from '../btf/index.ts'
import {
  normaliseSizes,
  type Backend,
  type KconfigFacts,
  type MapRequest,
  type ProgramRequest,
  type StructOpsLayout,
} from '../loader/index.ts'
import { INSN_ARRAY, MapType, readsKernelMemory } from '../uapi/index.ts'
import type { CompiledCode, Engine, VmCode } from './engine.ts'
import { VM_KCONFIG } from './kconfig.ts'
import { ProgramInstruments } from './instruments.ts'
import { AREA } from './area.ts'
import { MAX_SHARED_CPUS, Sharing, type SharedVm } from './shared.ts'
import { timeSource } from './clock.ts'
import { seededScheduling } from './seed.ts'
import { interpreterEngine } from './interpreter/index.ts'
import { hostCompiles, jit, quickJit } from './jit/index.ts'
import { JumpTables } from './jump-tables.ts'
import { link, type LinkHost } from './link.ts'
import { VmProgram } from './program.ts'
import type { CgroupOptions, VirtualCgroup } from './runtime/kernel/cgroup.ts'
import type { FileOptions, VirtualFile } from './runtime/kernel/file.ts'
import type { SocketOptions, VirtualSocket } from './runtime/kernel/socket.ts'
import type { VirtualTask } from './runtime/kernel/task.ts'
import { verifyRequest, type Verified } from './verification.ts'
import { VmMachine } from './runtime/machine.ts'
import { ArenaMap } from './runtime/maps/arena.ts'
import { createVmMap } from './runtime/maps/create.ts'
import { VmMap } from './runtime/maps/map.ts'
import { exceptionHandler } from './exception.ts'
import { FunctionSet, type UserFunctions } from './runtime/user-functions.ts'
import { Runtime, type FakeTask } from './runtime/runtime.ts'

const DEFAULT_CPUS = 2
const DEFAULT_MEMORY_LIMIT = 1 << 30
const DEFAULT_FUEL = 1 << 27
const PAGE_SIZE = 4096
const UNVERIFIED: Verified = { log: '', facts: null }

/** Options of {@link createVm}. */
export interface VmOptions {
  /**
   * BTF that CO-RE relocates against, such as that of a kernel; default none. A function is called when an object
   * first needs it.
   */
  readonly btf?: Btf | null | (() => Btf | null)
  /** Number of CPUs: values in a per-CPU value, buffers of a perf event array. Default 2. */
  readonly cpus?: number
  /**
   * False: the interpreter runs programs. `quick`: the JIT leaves its optimisations out, which halves the time to load.
   * Default: the JIT, where the host compiles WebAssembly.
   */
  readonly jit?: boolean | 'quick'
  /**
   * Whether programs are verified as Linux 6.18 does before they are taken (default). Without, the sandbox alone keeps
   * them from harm outside of it, and they may do what no kernel would let them.
   */
  readonly verify?: boolean
  /**
   * Which Linux the vm does as. `6.19`: as 6.18, which is the default, with the instruction arrays that came after it. The
   * verifier does not know the rules of indirect jumps: programs with them run with `verify: false`, in either.
   */
  readonly linux?: '6.18' | '6.19'
  /**
   * Monotonic time in ns, for bpf_ktime_get_ns and its like. `virtual`: time starts at one second and only moves by
   * {@link Vm.advance}. Default: the host's clock.
   */
  readonly clock?: (() => bigint) | 'virtual'
  /** Seed of bpf_get_prandom_u32 and of `scheduling`; the same seed gives the same numbers. Unsigned 32 bits. */
  readonly seed?: number
  /**
   * `seeded`: the seed says which CPU runs are on that name none (a batch as a whole), and in which order timers and
   * work fire that are due at the same time. Default `in-order`: CPU 0, and in the order of arming. With a virtual clock
   * and the same seed, two vms that are told the same do the same.
   */
  readonly scheduling?: 'in-order' | 'seeded'
  /** Replaces the seeded generator of bpf_get_prandom_u32; unsigned 32 bits. */
  readonly random?: () => number
  /** What programs are told about the current task; fields that are left out have fixed values. */
  readonly task?: Partial<FakeTask>
  /** Bytes of the struct task_struct that bpf_get_current_task points to; default: made from `task` and `btf`. */
  readonly taskBytes?: Uint8Array
  /**
   * Helpers that the vm lacks, or that are to do something else, by name:
   * `{ bpf_ima_file_hash: ([file, buffer, size], memory) => { memory.write(buffer, digest); return 4 } }`.
   */
  readonly helpers?: UserFunctions
  /** Kernel functions likewise, those of modules too. */
  readonly kfuncs?: UserFunctions
  /** Most bytes that maps and all else may take together. Default 1 GiB. */
  readonly memoryLimit?: number
  /** Backward jumps and calls that a run may make before it traps. Default 2^27. */
  readonly fuel?: number
  /**
   * True: other threads may run programs on the other CPUs, over the same memory; see {@link Vm.fork}. Maps whose state
   * is not all in that memory are refused: perf event arrays, arenas, stack traces, those of sockets and devices, and
   * values with timers or kernel objects.
   */
  readonly shared?: boolean
  /** Why this vm stands for another backend; load reports say it. */
  readonly reason?: string
}

/** A virtual kernel: maps in WebAssembly memory, programs by JIT or interpreter, verified as Linux 6.18 does. */
export interface Vm extends Backend {
  readonly name: 'vm'
  /** What runs the programs. */
  readonly engine: Engine['name']
  /** The cgroup of the current task, which is the root of the hierarchy. */
  readonly currentCgroup: VirtualCgroup
  /** The current task, for task storage. */
  readonly currentTask: VirtualTask
  /**
   * Makes a socket: helpers find it by its addresses, maps take its descriptor.
   * @throws BpfError `usage` for values out of range
   */
  socket(options: SocketOptions): VirtualSocket
  cgroup(options?: CgroupOptions): VirtualCgroup
  file(options: FileOptions): VirtualFile
  createMap(request: MapRequest): VmMap
  loadProgram(request: ProgramRequest): VmProgram
  /** Time in ns, as programs have it. */
  now(): bigint
  /**
   * Moves the virtual clock by so many ns. Timers that become due on the way fire, each at its time; so does work.
   * @throws BpfError `usage` without option clock: 'virtual', and while a program runs
   */
  advance(ns: bigint | number): void
  /**
   * The next CPU of a shared vm, with all maps and programs that there are now, to be sent to another thread (structured
   * clone), where attachWorker() of `elfbee/worker` opens it. This thread has CPU 0.
   * @throws BpfError `usage` for a vm that is not shared, `limit` when every CPU has its thread
   */
  fork(): SharedVm
  /** Fires the timers and work that are due. Runs and lookups of user space do so too. */
  poll(): void
}

/**
 * A virtual kernel, independent of all others.
 * @throws BpfError `usage` for an option out of range
 */
export function createVm(options: VmOptions = {}): Vm {
  const cpus = options.cpus ?? DEFAULT_CPUS
  if (!Number.isInteger(cpus) || cpus < 1 || cpus > 1024) {
    throw new BpfError('usage', `option cpus is ${cpus}, expected 1 to 1024`)
  }
  const linux = options.linux ?? '6.18'
  if (linux !== '6.18' && linux !== '6.19') {
    throw new BpfError('usage', `option linux is ${String(linux)}, expected 6.18 or 6.19`)
  }
  if (options.shared === true && (cpus > MAX_SHARED_CPUS || typeof SharedArrayBuffer === 'undefined')) {
    const problem = cpus > MAX_SHARED_CPUS ? `at most ${MAX_SHARED_CPUS} CPUs` : 'a host with SharedArrayBuffer'
    throw new BpfError('unsupported', `option shared: a shared vm needs ${problem}`)
  }
  if (AREA.cpu !== 0) {
    throw new BpfError('unsupported', 'createVm: this thread is a CPU of a shared vm and can have no other one')
  }
  const btf = opened(options.btf ?? null)
  const { clock, clockNumber, virtual } = timeSource(options.clock)
  const runtime = new Runtime({
    cpus,
    memoryLimit: options.memoryLimit ?? DEFAULT_MEMORY_LIMIT,
    shared: options.shared === true,
    fuel: options.fuel ?? DEFAULT_FUEL,
    clock,
    clockNumber,
    virtual,
    random: options.random ?? null,
    seed: options.seed ?? 0,
    scheduling: options.scheduling === 'seeded' ? seededScheduling(options.seed) : null,
    task: { pid: 4242, tgid: 4242, uid: 0, gid: 0, comm: 'elfbee', cgroupId: 1n, ...options.task },
    taskBytes: options.taskBytes ?? null,
    btf,
    functions: new FunctionSet(options.helpers ?? {}, options.kfuncs ?? {}),
  })
  return new VirtualKernel(runtime, btf, options)
}

class VirtualKernel implements Vm {
  readonly name: 'vm' = 'vm' as const
  readonly instruments: true = true as const
  readonly cpus: number
  readonly reason?: string
  readonly #verifies: boolean
  readonly linux: NonNullable<VmOptions['linux']>
  /** Functions of the user may give what the verifier does not expect of the kernel's. */
  readonly #ownFunctions: boolean
  readonly #runtime: Runtime
  readonly #machine: VmMachine
  readonly #btf: () => Btf | null
  readonly #engine: Engine
  readonly #variables: Map<string, number> = new Map()
  readonly #links: LinkHost = {
    owns: (map) => this.#runtime.mapAt(map.handle) === map,
    variable: (name, size) => this.#variable(name, size),
    kfunc: (name) => this.#runtime.functions.kfuncNumber(name),
  }
  readonly #sharing: Sharing | null
  #closed = false

  constructor(runtime: Runtime, btf: () => Btf | null, options: VmOptions) {
    const useJit = options.jit ?? true
    if (options.reason !== undefined) this.reason = options.reason
    this.#verifies = options.verify ?? true
    this.linux = options.linux ?? '6.18'
    this.#ownFunctions = Object.keys({ ...options.helpers, ...options.kfuncs }).length === 0
    this.#sharing = runtime.memory.isShared ? new Sharing(runtime, useJit !== false) : null
    this.#runtime = runtime
    this.#machine = new VmMachine(runtime)
    this.#btf = btf
    this.cpus = runtime.cpus
    this.#engine = useJit === false || !hostCompiles() ? interpreterEngine : useJit === 'quick' ? quickJit : jit
  }

  get engine(): Engine['name'] {
    return this.#engine.name
  }

  get currentCgroup(): VirtualCgroup {
    return this.#runtime.kernel.currentCgroup
  }

  get currentTask(): VirtualTask {
    return this.#runtime.kernel.currentTask
  }

  socket(options: SocketOptions): VirtualSocket {
    this.#open()
    return this.#runtime.kernel.socket(options)
  }

  cgroup(options: CgroupOptions = {}): VirtualCgroup {
    this.#open()
    return this.#runtime.kernel.cgroup(options)
  }

  file(options: FileOptions): VirtualFile {
    this.#open()
    return this.#runtime.kernel.file(options)
  }

  kernelBtf(): Btf | null {
    return this.#btf()
  }

  kconfig(): KconfigFacts {
    return VM_KCONFIG
  }

  createMap(request: MapRequest): VmMap {
    this.#open()
    const { inner, structOps } = request
    if (request.spec.type === INSN_ARRAY && this.linux === '6.18') throw tooOld(request.spec.name)
    if (request.spec.type === MapType.STRUCT_OPS && structOps === undefined) {
      throw new BpfError('unsupported', `map "${request.spec.name}": a struct_ops map needs a type of the kernel`, {
        where: { map: request.spec.name },
      })
    }
    const sizes = normaliseSizes(request.spec, { pageSize: PAGE_SIZE, cpus: this.cpus })
    const spec = { ...request.spec, ...sizes, ...sizeOf(structOps) }
    if (inner !== null && !(inner instanceof VmMap)) {
      throw new BpfError('usage', `the inner map of ${spec.name} belongs to another backend`, {
        where: { map: spec.name },
      })
    }
    const config = { spec, name: spec.name, inner, btf: request.btf }
    return this.#sharing === null ? createVmMap(this.#runtime, config) : this.#sharing.createMap(config)
  }

  loadProgram(request: ProgramRequest): VmProgram {
    this.#open()
    return within({ program: request.program.spec.name }, () => {
      const tables = new JumpTables(this.#runtime)
      try {
        return this.#load(request, tables)
      } catch (error) {
        tables.giveBack()
        throw error
      } finally {
        tables.close()
      }
    })
  }

  #load(request: ProgramRequest, tables: JumpTables): VmProgram {
    const { program, btf } = request
    const { name, type } = program.spec
    if (btf !== null && !btf.littleEndian) {
      throw new BpfError('unsupported', 'the vm is little-endian and cannot run a big-endian object')
    }
    const needsTypes = program.lateReferences.some(({ kind }) => kind !== 'map' && kind !== 'mapValue')
    const types = needsTypes ? this.kernelBtf() : null
    const linked = link(program, request.maps, this.#links, types, tables)
    const verified = (request.verify ?? this.#verifies) ? verifyRequest(request, this) : UNVERIFIED
    const functions = program.functions.length > 0 ? program.functions : [{ name, start: 0, btfId: 0 }]
    const { instrument } = request
    const instruments =
      instrument === undefined
        ? null
        : new ProgramInstruments(instrument, this.#runtime.memory, { ...linked, functions })
    const code: VmCode = {
      name,
      type,
      insns: linked.insns,
      functions,
      lines: program.lines,
      faultReadsZero: readsKernelMemory(type),
      jumps: linked.jumps,
      arena: linked.maps.find((map) => map instanceof ArenaMap)?.layout ?? null,
      facts: this.#ownFunctions ? verified.facts : null,
      instrumentation: instruments?.instrumentation ?? null,
    }
    const interpreted = (): CompiledCode => interpreterEngine.compile(code, this.#machine)
    // Only the interpreter sees every instruction.
    const compiled = instrument === 'trace' ? interpreted() : this.#compile(code)
    const exceptions = {
      throws: program.lateReferences.some((each) => each.kind === 'kfunc' && each.name === 'bpf_throw'),
      handler: exceptionHandler(btf, code.functions),
    }
    const loaded = new VmProgram(
      this.#runtime,
      program.spec,
      compiled,
      linked.maps,
      btf,
      interpreted,
      verified.log,
      instruments,
      exceptions,
    )
    this.#sharing?.addProgram(loaded, program.spec, code, linked.maps, exceptions)
    return loaded
  }

  now(): bigint {
    return this.#runtime.now()
  }

  fork(): SharedVm {
    this.#open()
    if (this.#sharing === null) throw new BpfError('usage', 'fork: make the vm with shared: true')
    return this.#sharing.fork()
  }

  poll(): void {
    this.#open()
    this.#runtime.runDue()
  }

  advance(ns: bigint | number): void {
    this.#open()
    const { virtual } = this.#runtime.options
    if (!virtual) throw new BpfError('usage', "advance: the vm's clock goes by itself; make it with clock: 'virtual'")
    if (typeof ns === 'number' ? !Number.isSafeInteger(ns) || ns < 0 : ns < 0n) {
      throw new BpfError('usage', `advance: ${ns} is no whole number of ns from 0 on`)
    }
    if (this.#runtime.run !== null) throw new BpfError('usage', 'advance: a program of this vm is running')
    this.#runtime.advanceTo(virtual, virtual.now + BigInt(ns))
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    for (const map of Array.from(this.#runtime.maps())) map.close()
  }

  #open(): void {
    if (this.#closed) throw new BpfError('closed', 'the vm was closed')
  }

  #compile(code: VmCode): CompiledCode {
    try {
      return this.#engine.compile(code, this.#machine)
    } catch (error) {
      // Functions larger than WebAssembly engines take; anything else that the JIT refuses is an error of its own.
      if (this.#engine === interpreterEngine || !isBpfError(error) || error.code !== 'limit') throw error
      return interpreterEngine.compile(code, this.#machine)
    }
  }

  #variable(name: string, size: number): number {
    let address = this.#variables.get(name)
    if (address === undefined) this.#variables.set(name, (address = this.#runtime.memory.allocate(size)))
    return address
  }
}

/** Gives the BTF, opening it at the first call. */
function opened(btf: Btf | null | (() => Btf | null)): () => Btf | null {
  let known = typeof btf === 'function' ? undefined : btf
  return () => {
    if (known === undefined) known = typeof btf === 'function' ? btf() : btf
    return known
  }
}

/** What Linux 6.18 says to an instruction array. */
function tooOld(map: string): BpfError {
  const why = "Linux 6.18 has no instruction arrays, which came with 6.19 (option linux: '6.19' of createVm)"
  return new BpfError('syscall', `create map ${map} (insn_array): EINVAL: ${why}`, { errno: 'EINVAL', where: { map } })
}

/** The value of a struct_ops map has the size of the kernel's type. */
function sizeOf(structOps: StructOpsLayout | undefined): { readonly valueSize?: number } {
  return structOps === undefined ? {} : { valueSize: structOps.value.length }
}
