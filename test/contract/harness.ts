import { afterEach } from 'vitest'
import type { Backend, BackendMap, BackendProgram, MapSpec, PreparedProgram } from '../../src/loader/index.ts'
import { mapSpec } from '../support/program.ts'
import { thrown } from '../support/thrown.ts'

/** Opens maps and programs of a backend and closes them after each test. */
export class Harness {
  readonly backend: Backend
  #open: { close(): void }[] = []

  constructor(backend: Backend) {
    this.backend = backend
    afterEach(() => {
      for (const handle of this.#open.splice(0)) handle.close()
    })
  }

  map(
    type: number,
    keySize: number,
    valueSize: number,
    maxEntries: number,
    more: Partial<MapSpec> = {},
    inner: BackendMap | null = null,
  ): BackendMap {
    const spec = mapSpec(type, keySize, valueSize, maxEntries, more)
    const map = this.backend.createMap({ spec, kernelName: spec.name, btf: null, inner })
    this.#open.push(map)
    return map
  }

  load(program: PreparedProgram, maps: Record<string, BackendMap> = {}): BackendProgram {
    const loaded = this.backend.loadProgram({
      program,
      license: 'GPL',
      version: 0,
      btf: null,
      maps: new Map(Object.entries(maps)),
      bindMaps: [],
      logLevel: 0,
    })
    this.#open.push(loaded)
    return loaded
  }
}

/** errno of the failed call, or the error's code when it is no `syscall` error. */
export function failure(work: () => unknown): string {
  const error = thrown(work)
  return error.errno ?? error.code
}

/** All keys by nextKey(). */
export function keysOf(map: BackendMap): Uint8Array[] {
  const keys: Uint8Array[] = []
  for (let key = map.nextKey(null); key !== null && keys.length < 100_000; key = map.nextKey(key)) keys.push(key)
  return keys
}

/** What drain() hands out. */
export function drained(map: BackendMap): Uint8Array[] {
  const records: Uint8Array[] = []
  map.drain((data) => records.push(data))
  return records
}
