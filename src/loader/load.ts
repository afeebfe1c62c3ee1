import { BpfError, isBpfError } from '../bytes/index.ts'
import { MapType, ProgType } from '../uapi/index.ts'
import type { Backend, BackendMap, BackendProgram, ProgramRequest } from './backend.ts'
import type { Instrument } from './instrument.ts'
import { CoreKind } from './core/kinds.ts'
import { attachBySection, type AttachedPrograms } from './load/links.ts'
import { mergeCoverage, type Coverage } from './load/coverage.ts'
import { LoadedMap } from './load/map.ts'
import { createMaps, fillSlots, type MapReport } from './load/maps.ts'
import { LoadedProgram } from './load/program.ts'
import { LoadedStructOps } from './load/struct-ops.ts'
import { pinAll, pinPath, type Pins } from './load/pins.ts'
import { LoadedVariable } from './load/variable.ts'
import type { ObjectSpec } from './object.ts'
import { prepare, type PrepareOptions } from './prepare.ts'
import { resolveStructOps, type ResolvedStructOps } from './prepare/struct-ops.ts'
import type { PreparedProgram, PrepareResult } from './spec.ts'

/** Options of {@link load}. */
export interface LoadOptions extends Pick<
  PrepareOptions,
  'modules' | 'coreBtf' | 'extraTargets' | 'corePolicy' | 'withoutBtf' | 'kconfig'
> {
  /** Verifier log: 0 (default) asks for one only when a program fails; 1, 2, or 4 for statistics. */
  readonly logLevel?: number
  /** Whether the vm verifies programs; default what the vm was made with (it does). A kernel always does. */
  readonly verify?: boolean
  /** Maps to use instead of new ones, by name; load() does not close them. */
  readonly maps?: Readonly<Record<string, BackendMap>>
  /**
   * Directory of a bpf file system ("/sys/fs/bpf") for maps that declare `pinning` by name: a compatible map that is
   * pinned there is used, a new one is pinned when everything is loaded. Without it they are not pinned.
   */
  readonly pinRoot?: string
  /** What the programs do beside running, in the vm; see {@link Instrument}. */
  readonly instrument?: Instrument
  /** Throws the first error when any program or map fails, instead of reporting it. */
  readonly strict?: boolean
}

/** What became of a program. */
export interface ProgramReport {
  readonly name: string
  readonly section: string
  readonly status: 'loaded' | 'skipped' | 'failed'
  readonly error?: BpfError
  /** Verifier log, empty when there is none. */
  readonly log: string
  /** Instruction slots with all that the program calls; 0 when it was not prepared. */
  readonly insns: number
}

/** What became of everything in an object. */
export interface LoadReport {
  /** What it was loaded into, and why when `auto` did not take the kernel (otherwise null). */
  readonly backend: { readonly name: Backend['name']; readonly reason: string | null }
  readonly programs: readonly ProgramReport[]
  readonly maps: readonly MapReport[]
}

/** Programs and maps of an object in a backend. Records have no prototype. Close it, or declare it with `await using`. */
export class LoadedObject {
  readonly spec: ObjectSpec
  readonly backend: Backend
  readonly programs: Readonly<Record<string, LoadedProgram>>
  readonly maps: Readonly<Record<string, LoadedMap>>
  /** Variables of the data sections, live. */
  readonly variables: Readonly<Record<string, LoadedVariable>>
  /** Variables of the struct_ops sections whose maps were created. Loading registers none of them. */
  readonly structOps: Readonly<Record<string, LoadedStructOps>>
  readonly report: LoadReport
  readonly #owned: readonly { close(): void }[]

  constructor(
    spec: ObjectSpec,
    backend: Backend,
    programs: readonly LoadedProgram[],
    maps: readonly LoadedMap[],
    structOps: readonly LoadedStructOps[],
    report: LoadReport,
    owned: readonly { close(): void }[],
  ) {
    this.spec = spec
    this.backend = backend
    this.programs = byName(programs)
    this.maps = byName(maps)
    const liveMaps = this.maps
    this.variables = byName(
      Object.values(spec.variables).flatMap((variable) => {
        const map = liveMaps[variable.map]
        // Variables in an arena are reached through its memory.
        return map === undefined || map.raw.type === MapType.ARENA ? [] : [new LoadedVariable(variable, map, spec.btf)]
      }),
    )
    this.structOps = byName(structOps)
    this.report = report
    this.#owned = owned
  }

  /**
   * Pins all maps and programs in a directory of a bpf file system, each by its name with `_` for dots; when one fails,
   * none. They outlive the process then.
   * @throws BpfError `syscall`, `unsupported`
   */
  pin(directory: string): void {
    pinAll(this.#pins(directory).filter(({ pins, path }) => !pins.paths.includes(path)))
  }

  /** Removes the pins of this object in the directory. @throws BpfError `syscall`, `unsupported` */
  unpin(directory: string): void {
    for (const { pins, path } of this.#pins(directory)) if (pins.paths.includes(path)) pins.unpin(path)
  }

  /**
   * What ran of all programs, by C line, since they were loaded or it was reset. Functions, callbacks and programs that
   * tail calls led to count where they lie.
   * @param names programs to look at; all when left out
   * @throws BpfError `usage` when the object was not loaded with instrument `coverage` or `count`
   */
  coverage(names?: readonly string[]): Coverage {
    const chosen = Object.values(this.programs).filter(({ name }) => names?.includes(name) ?? true)
    return mergeCoverage(chosen.map((program) => program.coverage()))
  }

  #pins(directory: string): { readonly pins: Pins; readonly path: string }[] {
    const all = [...Object.values(this.maps), ...Object.values(this.programs)]
    return all.map(({ name, pins }) => ({ pins, path: pinPath(directory, name) }))
  }

  /**
   * Attaches all programs whose section says where, as libbpf does: tracing, probes with a target, iterators. Those that
   * need an interface, a cgroup or a socket map, and bare sections such as SEC("kprobe"), are left to
   * {@link LoadedProgram.attach}. When one fails, those before it are detached.
   * @throws BpfError of the first that fails
   */
  attach(): AttachedPrograms {
    return attachBySection(Object.values(this.programs))
  }

  /** Closes programs, then maps; the backend stays open. May be called again. */
  close(): void {
    for (const resource of this.#owned) resource.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }
}

/**
 * Loads an object into a backend: links its programs for the backend's kernel, creates the maps, loads each program. One
 * failure does not hide the others: the report says what loaded and why the rest did not. Declared pinning is acted on
 * with `pinRoot`.
 * @throws BpfError `unsupported` for a big-endian object; with `strict` whatever failed first
 */
export async function load(spec: ObjectSpec, backend: Backend, options: LoadOptions = {}): Promise<LoadedObject> {
  if (!spec.littleEndian) {
    throw new BpfError('unsupported', 'the object is big-endian: it can be inspected, but not loaded on this machine', {
      where: { file: spec.file },
    })
  }
  const { instrument } = options
  if (instrument !== undefined && backend.instruments !== true) {
    throw new BpfError('unsupported', `instrument '${instrument}': the ${backend.name} runs programs only as they are`)
  }
  const kernelBtf = needsKernelBtf(spec) ? backend.kernelBtf() : null
  const modules = options.modules ?? (() => backend.moduleBtfs?.() ?? [])
  const structOps = resolveStructOps(spec, kernelBtf, () => (typeof modules === 'function' ? modules() : modules))
  const prepared = prepare(spec, {
    kernelBtf,
    programs: wantedPrograms(spec, structOps),
    ...(backend.name === 'vm' ? { withoutBtf: 'local' } : {}),
    ...prepareOptions(spec, backend, options),
  })
  const { maps, reports } = createMaps(
    spec,
    backend,
    prepared.kconfig,
    options.maps ?? {},
    structOps.maps,
    options.pinRoot ?? null,
    prepared.programs.flatMap((result) => (result.ok ? [result.program] : [])),
  )
  const programs: LoadedProgram[] = []
  const results = new Map<string, ProgramReport>()
  const ownedMaps = [...maps].filter(([name]) => options.maps?.[name] === undefined).map(([, map]) => map)
  try {
    const bindMaps = Object.values(spec.maps).flatMap((map) => {
      const created = map.dataSection === 'rodata' ? maps.get(map.name) : undefined
      return created === undefined ? [] : [created]
    })
    const atOnce = backend.loadProgramAsync === undefined ? 1 : LOADS_AT_ONCE
    await inParallel(prepared.programs, atOnce, async (result) => {
      const { report, program } = await loadOne(spec, backend, result, maps, bindMaps, reports, structOps, options)
      results.set(report.name, report)
      if (program !== null) programs.push(program)
    })
    const ranks = new Map(Object.keys(spec.programs).map((name, rank) => [name, rank]))
    programs.sort((a, b) => (ranks.get(a.name) ?? 0) - (ranks.get(b.name) ?? 0))
    const byProgramName = new Map<string, BackendProgram>(programs.map((program) => [program.name, program.raw]))
    for (const map of Object.values(spec.maps)) {
      if (map.type === MapType.PROG_ARRAY && map.slots.size > 0) fillSlots(spec, map, maps, byProgramName, reports)
    }
    const loadedMaps = Object.values(spec.maps).flatMap((map) => {
      const created = maps.get(map.name)
      return created === undefined ? [] : [new LoadedMap(map, created, spec.btf)]
    })
    if (options.strict === true) throwFirst(fullReport(spec, backend, results, reports))
    pinDeclared(loadedMaps, options.pinRoot ?? null, reports)
    const report = fullReport(spec, backend, results, reports)
    const loadedStructOps = loadedMaps.flatMap((map) => {
      const layout = structOps.maps.get(map.name)
      const variable = spec.structOps[map.name]
      if (layout === undefined || layout instanceof BpfError || variable === undefined) return []
      return [new LoadedStructOps(variable, map, layout, byProgramName)]
    })
    const owned = [...loadedStructOps, ...programs, ...ownedMaps]
    return new LoadedObject(spec, backend, programs, loadedMaps, loadedStructOps, report, owned)
  } catch (error) {
    for (const resource of [...programs, ...ownedMaps]) resource.close()
    throw error
  }
}

/** Threads that libuv has unless told otherwise. */
const LOADS_AT_ONCE = 4

/** Works on the items, a few at once. When some fail, throws one of the errors once none is at work any more. */
async function inParallel<T>(items: readonly T[], atOnce: number, work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values()
  const worker = async (): Promise<void> => {
    for (const item of queue) await work(item)
  }
  const workers = await Promise.allSettled(Array.from({ length: atOnce }, worker))
  for (const each of workers) if (each.status === 'rejected') throw each.reason
}

/** Pins new maps that declare it, as the last step: a process that is killed before leaves no pin behind. */
function pinDeclared(maps: readonly LoadedMap[], root: string | null, reports: Map<string, MapReport>): void {
  if (root === null) return
  const wanted: { readonly pins: Pins; readonly path: string }[] = []
  for (const { name, spec, pins } of maps) {
    const report = reports.get(name)
    if (report?.pin !== undefined) pins.note(report.pin)
    if (spec.pinning !== 'by-name' || report?.status !== 'created') continue
    const path = pinPath(root, name)
    reports.set(name, { ...report, pin: path })
    wanted.push({ pins, path })
  }
  pinAll(wanted)
}

/** Whether anything in an object is looked up in the kernel's BTF, which takes time to open. */
function needsKernelBtf(spec: ObjectSpec): boolean {
  if (Object.keys(spec.structOps).length > 0) return true
  if (Object.values(spec.externs).some((extern) => extern.kind !== 'kconfig')) return true
  return spec.functions.some((fn) => fn.coreRelocations.some(({ kind }) => kind !== CoreKind.TYPE_ID_LOCAL))
}

/**
 * Programs to load: those with `autoload`, but of the functions that struct_ops variables name those that a created
 * variable needs (libbpf, bpf_object_adjust_struct_ops_autoload).
 */
function wantedPrograms(spec: ObjectSpec, structOps: ResolvedStructOps): string[] {
  const { programs, unused } = structOps
  return Object.values(spec.programs)
    .filter(({ name, autoload }) => (autoload || programs.has(name)) && !unused.has(name))
    .map(({ name }) => name)
}

/** What the backend knows of its kernel, under what the caller says. */
function prepareOptions(spec: ObjectSpec, backend: Backend, options: LoadOptions): Partial<PrepareOptions> {
  const { modules = () => backend.moduleBtfs?.() ?? [], coreBtf, extraTargets, corePolicy, withoutBtf } = options
  const known = spec.maps['.kconfig'] === undefined ? undefined : backend.kconfig?.()
  return {
    modules,
    kconfig: { ...known, ...options.kconfig },
    ...(coreBtf === undefined ? {} : { coreBtf }),
    ...(extraTargets === undefined ? {} : { extraTargets }),
    ...(corePolicy === undefined ? {} : { corePolicy }),
    ...(withoutBtf === undefined ? {} : { withoutBtf }),
  }
}

async function loadOne(
  spec: ObjectSpec,
  backend: Backend,
  result: PrepareResult,
  maps: ReadonlyMap<string, BackendMap>,
  bindMaps: readonly BackendMap[],
  mapReports: ReadonlyMap<string, MapReport>,
  structOps: ResolvedStructOps,
  { logLevel = 0, instrument, verify }: LoadOptions,
): Promise<{ readonly report: ProgramReport; readonly program: LoadedProgram | null }> {
  const program = result.ok ? result.program.spec : result.spec
  const { name, section } = program
  const insns = result.ok ? result.program.insns.length : 0
  try {
    if (!result.ok) throw result.error
    checkLoadable(result.program, mapReports)
    const { license, version, btf } = spec
    const attach = structOps.programs.get(name)
    if (attach instanceof BpfError) throw attach
    const known = { program: result.program, license, version, btf, maps, bindMaps, logLevel }
    const request: ProgramRequest = {
      ...known,
      ...(attach === undefined ? {} : { structOps: attach }),
      ...(instrument === undefined ? {} : { instrument }),
      ...(verify === undefined ? {} : { verify }),
    }
    const object = { btf, maps, mapSpecs: spec.maps }
    const raw = await (backend.loadProgramAsync?.(request) ?? backend.loadProgram(request))
    const report: ProgramReport = { name, section, status: 'loaded', log: raw.log, insns }
    return { report, program: new LoadedProgram(result.program, raw, backend, object) }
  } catch (error) {
    if (!isBpfError(error)) throw error
    const located = error.within({ file: spec.file, program: name, section })
    const report: ProgramReport = { name, section, status: 'failed', error: located, log: error.log ?? '', insns }
    return { report, program: null }
  }
}

function checkLoadable(program: PreparedProgram, mapReports: ReadonlyMap<string, MapReport>): void {
  const { type, section } = program.spec
  if (type === ProgType.UNSPEC) {
    throw new BpfError('unsupported', `section '${section}' says no program type; set it in the spec`)
  }
  for (const late of program.lateReferences) {
    if (late.kind !== 'map' && late.kind !== 'mapValue') continue
    const report = mapReports.get(late.map)
    if (report?.status === 'failed') {
      const reason = report.error?.message ?? 'it was not created'
      throw new BpfError('not-found', `its map '${late.map}' failed: ${reason}`, {
        where: { map: late.map, insn: late.insn },
        cause: report.error,
      })
    }
  }
}

function fullReport(
  spec: ObjectSpec,
  backend: Backend,
  programs: ReadonlyMap<string, ProgramReport>,
  maps: ReadonlyMap<string, MapReport>,
): LoadReport {
  return {
    backend: { name: backend.name, reason: backend.reason ?? null },
    programs: Object.values(spec.programs).map(
      ({ name, section }) => programs.get(name) ?? { name, section, status: 'skipped', log: '', insns: 0 },
    ),
    maps: Object.values(spec.maps).map(({ name }) => maps.get(name) ?? { name, status: 'skipped' }),
  }
}

function throwFirst(report: LoadReport): void {
  for (const { error } of [...report.maps, ...report.programs]) if (error !== undefined) throw error
}

function byName<T extends { readonly name: string }>(list: readonly T[]): Record<string, T> {
  const record = Object.create(null) as Record<string, T>
  for (const item of list) record[item.name] = item
  return record
}
