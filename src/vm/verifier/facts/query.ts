import type { FieldKind } from './fields.ts'
import type { MapFacts } from './maps.ts'

/** Whether a map's value has a special field of a kind. */
export function hasField(map: MapFacts, kind: FieldKind): boolean {
  return map.fields.some((field) => field.kind === kind)
}
