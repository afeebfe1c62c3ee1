/** Names that the module itself or its imports use. */
const TAKEN = [
  'Array',
  'EventMap',
  'Generator',
  'LoadedMap',
  'LoadedProgram',
  'Map',
  'Object',
  'ObjectLoadOptions',
  'OpenFileOptions',
  'OptionalProgram',
  'PerCpuMap',
  'Promise',
  'QueueMap',
  'String',
  'TypeId',
  'TypedConstant',
  'TypedMap',
  'TypedObject',
  'TypedSpec',
  'TypedVariable',
  'URL',
  'Uint8Array',
]

/** "ProtoSlot" for "proto_slot"; never empty, never a reserved word (which are all in lower case). */
export function typeName(name: string): string {
  const words = name.split(/[^A-Za-z0-9]+/).filter((word) => word !== '')
  const joined = words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('')
  return /^[A-Z]/.test(joined) ? joined : `T${joined}`
}

/** Gives out names of types, each once. */
export class TypeNames {
  readonly #taken = new Set(TAKEN)
  /** By name: the last number that was put behind it. */
  readonly #numbers = new Map<string, number>()

  take(name: string): string {
    const wanted = typeName(name)
    let unique = wanted
    let number = this.#numbers.get(wanted) ?? 1
    while (this.#taken.has(unique)) unique = `${wanted}${++number}`
    this.#numbers.set(wanted, number)
    this.#taken.add(unique)
    return unique
  }
}

/** A property as it is written in a type or an object. */
export function propertyName(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : quoted(name)
}

/** A string literal in the style of the code around it. */
export function quoted(text: string): string {
  const json = JSON.stringify(text)
  return text.includes("'") || text.includes('\\') || text.includes('"') ? json : `'${json.slice(1, -1)}'`
}

/** Text that cannot end the comment that it is in, which takes an asterisk or a line break. */
export function commentText(text: string): string {
  return text.replaceAll(/[^\w ".,:;()[\]/?%+-]/g, '?')
}
