import { BpfError } from '../bytes/index.ts'
import { InsnBuffer } from '../isa/index.ts'
import type { LineRecord, MapSpec, ProgramFunction, ProgramSpec } from '../loader/index.ts'
import { AREA, GUARD_AREA_SIZE, GUARD_AREA_START, GUARD_AREAS, type Area } from './area.ts'
import { timeSource } from './clock.ts'
import { GUARD_SIZE, NO_TAIL_ENTRY, TASK_ADDRESS, type VmCode } from './engine.ts'
import { interpreterEngine } from './interpreter/index.ts'
import { hostCompiles, jit } from './jit/index.ts'
import type { ExceptionFacts } from './exception.ts'
import { VmProgram } from './program.ts'
import { RUN_AREA_SIZE } from './runtime/layout.ts'
import { VmMachine } from './runtime/machine.ts'
import { createVmMap } from './runtime/maps/create.ts'
import type { SpecialField } from './runtime/maps/fields.ts'
import type { MapConfig, VmMap } from './runtime/maps/map.ts'
import type { SharedPart } from './runtime/memory.ts'
import { Runtime, type FakeTask } from './runtime/runtime.ts'
import { FunctionSet } from './runtime/user-functions.ts'
import { checkShareable, share } from './runtime/shared-map.ts'

/** Bytes that each thread may allocate for itself. */
const HEAP_SIZE = 1 << 20

/** A map as another thread makes it again. */
interface SharedMap {
  readonly id: number
  readonly spec: MapSpec
  readonly addresses: readonly number[]
  readonly fields: readonly SpecialField[]
  /** Id of the map that a map of maps was made with; it comes before this one. */
  readonly inner: number | null
  /** Whether it was only needed for that. */
  readonly closed: boolean
}

interface SharedProgram {
  readonly id: number
  /** Place in the table of tail calls. */
  readonly place: number
  /** Whether only slots of prog arrays hold it. */
  readonly closed: boolean
  readonly spec: ProgramSpec
  readonly code: Omit<VmCode, 'insns' | 'lines' | 'functions'> & {
    readonly functions: readonly ProgramFunction[]
    readonly lines: readonly LineRecord[]
  }
  readonly insns: Pick<InsnBuffer, 'length' | 'code' | 'dst' | 'src' | 'off' | 'imm'>
  /** Names of the maps that it uses. */
  readonly maps: readonly string[]
  readonly exceptions: ExceptionFacts
}

/**
 * One CPU of a shared vm, for a thread: structured clone copies it (workerData, postMessage), and attachWorker() of
 * `elfbee/worker` opens it. The memory in it is the vm's own.
 */
export interface SharedVm {
  readonly cpu: number
  readonly cpus: number
  /** What worker.ts needs before anything else. */
  readonly area: Area
  readonly part: SharedPart
  readonly maps: readonly SharedMap[]
  readonly programs: readonly SharedProgram[]
  readonly fuel: number
  readonly seed: number
  readonly task: FakeTask
  /** Addresses of the current task's structure and of its cgroup's. */
  readonly taskAddress: number
  readonly cgroupAddress: number
}

/** A thread's CPU of a shared vm, with the maps and programs that there were when it was made. */
export interface AttachedVm {
  readonly cpu: number
  readonly cpus: number
  readonly programs: Readonly<Record<string, VmProgram>>
  readonly maps: Readonly<Record<string, VmMap>>
}

/** What a shared vm knows of its maps and programs, to hand them to other threads. */
export class Sharing {
  readonly #runtime: Runtime
  readonly #maps: Map<VmMap, Omit<SharedMap, 'closed'>> = new Map()
  readonly #programs: Map<VmProgram, Omit<SharedProgram, 'closed'>> = new Map()
  #cpus = 1

  /** @throws BpfError `unsupported` where there is no shared memory or no JIT */
  constructor(runtime: Runtime, useJit: boolean) {
    if (!useJit || !hostCompiles()) {
      throw new BpfError('unsupported', 'a shared vm needs the JIT: the interpreter has no atomic operations')
    }
    this.#runtime = runtime
  }

  /** Makes a map that other threads can use too. @throws BpfError `unsupported` */
  createMap(config: MapConfig): VmMap {
    checkShareable(config)
    const { memory } = this.#runtime
    const { result, addresses } = memory.recorded(() => makeMap(this.#runtime, config))
    const { id, fields } = result
    const inner = config.inner?.id ?? null
    this.#maps.set(result, { id, spec: cloneable(config.spec), addresses, fields, inner })
    return result
  }

  addProgram(
    program: VmProgram,
    spec: ProgramSpec,
    code: VmCode,
    maps: readonly VmMap[],
    exceptions: ExceptionFacts,
  ): void {
    const { insns, functions, lines, name, type, faultReadsZero, facts = null, jumps = null } = code
    const { length, code: codes, dst, src, off, imm } = insns
    // Specs may hold more than structured clone takes.
    const { section, functionIndex, attachType, flags, attachTarget, autoload } = spec
    this.#runtime.shareProgram(program)
    // Its place stays the same, also when it is closed and prog arrays still hold it.
    program.retain()
    this.#programs.set(program, {
      id: program.id,
      place: program.retainTail(),
      spec: { name, section, functionIndex, type, attachType, flags, attachTarget, autoload },
      code: { name, type, faultReadsZero, facts, jumps, functions, lines },
      insns: { length, code: codes, dst, src, off, imm },
      maps: maps.map((map) => map.name),
      exceptions,
    })
  }

  /** @throws BpfError `limit` when every CPU has its thread */
  fork(): SharedVm {
    const { memory, cpus, options } = this.#runtime
    if (this.#cpus >= cpus) {
      throw new BpfError('limit', `the shared vm has ${cpus} CPUs, and each has its thread already (option cpus)`)
    }
    const cpu = this.#cpus++
    const run = memory.allocate(RUN_AREA_SIZE)
    const heap = memory.allocate(HEAP_SIZE)
    this.#runtime.handOut()
    const templates = new Set(Array.from(this.#maps.values(), ({ inner }) => inner))
    return {
      cpu,
      cpus,
      area: { cpu, guard: GUARD_AREAS + cpu * GUARD_AREA_SIZE - GUARD_AREA_START, run: run - GUARD_SIZE },
      part: { memory: memory.wasm, heap, heapEnd: heap + HEAP_SIZE },
      maps: [...this.#maps]
        .filter(([map]) => !map.closed || templates.has(map.id))
        .map(([{ closed }, shared]) => ({ ...shared, closed })),
      programs: [...this.#programs].map(([{ closed }, shared]) => ({ ...shared, closed })),
      fuel: options.fuel,
      // Every CPU has random numbers of its own.
      seed: Math.imul((options.seed ^ cpu) + 1, 0x9e3779b9) >>> 0,
      task: options.task,
      taskAddress: this.#runtime.taskAddress(),
      cgroupAddress: this.#runtime.kernel.currentCgroup.address,
    }
  }
}

/** Specs may hold more than structured clone takes, and more than another thread needs. */
function cloneable(spec: MapSpec): MapSpec {
  return { ...spec, inner: null, slots: new Map(), contents: null, dataSection: null }
}

function makeMap(runtime: Runtime, config: MapConfig): VmMap {
  const map = createVmMap(runtime, config)
  share(map, runtime.memory)
  return map
}

/** Most CPUs of a shared vm: each has a piece of the guard. */
export const MAX_SHARED_CPUS: number = Math.floor((GUARD_SIZE - GUARD_AREAS) / GUARD_AREA_SIZE)

/** Opens a thread's CPU. Called by worker.ts, which has said the area before this module was loaded. */
export function openShared(shared: SharedVm): AttachedVm {
  if (AREA.cpu !== shared.cpu || AREA.run !== shared.area.run) {
    throw new BpfError(
      'usage',
      "attachWorker: this thread has loaded the vm already; import nothing but 'elfbee/worker' in it before",
    )
  }
  const { clock, clockNumber } = timeSource(undefined)
  const runtime = new Runtime({
    cpus: shared.cpus,
    memoryLimit: shared.part.heapEnd,
    part: shared.part,
    fuel: shared.fuel,
    clock,
    clockNumber,
    random: null,
    seed: shared.seed,
    task: shared.task,
    taskBytes: null,
    btf: () => null,
    functions: new FunctionSet({}, {}),
    cgroupAddress: shared.cgroupAddress,
  })
  runtime.memory.setU32(TASK_ADDRESS, shared.taskAddress)
  const machine = new VmMachine(runtime)
  const scratch = new ArrayBuffer(runtime.memory.size)
  const maps: Record<string, VmMap> = {}
  const mapsById = new Map<number, VmMap>()
  for (const { id, spec, addresses, fields, inner, closed } of shared.maps) {
    const config = { spec, name: spec.name, inner: inner === null ? null : (mapsById.get(inner) ?? null), fields }
    const map = runtime.memory.replayed(addresses, scratch, () => {
      runtime.goOnAt(id)
      const made = makeMap(runtime, config)
      // Its memory may be another map's by now.
      if (closed) runtime.unregister(made)
      return made
    })
    mapsById.set(id, map)
    if (!closed) maps[spec.name] = map
  }
  const programs: Record<string, VmProgram> = {}
  for (const { id, place, closed, spec, code, insns, maps: names, exceptions } of shared.programs) {
    const own: VmCode = { ...code, insns: Object.assign(new InsnBuffer(insns.length), insns) }
    const used = names.flatMap((name) => maps[name] ?? [])
    const interpreted = (): ReturnType<typeof jit.compile> => interpreterEngine.compile(own, machine)
    runtime.goOnAt(id)
    const program = new VmProgram(
      runtime,
      spec,
      jit.compile(own, machine),
      used,
      null,
      interpreted,
      '',
      null,
      exceptions,
    )
    if (place !== NO_TAIL_ENTRY) program.retainTail(place)
    runtime.shareProgram(program)
    if (!closed) programs[spec.name] = program
  }
  return { cpu: shared.cpu, cpus: shared.cpus, programs, maps }
}
