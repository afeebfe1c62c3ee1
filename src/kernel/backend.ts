import { BpfError, isBpfError, within } from '../bytes/index.ts'
import type { Btf } from '../btf/index.ts'
import type {
  AttachObject,
  AttachOptions,
  Backend,
  BackendProgram,
  KconfigFacts,
  Link,
  MapRequest,
  ModuleBtf,
  ProgramRequest,
  ProgramSpec,
} from '../loader/index.ts'
import { MapType } from '../uapi/index.ts'
import { mapMemory } from './buffers/index.ts'
import { possibleCpus } from './cpus.ts'
import { moduleBtfs, vmlinuxBtf } from './kernel-btf.ts'
import { kernelFacts } from './kernel-facts.ts'
import { KernelMap } from './map.ts'
import { createMapFd, normaliseShape } from './map-create.ts'
import { attachProgram } from './links/attach.ts'
import { KernelLink, programFd } from './links/link.ts'
import { LoadedBtf } from './object-btf.ts'
import { mapInfo, openById, getPinned, progInfo } from './objects.ts'
import { raiseMemlock } from './old-kernels.ts'
import { loadProgramFd, loadProgramFdAsync, type LoadedFd } from './prog-load.ts'
import { KernelProgram } from './program.ts'
import { closeFd, native } from './syscall.ts'
import { kernelStatus } from './status.ts'

/** Options of {@link openKernelBackend}. */
export interface KernelBackendOptions {
  /** BTF that CO-RE relocates against, in place of the running kernel's; null for none. */
  readonly btf?: Btf | null
}

/**
 * The running kernel as a backend.
 * @throws BpfError `unsupported` with the reasons of {@link kernelStatus}
 */
export function openKernelBackend(options: KernelBackendOptions = {}): KernelBackend {
  const status = kernelStatus()
  if (!status.ok) throw new BpfError('unsupported', `the kernel cannot be used: ${status.reasons.join('; ')}`)
  return new KernelBackend(options)
}

/** Maps and programs of the running kernel, by bpf(2). */
export class KernelBackend implements Backend {
  readonly name = 'kernel'
  readonly #btf: Btf | null | undefined
  readonly #loaded = new Map<Btf, LoadedBtf>()

  constructor(options: KernelBackendOptions) {
    this.#btf = options.btf
    raiseMemlock()
  }

  get cpus(): number {
    return possibleCpus()
  }

  get pageSize(): number {
    return native().pageSize
  }

  kernelBtf(): Btf | null {
    return this.#btf === undefined ? vmlinuxBtf() : this.#btf
  }

  moduleBtfs(): readonly ModuleBtf[] {
    return this.#btf === undefined ? moduleBtfs() : []
  }

  kconfig(): KconfigFacts {
    return kernelFacts()
  }

  createMap(request: MapRequest): KernelMap {
    return this.#withBtf(request.btf, (loaded) => {
      const shape = normaliseShape(request)
      const fd = createMapFd(request, shape, loaded?.fd ?? null)
      const arena = shape.type === MapType.ARENA ? mapArena(fd, request) : null
      const release = loaded?.retain()
      return new KernelMap(fd, shape, () => {
        if (arena !== null) native().detach(arena)
        release?.()
      })
    })
  }

  loadProgram(request: ProgramRequest): KernelProgram {
    return this.#withBtf(request.btf, (loaded) => {
      const { name } = request.program.spec
      return kernelProgram(
        request,
        loaded,
        within({ program: name }, () => loadProgramFd(request, loaded?.fd ?? null)),
      )
    })
  }

  async loadProgramAsync(request: ProgramRequest): Promise<KernelProgram> {
    const loaded = this.#withBtf(request.btf, (known) => ({ btf: known, release: known?.retain() }))
    try {
      return kernelProgram(request, loaded.btf, await loadProgramFdAsync(request, loaded.btf?.fd ?? null))
    } catch (error) {
      throw isBpfError(error) ? error.within({ program: request.program.spec.name }) : error
    } finally {
      loaded.release?.()
    }
  }

  attach(
    program: BackendProgram,
    spec: ProgramSpec,
    options: AttachOptions = {},
    object: AttachObject | null = null,
  ): Link {
    return attachProgram(programFd(program), spec, options, object)
  }

  /** Opens a pinned link; close it when done. @throws BpfError `syscall` */
  pinnedLink(path: string): KernelLink {
    return new KernelLink(getPinned(path), `link ${path}`)
  }

  /** Opens a link of the system by id. @throws BpfError `syscall` */
  linkById(id: number): KernelLink {
    return new KernelLink(openById('link', id), `link ${id}`)
  }

  /** Opens a pinned map; close it when done. @throws BpfError `syscall` */
  pinnedMap(path: string): KernelMap {
    return mapOf(getPinned(path))
  }

  /** Opens a pinned program; close it when done. @throws BpfError `syscall` */
  pinnedProgram(path: string): KernelProgram {
    return programOf(getPinned(path))
  }

  /** Opens a map of the system by id. @throws BpfError `syscall` */
  mapById(id: number): KernelMap {
    return mapOf(openById('map', id))
  }

  /** Opens a program of the system by id. @throws BpfError `syscall` */
  programById(id: number): KernelProgram {
    return programOf(openById('prog', id))
  }

  /** Closes what the backend keeps for itself; maps and programs stay with their owners. */
  close(): void {
    for (const loaded of this.#loaded.values()) loaded.close()
    this.#loaded.clear()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  /** Runs `work` with the object's BTF in the kernel, loaded once for as long as something made with it is open. */
  #withBtf<T>(btf: Btf | null, work: (loaded: LoadedBtf | null) => T): T {
    if (btf === null) return work(null)
    let loaded = this.#loaded.get(btf)
    if (loaded === undefined) {
      loaded = new LoadedBtf(btf, () => this.#loaded.delete(btf))
      this.#loaded.set(btf, loaded)
    }
    try {
      return work(loaded)
    } finally {
      loaded.closeIfUnused()
    }
  }
}

function kernelProgram(request: ProgramRequest, btf: LoadedBtf | null, { fd, log }: LoadedFd): KernelProgram {
  const { name, type } = request.program.spec
  return new KernelProgram(fd, { name, type, log }, eventMapsOf(request), btf?.retain())
}

// The verifier wants to know an arena's address in user space, which mmap(2) decides unless map_extra does.
function mapArena(fd: number, request: MapRequest): ArrayBuffer | null {
  const { mapExtra, maxEntries, contents } = request.spec
  const hasContents = contents !== null && contents.some((byte) => byte !== 0)
  try {
    // At an address that the object fixes, the verifier knows it; mapping is for the variables then.
    if (mapExtra !== 0n && !hasContents) return null
    const memory = mapMemory(fd, maxEntries * native().pageSize, 'rw', 0, mapExtra)
    if (hasContents) new Uint8Array(memory).set(contents)
    return memory
  } catch (error) {
    closeFd(fd)
    throw error
  }
}

function eventMapsOf(request: ProgramRequest): KernelMap[] {
  const maps = new Set<KernelMap>()
  for (const reference of request.program.lateReferences) {
    if (reference.kind !== 'map') continue
    const map = request.maps.get(reference.map)
    if (map instanceof KernelMap && map.type === MapType.PERF_EVENT_ARRAY) maps.add(map)
  }
  return [...maps]
}

function mapOf(fd: number): KernelMap {
  const info = closing(fd, () => mapInfo(fd))
  return new KernelMap(fd, info)
}

function programOf(fd: number): KernelProgram {
  const info = closing(fd, () => progInfo(fd))
  return new KernelProgram(fd, { name: info.name, type: info.type, log: '' })
}

function closing<T>(fd: number, work: () => T): T {
  try {
    return work()
  } catch (error) {
    closeFd(fd)
    throw error
  }
}
