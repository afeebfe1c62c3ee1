import { BpfError, isBpfError, within } from '../../bytes/index.ts'
import type { Backend, BackendMap, PinTarget } from '../backend.ts'
import { mapDifferences, normaliseSizes, type MapDifference } from '../map-shape.ts'
import type { MapSpec } from '../spec.ts'

/** Something that can be pinned: a map or program of a backend. */
export interface Pinnable {
  readonly fd: number | null
  pin?(path: string): void
  pinTogether?(pins: readonly PinTarget[]): void
  unpin?(path: string): void
}

/** The pins of one loaded map or program. */
export class Pins {
  readonly #target: Pinnable
  readonly #what: string
  readonly #paths = new Set<string>()

  constructor(target: Pinnable, what: string) {
    this.#target = target
    this.#what = what
  }

  get paths(): readonly string[] {
    return [...this.#paths]
  }

  /** @internal */
  get target(): Pinnable {
    return this.#target
  }

  /** Takes note of a pin that is there already. */
  note(path: string): void {
    this.#paths.add(path)
  }

  pin(path: string): void {
    if (this.#target.pin === undefined) throw this.#unsupported()
    this.#target.pin(path)
    this.#paths.add(path)
  }

  unpin(path?: string): void {
    if (this.#target.unpin === undefined) throw this.#unsupported()
    for (const one of path === undefined ? this.paths : [path]) {
      this.#target.unpin(one)
      this.#paths.delete(one)
    }
  }

  #unsupported(): BpfError {
    return new BpfError('unsupported', `${this.#what} is not in the kernel: only what is there can be pinned`)
  }
}

/** Where a map or program is pinned in a directory: bpf file systems take no dots (libbpf, sanitize_pin_path). */
export function pinPath(directory: string, name: string): string {
  return `${directory.replace(/\/+$/, '')}/${name.replaceAll('.', '_')}`
}

/** Pins all, or on a failure none. */
export function pinAll(pins: readonly { readonly pins: Pins; readonly path: string }[]): void {
  const first = pins[0]?.pins.target
  if (first === undefined) return
  if (first.pinTogether === undefined) {
    for (const one of pins) one.pins.pin(one.path)
    return
  }
  first.pinTogether(pins.map(({ pins: { target }, path }) => ({ target, path })))
  for (const { pins: pinned, path } of pins) pinned.note(path)
}

/**
 * The map pinned at a path when it can stand for the declared one, null when nothing is pinned there.
 * @throws BpfError `type-mismatch` that lists each property that differs
 */
export function reusablePin(backend: Backend, spec: MapSpec, path: string): BackendMap | null {
  const existing = openPin(backend, spec, path)
  if (existing === null) return null
  const { flags, type, mapExtra } = spec
  const sizes = normaliseSizes(spec, { pageSize: backend.pageSize ?? 4096, cpus: backend.cpus })
  const differences = mapDifferences({ type, flags, mapExtra, ...sizes }, existing)
  if (differences.length === 0) return existing
  existing.close()
  throw new BpfError('type-mismatch', `the map pinned at ${path} is another: ${differences.map(words).join('; ')}`, {
    where: { map: spec.name, file: path },
  })
}

function openPin(backend: Backend, spec: MapSpec, path: string): BackendMap | null {
  const open = backend.pinnedMap?.bind(backend)
  if (open === undefined) {
    throw new BpfError('unsupported', `map '${spec.name}' is to be pinned at ${path}: only the kernel has pins`)
  }
  try {
    return within({ map: spec.name }, () => open(path))
  } catch (error) {
    if (isBpfError(error) && error.errno === 'ENOENT') return null
    throw error
  }
}

const PROPERTY = {
  type: 'type',
  keySize: 'key size',
  valueSize: 'value size',
  maxEntries: 'max_entries',
  flags: 'flags',
  mapExtra: 'map_extra',
} as const

function words({ property, declared, actual }: MapDifference): string {
  const text = (value: number | bigint): string => (property === 'flags' ? `0x${value.toString(16)}` : `${value}`)
  return `${PROPERTY[property]} ${text(actual)} instead of ${text(declared)}`
}
