import { BpfError, isBpfError } from '../bytes/index.ts'
import { MapType, ProgType } from '../uapi/index.ts'
import type { Backend, BackendMap, BackendProgram } from './backend.ts'
import { CoreKind } from './core/kinds.ts'
import { LoadedMap } from './load/map.ts'
import { createMaps, fillSlots, type MapReport } from './load/maps.ts'
import { LoadedProgram } from './load/program.ts'
import { LoadedVariable } from './load/variable.ts'
import type { ObjectSpec } from './object.ts'
import { prepare, type PrepareOptions } from './prepare.ts'
import type { PreparedProgram, PrepareResult } from './spec.ts'

/** Options of {@link load}. */
export interface LoadOptions extends Pick<PrepareOptions, 'modules' | 'coreBtf' | 'withoutBtf' | 'kconfig'> {
  /** Verifier log: 0 (default) asks for one only when a program fails; 1, 2, or 4 for statistics. */
  readonly logLevel?: number
  /** Maps to use instead of new ones, by name; load() does not close them. */
  readonly maps?: Readonly<Record<string, BackendMap>>
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
  readonly report: LoadReport
  readonly #owned: readonly { close(): void }[]

  constructor(
    spec: ObjectSpec,
    backend: Backend,
    programs: readonly LoadedProgram[],
    maps: readonly LoadedMap[],
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
        return map === undefined ? [] : [new LoadedVariable(variable, map, spec.btf)]
      }),
    )
    this.report = report
    this.#owned = owned
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
 * failure does not hide the others: the report says what loaded and why the rest did not. Declared pinning is not acted
 * on: pin maps of the result, and give pinned ones as `maps`.
 * @throws BpfError `unsupported` for a big-endian object; with `strict` whatever failed first
 */
export async function load(spec: ObjectSpec, backend: Backend, options: LoadOptions = {}): Promise<LoadedObject> {
  if (!spec.littleEndian) {
    throw new BpfError('unsupported', 'the object is big-endian: it can be inspected, but not loaded on this machine', {
      where: { file: spec.file },
    })
  }
  const prepared = prepare(spec, {
    kernelBtf: needsKernelBtf(spec) ? backend.kernelBtf() : null,
    ...(backend.name === 'vm' ? { withoutBtf: 'local' } : {}),
    ...prepareOptions(spec, backend, options),
  })
  const { maps, reports } = createMaps(spec, backend, prepared.kconfig, options.maps ?? {})
  const programs: LoadedProgram[] = []
  const results = new Map<string, ProgramReport>()
  const ownedMaps = [...maps].filter(([name]) => options.maps?.[name] === undefined).map(([, map]) => map)
  try {
    const bindMaps = Object.values(spec.maps).flatMap((map) => {
      const created = map.dataSection === 'rodata' ? maps.get(map.name) : undefined
      return created === undefined ? [] : [created]
    })
    for (const result of prepared.programs) {
      const name = result.ok ? result.program.spec.name : result.spec.name
      const { report, program } = await loadOne(spec, backend, result, maps, bindMaps, reports, options.logLevel ?? 0)
      results.set(name, report)
      if (program !== null) programs.push(program)
    }
    const byProgramName = new Map<string, BackendProgram>(programs.map((program) => [program.name, program.raw]))
    for (const map of Object.values(spec.maps)) {
      if (map.type === MapType.PROG_ARRAY && map.slots.size > 0) fillSlots(spec, map, maps, byProgramName, reports)
    }
    const report = fullReport(spec, results, reports)
    if (options.strict === true) throwFirst(report)
    const loadedMaps = Object.values(spec.maps).flatMap((map) => {
      const created = maps.get(map.name)
      return created === undefined ? [] : [new LoadedMap(map, created, spec.btf)]
    })
    return new LoadedObject(spec, backend, programs, loadedMaps, report, [...programs, ...ownedMaps])
  } catch (error) {
    for (const resource of [...programs, ...ownedMaps]) resource.close()
    throw error
  }
}

/** Whether anything in an object is looked up in the kernel's BTF, which takes time to open. */
function needsKernelBtf(spec: ObjectSpec): boolean {
  if (Object.values(spec.externs).some((extern) => extern.kind !== 'kconfig')) return true
  return spec.functions.some((fn) => fn.coreRelocations.some(({ kind }) => kind !== CoreKind.TYPE_ID_LOCAL))
}

/** What the backend knows of its kernel, under what the caller says. */
function prepareOptions(spec: ObjectSpec, backend: Backend, options: LoadOptions): Partial<PrepareOptions> {
  const { modules = () => backend.moduleBtfs?.() ?? [], coreBtf, withoutBtf } = options
  const known = spec.maps['.kconfig'] === undefined ? undefined : backend.kconfig?.()
  return {
    modules,
    kconfig: { ...known, ...options.kconfig },
    ...(coreBtf === undefined ? {} : { coreBtf }),
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
  logLevel: number,
): Promise<{ readonly report: ProgramReport; readonly program: LoadedProgram | null }> {
  const program = result.ok ? result.program.spec : result.spec
  const { name, section } = program
  const insns = result.ok ? result.program.insns.length : 0
  try {
    if (!result.ok) throw result.error
    checkLoadable(result.program, mapReports)
    const { license, version, btf } = spec
    const request = { program: result.program, license, version, btf, maps, bindMaps, logLevel }
    const raw = await backend.loadProgram(request)
    const report: ProgramReport = { name, section, status: 'loaded', log: raw.log, insns }
    return { report, program: new LoadedProgram(result.program, raw) }
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
  if (type === ProgType.STRUCT_OPS) throw new BpfError('unsupported', 'struct_ops programs cannot be loaded yet')
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
  programs: ReadonlyMap<string, ProgramReport>,
  maps: ReadonlyMap<string, MapReport>,
): LoadReport {
  return {
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
