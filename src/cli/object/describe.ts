import { formatError } from '../../bytes/index.ts'
import type { Btf } from '../../btf/index.ts'
import type { MapSpec, ObjectSpec, ProgramSpec } from '../../loader/index.ts'
import { reachable } from './open-spec.ts'
import { valueText } from './value-text.ts'
import { attachWords, mapFlagNames, mapType, objectNotes, programFlagNames, programType, typeWords } from './words.ts'

/** A map as `show` prints it; sizes in bytes. */
export interface MapDescription {
  readonly name: string
  readonly type: string
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  readonly keyType: string | null
  readonly valueType: string | null
  readonly flags: readonly string[]
  readonly mapExtra: bigint
  readonly numaNode: number | null
  readonly pinning: string
  readonly dataSection: string | null
  readonly frozen: boolean
  readonly inner: MapDescription | null
  /** Names of the maps or programs in the slots that have a first value, by index. */
  readonly slots: Readonly<Record<string, string>>
}

/** What `show --json` prints. */
export interface ObjectDescription {
  readonly file: string
  readonly endianness: 'little' | 'big'
  readonly license: string
  /** Text of section `version` as a number, 0 without one. */
  readonly version: number
  readonly btf: { readonly types: number; readonly bytes: number } | null
  readonly programs: readonly {
    readonly name: string
    readonly section: string
    readonly type: string
    readonly attachType: number | null
    readonly attachTarget: string | null
    readonly attach: string | null
    readonly flags: readonly string[]
    readonly autoload: boolean
    /** Slots of 8 bytes of its own function. */
    readonly slots: number
    readonly subprograms: readonly string[]
    readonly coreRelocations: number
  }[]
  readonly maps: readonly MapDescription[]
  readonly variables: readonly {
    readonly name: string
    readonly map: string
    readonly offset: number
    readonly size: number
    readonly type: string | null
    readonly readonly: boolean
    readonly value: unknown
    /** The value for people. */
    readonly text: string
  }[]
  readonly externs: readonly {
    readonly name: string
    readonly kind: string
    readonly type: string | null
    readonly weak: boolean
  }[]
  readonly notes: readonly string[]
  /** Functions that cannot be loaded, and parts of the file that were ignored. */
  readonly problems: readonly string[]
}

/** Everything that can be said about an object without loading it. */
export function describeObject(spec: ObjectSpec): ObjectDescription {
  const { btf } = spec
  return {
    file: spec.file,
    endianness: spec.littleEndian ? 'little' : 'big',
    license: spec.license,
    version: spec.version,
    btf: btf === null ? null : { types: btf.typeCount - 1, bytes: btf.bytes().length },
    programs: Object.values(spec.programs).map((program) => describeProgram(spec, program)),
    maps: Object.values(spec.maps).map((map) => describeMap(btf, map)),
    variables: Object.values(spec.variables).map((variable) => ({
      name: variable.name,
      map: variable.map,
      offset: variable.offset,
      size: variable.size,
      type: typeWords(btf, variable.typeId),
      readonly: variable.readonly,
      value: variable.get(),
      text: valueText(btf, variable.typeId, variableBytes(spec, variable)),
    })),
    externs: Object.values(spec.externs).map((extern) => ({
      name: extern.name,
      kind: extern.kind,
      type: typeWords(btf, extern.typeId),
      weak: extern.weak,
    })),
    notes: objectNotes(spec),
    problems: [...spec.problems.values(), ...spec.warnings].map((error) => formatError(error)),
  }
}

function describeProgram(spec: ObjectSpec, program: ProgramSpec): ObjectDescription['programs'][number] {
  const functions = reachable(spec, program.functionIndex)
  return {
    name: program.name,
    section: program.section,
    type: programType(program.type),
    attachType: program.attachType,
    attachTarget: program.attachTarget,
    attach: attachWords(program),
    flags: programFlagNames(program.flags),
    autoload: program.autoload,
    slots: functions[0]?.insns.length ?? 0,
    subprograms: functions.slice(1).map((fn) => fn.name),
    coreRelocations: functions.reduce((count, fn) => count + fn.coreRelocations.length, 0),
  }
}

function describeMap(btf: Btf | null, map: MapSpec): MapDescription {
  return {
    name: map.name,
    type: mapType(map.type),
    keySize: map.keySize,
    valueSize: map.valueSize,
    maxEntries: map.maxEntries,
    keyType: typeWords(btf, map.keyTypeId),
    valueType: typeWords(btf, map.valueTypeId),
    flags: mapFlagNames(map.flags),
    mapExtra: map.mapExtra,
    numaNode: map.numaNode,
    pinning: map.pinning,
    dataSection: map.dataSection,
    frozen: map.frozen,
    inner: map.inner === null ? null : describeMap(btf, map.inner),
    slots: Object.fromEntries([...map.slots].map(([index, name]) => [String(index), name])),
  }
}

function variableBytes(spec: ObjectSpec, variable: { map: string; offset: number; size: number }): Uint8Array {
  const contents = spec.maps[variable.map]?.contents ?? new Uint8Array(0)
  return contents.subarray(variable.offset, variable.offset + variable.size)
}
