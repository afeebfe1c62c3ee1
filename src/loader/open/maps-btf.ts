import { btfKindName, BtfKind, type Btf, type BtfComposite, type BtfMember } from '../../btf/index.ts'
import { BpfError } from '../../bytes/index.ts'
import { MapType } from '../../uapi/index.ts'
import type { MapSpec } from '../spec.ts'
import { isMapInMap, mapSpec } from './map-spec.ts'
import type { ObjectFile } from './symbols.ts'

/** A map and where its definition lies, so that symbols can be told which map they name. */
export interface PlacedMap {
  readonly spec: MapSpec
  readonly section: number
  readonly offset: number
  readonly size: number
  /** Bytes from the start of the definition to its `values`, or null. */
  readonly valuesOffset: number | null
  /** DATASEC of its variables, where that is not the value type (arenas). */
  readonly datasecId?: number
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** Unknown attributes are errors, unless the caller relaxes that (libbpf's relaxed_maps). */
export interface MapDefinitionOptions {
  readonly relaxed: boolean
}

/**
 * The maps of section `.maps`, each a variable whose struct type encodes the attributes in pointers to arrays
 * (bpf_helpers.h: __uint, __type, __array, __ulong). Rules of libbpf.c, parse_btf_map_def.
 * @throws BpfError `malformed`, `unsupported`
 */
export function btfMaps(file: ObjectFile, btf: Btf | null, options: MapDefinitionOptions): PlacedMap[] {
  const index = file.roles.indexOf('btfMaps')
  if (index < 0) return []
  const section = file.elf.sections[index]
  if (section === undefined) return []
  const datasecId = btf?.findByName('.maps', BtfKind.DATASEC)
  const datasec = datasecId === undefined ? undefined : btf?.type(datasecId)
  if (btf === null || datasec?.kind !== BtfKind.DATASEC) {
    throw new BpfError('malformed', 'its maps are not described: the BTF has no DATASEC .maps', {
      where: { section: '.maps', offset: section.offset },
    })
  }
  return datasec.vars.flatMap((entry) => {
    const variable = btf.type(entry.type)
    const name = variable.name
    const fail = (message: string, code: 'malformed' | 'unsupported' = 'malformed'): never => {
      throw new BpfError(code, message, { where: { section: '.maps', map: name } })
    }
    if (variable.kind !== BtfKind.VAR)
      return fail(`its entry in .maps is a ${btfKindName(variable.kind)}, not a variable`)
    if (name === '') return fail('a map has no name')
    if (entry.offset + entry.size > section.size) {
      fail(`ends at ${entry.offset + entry.size}, the section has ${section.size} bytes`)
    }
    // Defined in another object: a linker's business. References to it are the programs' problem.
    if (variable.linkage === 2) return []
    if (variable.linkage !== 1) fail('is static, which maps cannot be', 'unsupported')
    const definition = btf.type(btf.skipModifiersAndTypedefs(variable.type))
    if (definition.kind !== BtfKind.STRUCT) return fail(`is a ${btfKindName(definition.kind)}, not a struct`)
    if (definition.size > entry.size) fail(`its struct has ${definition.size} bytes, the variable only ${entry.size}`)
    const spec = parseDefinition(btf, name, definition, options, false)
    const last = definition.members.at(-1)
    const valuesOffset = last?.name === 'values' ? last.bitOffset / 8 : null
    return { spec, section: section.index, offset: entry.offset, size: entry.size, valuesOffset }
  })
}

/** A map from the struct type that defines it. @throws BpfError `malformed`, `unsupported` */
export function parseDefinition(
  btf: Btf,
  name: string,
  definition: BtfComposite,
  options: MapDefinitionOptions,
  isInner: boolean,
): MapSpec {
  const spec: Mutable<MapSpec> = mapSpec({ name, type: 0 })
  const fail = (message: string, code: 'malformed' | 'unsupported' = 'malformed'): never => {
    throw new BpfError(code, message, { where: { section: '.maps', map: name } })
  }
  const number = (member: BtfMember): number => {
    const pointer = btf.type(btf.skipModifiersAndTypedefs(member.type))
    if (pointer.kind !== BtfKind.PTR) return fail(`'${member.name}' is a ${btfKindName(pointer.kind)}, not __uint()`)
    const array = btf.type(pointer.type)
    if (array.kind !== BtfKind.ARRAY)
      return fail(`'${member.name}' points to a ${btfKindName(array.kind)}, not __uint()`)
    return array.length
  }
  const size = (what: 'key' | 'value', bytes: number): void => {
    const field = what === 'key' ? 'keySize' : 'valueSize'
    if (spec[field] !== 0 && spec[field] !== bytes) fail(`has conflicting ${what} sizes: ${spec[field]} and ${bytes}`)
    spec[field] = bytes
  }
  const typed = (what: 'key' | 'value', member: BtfMember): void => {
    const pointer = btf.type(member.type)
    if (pointer.kind !== BtfKind.PTR) return fail(`'${what}' is a ${btfKindName(pointer.kind)}, not __type()`)
    size(what, btf.sizeOf(pointer.type))
    spec[what === 'key' ? 'keyTypeId' : 'valueTypeId'] = pointer.type
  }

  definition.members.forEach((member, i) => {
    switch (member.name) {
      case 'type':
        spec.type = number(member)
        break
      case 'max_entries':
        spec.maxEntries = number(member)
        break
      case 'map_flags':
        spec.flags = number(member)
        break
      case 'numa_node':
        spec.numaNode = number(member)
        break
      case 'key_size':
        size('key', number(member))
        break
      case 'value_size':
        size('value', number(member))
        break
      case 'key':
      case 'value':
        typed(member.name, member)
        break
      case 'values':
        if (isInner) fail('inner maps with inner maps are not supported', 'unsupported')
        if (i !== definition.members.length - 1) fail(`'values' must be the last member`)
        if (spec.valueSize !== 0 && spec.valueSize !== 4) fail(`'values' asks for value size 4, not ${spec.valueSize}`)
        spec.valueSize = 4
        spec.inner = parseValues(btf, name, spec.type, member, options)
        break
      case 'pinning': {
        const pinning = number(member)
        if (isInner) fail('an inner map cannot be pinned')
        if (pinning > 1) fail(`'pinning' is ${pinning}, not 0 (none) or 1 (by name)`)
        spec.pinning = pinning === 1 ? 'by-name' : 'none'
        break
      }
      case 'map_extra':
        spec.mapExtra = wideNumber(btf, member, number, fail)
        break
      default:
        if (!options.relaxed) fail(`attribute '${member.name}' is unknown`, 'unsupported')
    }
  })
  if (spec.type === MapType.UNSPEC) fail('has no type')
  return spec
}

/** __ulong(): an enum of one value; or __uint(). */
function wideNumber(
  btf: Btf,
  member: BtfMember,
  number: (member: BtfMember) => number,
  fail: (message: string) => never,
): bigint {
  const type = btf.type(btf.skipModifiersAndTypedefs(member.type))
  if (type.kind !== BtfKind.ENUM && type.kind !== BtfKind.ENUM64) return BigInt(number(member))
  const only = type.values[0]
  if (only === undefined || type.values.length !== 1) return fail(`'${member.name}' is not one number`)
  return BigInt.asUintN(64, only.value)
}

/** `__array(values, ...)`: the definition of inner maps, or the type of programs in a prog array (null). */
function parseValues(
  btf: Btf,
  name: string,
  type: number,
  member: BtfMember,
  options: MapDefinitionOptions,
): MapSpec | null {
  const fail = (message: string, code: 'malformed' | 'unsupported' = 'malformed'): never => {
    throw new BpfError(code, message, { where: { section: '.maps', map: name } })
  }
  const isProgArray = type === MapType.PROG_ARRAY
  if (!isProgArray && !isMapInMap(type)) {
    return fail(`'values' is for maps of maps and prog arrays, not for type ${type}`, 'unsupported')
  }
  const array = btf.type(member.type)
  if (array.kind !== BtfKind.ARRAY || array.length !== 0) return fail(`'values' is no array without a length`)
  const pointer = btf.type(btf.skipModifiersAndTypedefs(array.elementType))
  if (pointer.kind !== BtfKind.PTR) return fail(`'values' holds a ${btfKindName(pointer.kind)}, not pointers`)
  const target = btf.type(btf.skipModifiersAndTypedefs(pointer.type))
  if (isProgArray) {
    if (target.kind === BtfKind.FUNC_PROTO) return null
    return fail(`'values' points to a ${btfKindName(target.kind)}, not to functions`)
  }
  if (target.kind !== BtfKind.STRUCT)
    return fail(`'values' points to a ${btfKindName(target.kind)}, not to a map struct`)
  return parseDefinition(btf, `${name}.inner`, target, options, true)
}
