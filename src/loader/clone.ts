import { ObjectSpec } from './object.ts'
import { Variable } from './open/variables.ts'
import type { MapSpec, ProgramSpec, VariableSpec } from './spec.ts'

/**
 * A copy of a spec whose programs, maps and variables can be changed without changing the original: for loading one
 * object several times with different settings. Light: instructions and types, which do not change, are shared.
 */
export function cloneSpec(spec: ObjectSpec): ObjectSpec {
  const maps = mapRecord<MapSpec>(spec.maps, cloneMap)
  const programs = mapRecord<ProgramSpec>(spec.programs, (program) => ({ ...program }))
  const variables = mapRecord<VariableSpec>(spec.variables, (variable) => {
    const map = maps[variable.map]
    const { name, offset, size, typeId } = variable
    return map === undefined ? variable : new Variable(name, map, offset, size, spec.btf, typeId)
  })
  // All of a spec's fields are its parts, but for its name, which follows from the file's.
  return new ObjectSpec(Object.assign({}, spec, { maps, programs, variables }))
}

function cloneMap(map: MapSpec): MapSpec {
  return {
    ...map,
    contents: map.contents?.slice() ?? null,
    inner: map.inner === null ? null : cloneMap(map.inner),
  }
}

/** A record without a prototype, as those of specs are. */
function mapRecord<T>(record: Readonly<Record<string, T>>, change: (value: T) => T): Record<string, T> {
  const result = Object.create(null) as Record<string, T>
  for (const [key, value] of Object.entries(record)) result[key] = change(value)
  return result
}
