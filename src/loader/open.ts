import { BtfKind, type Btf } from '../btf/index.ts'
import { BpfError, decodeUtf8, isBpfError, Reader } from '../bytes/index.ts'
import { parseElf, type ElfFile } from '../elf/index.ts'
import { matchSection, MapType, ProgFlag } from '../uapi/index.ts'
import { ObjectSpec, type BackendResolver } from './object.ts'
import { readObjectBtf, withKconfigLayout } from './open/btf.ts'
import { collectExterns, type Externs } from './open/externs.ts'
import { collectFunctions, type FunctionTable, type LocatedFunction } from './open/functions.ts'
import { exceptionCallbacks } from './open/exceptions.ts'
import { dataMapSpec } from './open/map-spec.ts'
import { btfMaps, type PlacedMap } from './open/maps-btf.ts'
import { dataMaps, hasVisibleVariable, structOpsMaps } from './open/maps-data.ts'
import { legacyMaps } from './open/maps-legacy.ts'
import { collectRecords, type FunctionRecords } from './open/records.ts'
import { collectReferences, type References } from './open/references.ts'
import { collectSlots } from './open/slots.ts'
import { indexFile, type ObjectFile } from './open/symbols.ts'
import { collectVariables } from './open/variables.ts'
import type { ExternSpec, FunctionSpec, MapSpec, ProgramSpec } from './spec.ts'

/** How {@link openObject} reads. */
export interface OpenOptions {
  /** File name, for messages and for the names of data maps. */
  readonly name?: string
  /** Ignores unknown attributes of maps instead of refusing the object. */
  readonly relaxedMaps?: boolean
  /** Resolves backend names in load(). */
  readonly backends?: BackendResolver
}

/**
 * Opens a BPF object file that clang 6 or newer built, of either byte order. Pure: the same bytes give the same
 * description everywhere. What is wrong with one function is kept in `problems` and does not hide the rest.
 * @throws BpfError when the file, its BTF or its maps cannot be understood
 */
export function openObject(bytes: Uint8Array, options: OpenOptions = {}): ObjectSpec {
  const name = options.name ?? 'object'
  try {
    return open(parseElf(bytes, name), options)
  } catch (error) {
    if (isBpfError(error)) throw error.within({ file: name })
    throw error
  }
}

function open(elf: ElfFile, options: OpenOptions): ObjectSpec {
  const file = indexFile(elf)
  const functions = collectFunctions(file)
  const warnings: BpfError[] = []
  const needsBtf = file.roles.some((role) => role === 'btfMaps' || role === 'structOps')
  const compiled = readObjectBtf(file, needsBtf, warnings)
  const { ext } = compiled
  const externs = collectExterns(file, compiled.btf)
  const btf = withKconfigLayout(compiled.btf, externs.list)
  const placed = [
    ...legacyMaps(file, btf),
    ...btfMaps(file, btf, { relaxed: options.relaxedMaps ?? false }),
    ...dataMaps(file, btf),
    ...kconfigMap(externs, btf),
    ...structOpsMaps(file, btf),
  ]
  const maps = record(
    placed.map((map) => map.spec),
    'map',
  )
  const bySection = groupMaps(placed)
  const arena = placed.find((map) => map.spec.type === MapType.ARENA)?.spec.name ?? null
  const references = collectReferences({ file, functions, maps: bySection, arena, externs })
  const records = collectRecords(file, functions, ext, warnings)
  const programSpecs = programsOf(file, functions, references)
  const programs = record([...programSpecs.values()], 'program')
  collectSlots(file, placed, functions, programSpecs)
  return new ObjectSpec({
    file: elf.name,
    littleEndian: elf.littleEndian,
    license: license(elf),
    version: version(elf),
    btf,
    btfExt: ext,
    functions: functions.list.map((fn) => functionSpec(fn, references, records)),
    coreOrder: records.coreOrder,
    programs,
    maps,
    variables: collectVariables(file, btf, placed.filter(isVariableMap)),
    externs: record<ExternSpec>(externs.list, 'extern'),
    exceptionCallbacks: exceptionCallbacks(functions, btf, records, references.problems),
    problems: references.problems,
    warnings,
    backends: options.backends ?? null,
  })
}

function isVariableMap(map: PlacedMap): boolean {
  const { dataSection } = map.spec
  return dataSection !== null && dataSection !== 'struct_ops' && dataSection !== 'kconfig'
}

/** A record without a prototype; a name that comes twice is an error. */
function record<T extends { readonly name: string }>(list: readonly T[], what: string): Record<string, T> {
  const result = Object.create(null) as Record<string, T>
  for (const item of list) {
    if (item.name in result) throw new BpfError('malformed', `there are two ${what}s called '${item.name}'`)
    result[item.name] = item
  }
  return result
}

function groupMaps(placed: readonly PlacedMap[]): Map<number, Map<number, PlacedMap>> {
  const groups = new Map<number, Map<number, PlacedMap>>()
  for (const map of placed) {
    let group = groups.get(map.section)
    if (group === undefined) groups.set(map.section, (group = new Map()))
    // The first one at a place counts, as in libbpf.
    if (!group.has(map.offset)) group.set(map.offset, map)
  }
  return groups
}

function kconfigMap(externs: Externs, btf: Btf | null): PlacedMap[] {
  const size = externs.kconfigSize
  if (size === 0) return []
  const datasec = btf?.findByName('.kconfig', BtfKind.DATASEC) ?? 0
  const mmapable = btf !== null && datasec !== 0 && hasVisibleVariable(btf, datasec)
  const spec: MapSpec = dataMapSpec('.kconfig', 'kconfig', size, () => new Uint8Array(size), datasec, mmapable)
  return [{ spec, section: -1, offset: 0, size, valuesOffset: null }]
}

function license(elf: ElfFile): string {
  const section = elf.sectionByName('license')
  if (section === undefined) return ''
  const bytes = section.data.subarray(0, 63)
  const end = bytes.indexOf(0)
  return decodeUtf8(end < 0 ? bytes : bytes.subarray(0, end))
}

function version(elf: ElfFile): number {
  const section = elf.sectionByName('version')
  if (section === undefined) return 0
  if (section.data.length !== 4) {
    throw new BpfError('malformed', `has ${section.data.length} bytes, a kernel version has 4`, {
      where: { section: 'version', offset: section.offset },
    })
  }
  return new Reader(section.data, { name: 'version', littleEndian: elf.littleEndian }).u32()
}

function functionSpec(fn: LocatedFunction, references: References, records: FunctionRecords): FunctionSpec {
  return {
    index: fn.index,
    name: fn.name,
    section: fn.section.name,
    sectionInsn: fn.start,
    bind: fn.bind,
    insns: fn.insns,
    references: references.byFunction.get(fn.index) ?? [],
    coreRelocations: records.core.get(fn.index) ?? [],
    get lines() {
      return records.linesOf(fn.index)
    },
    btfId: records.funcInfo.get(fn.index) ?? 0,
  }
}

/**
 * The entry programs by function index. Functions of `.text` are subprograms, unless the object has only that one;
 * functions elsewhere are programs, but for those that others call and whose section or binding speaks for a
 * subprogram.
 */
function programsOf(
  file: ObjectFile,
  functions: FunctionTable,
  references: References,
): ReadonlyMap<number, ProgramSpec> {
  const called = new Set<number>()
  for (const list of references.byFunction.values()) {
    for (const reference of list) {
      if (reference.kind === 'call' || reference.kind === 'functionAddress') called.add(reference.functionIndex)
    }
  }
  const programs = new Map<number, ProgramSpec>()
  for (const fn of functions.list) {
    const isText = file.roles[fn.section.index] === 'text'
    if (isText && functions.list.length > 1) continue
    const definition = matchSection(fn.section.name)
    if (!isText && called.has(fn.index) && (fn.bind === 'local' || definition === null)) continue
    programs.set(fn.index, programSpec(fn))
  }
  return programs
}

function programSpec(fn: LocatedFunction): ProgramSpec {
  const optional = fn.section.name.startsWith('?')
  const section = optional ? fn.section.name.slice(1) : fn.section.name
  const definition = matchSection(section)
  let flags = 0
  if (definition?.flags.includes('sleepable') === true) flags |= ProgFlag.SLEEPABLE
  if (definition?.flags.includes('xdpFrags') === true) flags |= ProgFlag.XDP_HAS_FRAGS
  const hasTarget = definition !== null && section.length > definition.name.length
  return {
    name: fn.name,
    section,
    functionIndex: fn.index,
    type: definition?.progType ?? 0,
    attachType: definition?.attachType ?? null,
    flags,
    attachTarget: hasTarget ? section.slice(definition.name.length + 1) : null,
    autoload: !optional,
  }
}
