import { mkdirSync, rmdirSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { BpfError } from '../../bytes/index.ts'
import { KernelMap, KernelProgram, openKernelBackend } from '../../kernel/index.ts'
import { load, type ObjectSpec, type ProgramReport } from '../../loader/index.ts'
import { matchSection } from '../../uapi/index.ts'

/** What to load and where to pin it. */
export interface LoadRequest {
  readonly path: string
  /** Pins every program in the directory `path`, not just the first one at `path`. */
  readonly all: boolean
  /** Section name that says the type of all programs, instead of their own sections. */
  readonly type: string | null
  /** Directory for the maps, null to pin none. */
  readonly pinMaps: string | null
  /** Verifier log level. */
  readonly logLevel: number
}

/** What was pinned, or which programs failed; then nothing is. */
export type LoadResult =
  | {
      readonly ok: true
      readonly programs: readonly Pinned[]
      readonly maps: readonly Pinned[]
      readonly reports: readonly ProgramReport[]
    }
  | { readonly ok: false; readonly failed: readonly ProgramReport[] }

export interface Pinned {
  readonly name: string
  readonly id: number
  readonly path: string
}

/** Pins that are taken back unless everything works out. */
export class Pins {
  readonly #undo: (() => void)[] = []

  directory(path: string): void {
    try {
      mkdirSync(path)
      this.#undo.push(() => rmdirSync(path))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  }

  pin(object: KernelMap | KernelProgram, path: string): void {
    object.pin(path)
    this.#undo.push(() => unlinkSync(path))
  }

  keep(): void {
    this.#undo.length = 0
  }

  /** Removes what was pinned, last first. */
  undo(): void {
    for (const each of this.#undo.splice(0).reverse()) {
      try {
        each()
      } catch {
        // Somebody else was faster.
      }
    }
  }
}

/** Loads an object into the kernel and pins it. @throws BpfError `syscall` when pinning fails; nothing stays pinned */
export async function loadAndPin(spec: ObjectSpec, request: LoadRequest, pins: Pins): Promise<LoadResult> {
  if (request.type !== null) setType(spec, request.type)
  using backend = openKernelBackend()
  using loaded = await load(spec, backend, { logLevel: request.logLevel })
  const failed = loaded.report.programs.filter((program) => program.status === 'failed')
  if (failed.length > 0) return { ok: false, failed }
  const programs = Object.values(loaded.programs).slice(0, request.all ? undefined : 1)
  if (programs.length === 0) throw new BpfError('not-found', 'no program was loaded', { where: { file: spec.file } })
  if (request.all) pins.directory(request.path)
  const pinnedPrograms = programs.flatMap(({ name, raw }) => {
    if (!(raw instanceof KernelProgram)) return []
    const path = request.all ? join(request.path, pinName(name)) : request.path
    pins.pin(raw, path)
    return [{ name, id: raw.id, path }]
  })
  const pinnedMaps: Pinned[] = []
  if (request.pinMaps !== null) {
    pins.directory(request.pinMaps)
    for (const { spec: map, raw } of Object.values(loaded.maps)) {
      if (!(raw instanceof KernelMap)) continue
      const path = join(request.pinMaps, pinName(map.dataSection === null ? map.name : raw.info().name))
      pins.pin(raw, path)
      pinnedMaps.push({ name: map.name, id: raw.id, path })
    }
  }
  pins.keep()
  return { ok: true, programs: pinnedPrograms, maps: pinnedMaps, reports: loaded.report.programs }
}

/** A bpf file system takes no dots in names. */
function pinName(name: string): string {
  return name.replaceAll('.', '_')
}

function setType(spec: ObjectSpec, section: string): void {
  const definition = matchSection(section)
  if (definition === null) throw new BpfError('usage', `'${section}' is no section name that says a program type`)
  for (const program of Object.values(spec.programs)) {
    program.type = definition.progType
    program.attachType = definition.attachType
  }
}
