import { attachTypeName, MapFlag, mapTypeName, ProgFlag, progTypeName } from '../../uapi/index.ts'
import type { ObjectSpec, MapSpec, ProgramSpec } from '../../loader/index.ts'
import { cName, type Btf } from '../../btf/index.ts'

/** Names of the bits that are set, the rest as one number. */
function flagNames(flags: number, names: Readonly<Record<string, number>>): string[] {
  const found: string[] = []
  let rest = flags
  for (const [name, bit] of Object.entries(names)) {
    if ((flags & bit) === 0) continue
    found.push(name.toLowerCase())
    rest &= ~bit
  }
  if (rest !== 0) found.push(`0x${(rest >>> 0).toString(16)}`)
  return found
}

export function mapFlagNames(flags: number): string[] {
  return flagNames(flags, MapFlag)
}

export function programFlagNames(flags: number): string[] {
  return flagNames(flags, ProgFlag)
}

/** Name of a program type, its number when this version does not know it. */
export function programType(type: number): string {
  return progTypeName(type) ?? `type ${type}`
}

export function mapType(type: number): string {
  return mapTypeName(type) ?? `type ${type}`
}

/** What a program is to be attached as, and to what: `trace_raw_tp sched_switch`; null when nothing is known. */
export function attachWords(program: ProgramSpec): string | null {
  const parts: string[] = []
  if (program.attachType !== null) parts.push(attachTypeName(program.attachType) ?? `type ${program.attachType}`)
  if (program.attachTarget !== null) parts.push(program.attachTarget)
  return parts.length === 0 ? null : parts.join(' ')
}

/** A C type, or null for 0 and for types that cannot be named. */
export function typeWords(btf: Btf | null, typeId: number): string | null {
  if (btf === null || typeId === 0) return null
  const name = cName(btf, typeId)
  return name === '' ? null : name
}

/** What is not ordinary about the object, for people. */
export function objectNotes(spec: ObjectSpec): string[] {
  const notes: string[] = []
  if (spec.btf === null) notes.push('no BTF: keys and values are bytes')
  else if (spec.btfExt === null) notes.push('no .BTF.ext: no C lines and no CO-RE relocations')
  if (!spec.littleEndian) notes.push('big-endian: can be read, but not loaded on this machine')
  const maps = Object.values(spec.maps)
  if (maps.some((map) => isLegacy(map, spec)))
    notes.push('maps of the old form (SEC("maps")), which libbpf 1.0 and later refuse')
  if (spec.version !== 0) notes.push(`section "version" ${versionWords(spec.version)}`)
  const optional = Object.values(spec.programs).filter((program) => !program.autoload)
  if (optional.length > 0) notes.push(`only loaded on request: ${optional.map((program) => program.name).join(', ')}`)
  const statics = Object.values(spec.programs).filter(
    (program) => spec.functions[program.functionIndex]?.bind === 'local',
  )
  if (statics.length > 0) {
    notes.push(`static programs, which libbpf refuses: ${statics.map((program) => program.name).join(', ')}`)
  }
  return notes
}

/** A map that no BTF declares and that is no data section. */
function isLegacy(map: MapSpec, spec: ObjectSpec): boolean {
  return map.dataSection === null && spec.btf?.findByName('.maps') === undefined
}

function versionWords(version: number): string {
  return `${version >>> 16}.${(version >>> 8) & 0xff}.${version & 0xff}`
}
