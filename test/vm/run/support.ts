import { load, openObject, type LoadedObject, type LoadOptions } from '../../../src/loader/index.ts'
import { createVm, type VmOptions } from '../../../src/vm/index.ts'
import { loadFixture } from '../../support/fixture.ts'

/** runs.bpf.o in a vm of its own, unverified: one program goes wrong on purpose. */
export async function loadRuns(options: VmOptions = {}, how: LoadOptions = {}): Promise<LoadedObject> {
  const spec = openObject(await loadFixture('test/vm/run/runs.bpf.o'), { name: 'runs' })
  const loaded = await load(spec, createVm({ verify: false, ...options }), { strict: true, ...how })
  loaded.maps['targets']?.raw.setSlot(u32(1), loaded.programs['end_of_chain']?.raw ?? missing('end_of_chain'))
  return loaded
}

function missing(name: string): never {
  throw new Error(`no ${name}`)
}

export function u32(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer)
}

/** Ethernet frames that begin with `first`, of this length. */
export function frame(first: readonly number[], length: number = 64): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => first[i] ?? (i * 7) & 0xff)
}

/** What all maps hold, as text; without the places of programs. */
export function contents(loaded: LoadedObject): string {
  const text = (value: unknown): string =>
    JSON.stringify(value, (_, v: unknown) => (typeof v === 'bigint' ? `${v}` : v))
  return Object.values(loaded.maps)
    .filter(({ name }) => name === 'counters' || name === 'percpu' || name === 'flows')
    .map((map) => `${map.name} ${[...map.entries()].map(text).sort().join()}`)
    .join('\n')
}
