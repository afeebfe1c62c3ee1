import { BpfError } from '../../bytes/index.ts'
import { BtfKind } from '../../btf/index.ts'
import { MapType } from '../../uapi/index.ts'
import { objectName, type ObjectSpec } from '../object.ts'
import type { MapSpec } from '../spec.ts'
import { encodeBase64 } from './base64.ts'
import { commentText, propertyName, quoted, TypeNames, typeName } from './names.ts'
import { BYTES, TypeWriter } from './types.ts'

/** How {@link generateSkeleton} writes. */
export interface SkeletonOptions {
  /** Where the module finds the object: a URL relative to the module, or the bytes, which are put into the module. */
  readonly object: string | Uint8Array
  /** Name that types and functions are called by; that of the object unless given. */
  readonly name?: string
  /** What to import elfbee as. */
  readonly importFrom?: string
  /**
   * Further structs, unions or enums to declare, by C name: those of events, for instance. What a global pointer to a
   * struct points to is declared, too: `struct event *unused __attribute__((unused))` is how bpf2go is told.
   */
  readonly types?: readonly string[]
}

const PER_CPU: ReadonlySet<number> = new Set([
  MapType.PERCPU_ARRAY,
  MapType.PERCPU_HASH,
  MapType.LRU_PERCPU_HASH,
  MapType.PERCPU_CGROUP_STORAGE,
])
const KEYLESS: ReadonlySet<number> = new Set([MapType.QUEUE, MapType.STACK, MapType.BLOOM_FILTER])
const EVENTS: ReadonlySet<number> = new Set([MapType.RINGBUF, MapType.PERF_EVENT_ARRAY])
const SLOTS: ReadonlySet<number> = new Set([MapType.ARRAY_OF_MAPS, MapType.HASH_OF_MAPS, MapType.PROG_ARRAY])

/**
 * A TypeScript module for one object: functions that open and load it, with its maps, programs and global variables by
 * name and C type, and declarations of the structs and enums in them. There is nothing in the module but types, the
 * constants of enums, and the object or where it is.
 * @throws BpfError `not-found` for `types` that the object's BTF does not have
 */
export function generateSkeleton(spec: ObjectSpec, options: SkeletonOptions): string {
  const names = new TypeNames()
  const name = names.take(options.name ?? objectName(spec.file))
  const [mapsName, programsName, variablesName, specName] = ['Maps', 'Programs', 'Variables', 'Spec'].map((part) =>
    names.take(`${name}${part}`),
  ) as [string, string, string, string]
  const types = new TypeWriter(spec.btf, names)
  const used = new Set<string>(['TypedObject', 'TypedSpec', 'ObjectLoadOptions', 'OpenFileOptions'])
  const use = (type: string): string => {
    used.add(type)
    return type
  }

  const maps = Object.values(spec.maps)
    .filter((map) => map.dataSection === null || map.dataSection === 'struct_ops')
    .map((map) => property(map.name, mapType(map, types, use), map.autocreate ? '' : 'not created by default'))
  const programs = Object.values(spec.programs).map((program) =>
    property(program.name, use(program.autoload ? 'LoadedProgram' : 'OptionalProgram'), `SEC("${program.section}")`),
  )
  const variables = Object.values(spec.variables).map((variable) =>
    property(
      variable.name,
      `${use(variable.readonly ? 'TypedConstant' : 'TypedVariable')}<${types.of(variable.typeId)}>`,
      variable.map,
    ),
  )
  const typeIds = [...new Set([...(options.types ?? []), ...exportedTypes(spec)])].map((cName) =>
    typeId(spec, cName, types, use),
  )
  const interfaces = [
    declaration(mapsName, `maps of ${spec.name}`, maps),
    declaration(programsName, `programs of ${spec.name}`, programs),
    declaration(variablesName, `global variables of ${spec.name}`, variables),
  ]
  const from = quoted(options.importFrom ?? 'elfbee')
  const parameters = `${mapsName}, ${programsName}, ${variablesName}`
  const parts = [
    `// Made by \`elfbee gen skeleton\` from ${commentText(spec.file)}. Changes will be lost.\n` +
      `import { open } from ${from}\n` +
      `import type {\n${[...used]
        .sort()
        .map((type) => `  ${type},\n`)
        .join('')}} from ${from}\n`,
    ...types.declarations,
    ...typeIds,
    ...interfaces,
    `/** ${commentText(spec.name)} before it is loaded. */\nexport type ${specName} = TypedSpec<${parameters}>\n`,
    `/** ${commentText(spec.name)}, loaded. */\nexport type ${name} = TypedObject<${parameters}>\n`,
    source(options.object),
    functions(name, specName, spec),
  ]
  return parts.join('\n')
}

interface Property {
  readonly name: string
  readonly type: string
  readonly comment: string
}

function property(name: string, type: string, comment: string): Property {
  return { name, type, comment }
}

function declaration(name: string, what: string, properties: readonly Property[]): string {
  const head = `/** The ${commentText(what)}. */\nexport interface ${name} {`
  if (properties.length === 0) return `${head}}\n`
  const lines = properties.map(({ name: key, type, comment }) => {
    const text = comment === '' ? '' : `  /** ${commentText(comment)} */\n`
    return `${text}  readonly ${propertyName(key)}: ${type}\n`
  })
  return `${head}\n${lines.join('')}}\n`
}

function mapType(map: MapSpec, types: TypeWriter, use: (type: string) => string): string {
  if (map.type === MapType.STRUCT_OPS || map.type === MapType.USER_RINGBUF) return use('LoadedMap')
  const value = SLOTS.has(map.type) ? BYTES : types.of(map.valueTypeId)
  if (EVENTS.has(map.type)) return `${use('EventMap')}<${value}>`
  if (KEYLESS.has(map.type)) return `${use('QueueMap')}<${value}>`
  const key = types.of(map.keyTypeId)
  return `${use(PER_CPU.has(map.type) ? 'PerCpuMap' : 'TypedMap')}<${key}, ${value}>`
}

/** C names of structs that global pointers point to, plain ones: those to the kernel's objects have a tag. */
function exportedTypes(spec: ObjectSpec): string[] {
  const { btf } = spec
  if (btf === null) return []
  return Object.values(spec.variables).flatMap((variable) => {
    const pointer = variable.typeId === 0 ? null : btf.type(variable.typeId)
    if (pointer?.kind !== BtfKind.PTR || pointer.type === 0) return []
    const target = btf.type(pointer.type)
    const isNamed = (target.kind === BtfKind.STRUCT || target.kind === BtfKind.UNION) && target.name !== ''
    return isNamed ? [target.name] : []
  })
}

function typeId(spec: ObjectSpec, cName: string, types: TypeWriter, use: (type: string) => string): string {
  const { btf } = spec
  const kinds = [BtfKind.STRUCT, BtfKind.UNION, BtfKind.ENUM, BtfKind.ENUM64, BtfKind.TYPEDEF]
  const id = btf?.findAllByName(cName).find((found) => kinds.some((kind) => btf.kind(found) === kind))
  if (id === undefined) {
    throw new BpfError('not-found', `the object has no type '${cName}'`, { where: { file: spec.file } })
  }
  const type = types.of(id)
  const constant = typeName(cName)
  const name = `${constant.charAt(0).toLowerCase()}${constant.slice(1)}TypeId`
  return `/** For drain() of maps that do not say what their events are. */\nexport const ${name}: ${use('TypeId')}<${type}> = ${id}\n`
}

function source(object: string | Uint8Array): string {
  if (typeof object === 'string') return `const object = new URL(${quoted(object)}, import.meta.url)\n`
  return (
    `const base64 =\n  '${encodeBase64(object)}'\n` +
    'const object = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))\n'
  )
}

function functions(name: string, specName: string, spec: ObjectSpec): string {
  const file = quoted(`${spec.name}.bpf.o`)
  return `/** Opens the object; nothing is loaded yet. */
export async function open${name}(options: OpenFileOptions = {}): Promise<${specName}> {
  const spec = await open(object, { name: ${file}, ...options })
  return spec as unknown as ${specName}
}

/** Opens and loads the object. Unless \`strict\` is false, what cannot be loaded is an error. */
export async function load${name}(options: ObjectLoadOptions = {}): Promise<${name}> {
  const spec = await open${name}()
  return spec.load({ strict: true, ...options })
}
`
}
