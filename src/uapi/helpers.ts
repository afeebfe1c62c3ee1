import { HelperId } from './helper-ids.generated.ts'
import type { HelperRow } from './helper-types.ts'
import { HELPERS } from './helpers.generated.ts'

const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(HelperId).map(([name, id]) => [id, name]))

/** Name of a helper without `bpf_` (`helperName(1)` is `map_lookup_elem`); undefined for an unknown id. */
export function helperName(id: number): string | undefined {
  return NAMES.get(id)
}

/** Everything known about a helper; undefined for an unknown id. */
export function helperById(id: number): HelperRow | undefined {
  return HELPERS[id - 1]
}
