import { BtfKind, type Btf, type BtfComposite, type BtfMember } from '../../btf/index.ts'
import { BpfError, isBpfError } from '../../bytes/index.ts'
import { ProgType } from '../../uapi/index.ts'
import { essentialName } from '../core/names.ts'
import type { ObjectSpec } from '../object.ts'
import type { MapSpec, StructOpsAttach, StructOpsLayout } from '../spec.ts'
import { isFunctionPointer } from '../struct-ops.ts'
import type { ModuleBtf } from './ksyms.ts'

/** What the struct_ops variables of an object come to in one kernel. */
export interface ResolvedStructOps {
  /** Layout by map name; an error for those that this kernel does not take. */
  readonly maps: ReadonlyMap<string, StructOpsLayout | BpfError>
  /** What struct_ops programs implement, by program name; an error where two variables contradict each other. */
  readonly programs: ReadonlyMap<string, StructOpsAttach | BpfError>
  /** Programs that a variable names but that no created variable needs: they are not loaded. */
  readonly unused: ReadonlySet<string>
}

const NONE: ResolvedStructOps = { maps: new Map(), programs: new Map(), unused: new Set() }

/**
 * Lays the object's struct_ops variables out as the kernel has the types, members by name (libbpf.c,
 * bpf_map__init_kern_struct_ops). A member that the kernel lacks must be zero; its program is not loaded for it.
 * @param kernel null when there is no kernel, as in the vm: programs then have no attach type, and maps fail
 */
export function resolveStructOps(
  spec: ObjectSpec,
  kernel: Btf | null,
  modules: () => readonly ModuleBtf[],
): ResolvedStructOps {
  const variables = Object.values(spec.structOps)
  const { btf } = spec
  if (variables.length === 0 || btf === null) return NONE
  const maps = new Map<string, StructOpsLayout | BpfError>()
  const programs = new Map<string, StructOpsAttach | BpfError>()
  const named = new Set<string>()
  const needed = new Set<string>()
  for (const { map } of variables) {
    for (const program of map.slots.values()) named.add(program)
    if (!map.autocreate) continue
    if (kernel === null) {
      // Without a kernel the functions can still be run one by one.
      for (const program of map.slots.values()) needed.add(program)
    }
    try {
      const resolved = layOut(spec, map, btf, kernel, modules)
      maps.set(map.name, resolved.layout)
      for (const [program, attach] of resolved.attach) {
        needed.add(program)
        programs.set(program, agreed(program, programs.get(program), attach))
      }
    } catch (error) {
      if (!isBpfError(error)) throw error
      maps.set(map.name, error.within({ map: map.name }))
      for (const program of map.slots.values()) needed.add(program)
    }
  }
  if (kernel !== null) {
    for (const { map } of variables) {
      const error = maps.get(map.name)
      if (!(error instanceof BpfError)) continue
      for (const program of map.slots.values()) if (!programs.has(program)) programs.set(program, error)
    }
  }
  return { maps, programs, unused: new Set([...named].filter((name) => !needed.has(name))) }
}

/** A program may serve several variables, in the same place of the same type. */
function agreed(
  program: string,
  known: StructOpsAttach | BpfError | undefined,
  attach: StructOpsAttach,
): StructOpsAttach | BpfError {
  if (known === undefined || known instanceof BpfError) return known ?? attach
  if (known.typeId === attach.typeId && known.member === attach.member && known.module === attach.module) return known
  return new BpfError(
    'type-mismatch',
    `'${program}' stands for '${known.memberName}' in one struct_ops variable and for '${attach.memberName}' in another`,
  )
}

interface LaidOut {
  readonly layout: StructOpsLayout
  readonly attach: readonly (readonly [string, StructOpsAttach])[]
}

function layOut(
  spec: ObjectSpec,
  map: MapSpec,
  local: Btf,
  kernel: Btf | null,
  modules: () => readonly ModuleBtf[],
): LaidOut {
  const localType = structOf(local, map.valueTypeId)
  const target = findKernelType(essentialName(localType.name), kernel, modules)
  const { btf, type, valueType, dataOffset, module } = target
  const value = new Uint8Array(valueType.size)
  const contents = map.contents ?? new Uint8Array(localType.size)
  if (contents.length !== localType.size) {
    const message = `has ${contents.length} bytes of contents, struct ${localType.name} has ${localType.size}`
    throw new BpfError('type-mismatch', message)
  }
  const functions: { offset: number; program: string }[] = []
  const attach: [string, StructOpsAttach][] = []
  localType.members.forEach((member, index) => {
    const program = isFunctionPointer(local, member) ? map.slots.get(index) : undefined
    const bytes = bytesOf(local, member, contents)
    const position = type.members.findIndex(({ name }) => name !== '' && name === member.name)
    const kernelMember = type.members[position]
    const fail = (message: string): BpfError =>
      new BpfError('type-mismatch', `member '${member.name}' of struct ${localType.name} ${message}`, {
        where: { symbol: member.name },
      })
    if (kernelMember === undefined) {
      // A function that this kernel does not know is left out; a value would be lost.
      if (!isFunctionPointer(local, member) && bytes.some((byte) => byte !== 0)) {
        throw fail(`is set, and this kernel's struct ${type.name} has no such member`)
      }
      return
    }
    if (member.bitSize !== 0 || kernelMember.bitSize !== 0) throw fail('is a bit-field, which struct_ops cannot set')
    const localKind = local.kind(local.skipModifiersAndTypedefs(member.type))
    if (localKind !== btf.kind(btf.skipModifiersAndTypedefs(kernelMember.type))) {
      throw fail(`is of another kind in the kernel`)
    }
    const offset = dataOffset + kernelMember.bitOffset / 8
    if (localKind === BtfKind.PTR) {
      if (program === undefined) return
      if (!isFunctionPointer(btf, kernelMember)) throw fail('is no function pointer in the kernel')
      checkProgram(spec, program, fail)
      functions.push({ offset, program })
      attach.push([program, { typeId: type.id, member: position, memberName: member.name, module }])
      return
    }
    const size = btf.sizeOf(kernelMember.type)
    if (size !== bytes.length) throw fail(`has ${bytes.length} bytes, ${size} in the kernel`)
    value.set(bytes, offset)
  })
  return { layout: { valueTypeId: valueType.id, module, value, functions }, attach }
}

function checkProgram(spec: ObjectSpec, name: string, fail: (message: string) => BpfError): void {
  const program = spec.programs[name]
  if (program === undefined) throw fail(`names program '${name}', which the object does not have`)
  if (program.type !== ProgType.STRUCT_OPS) {
    throw fail(`names program '${name}' of section '${program.section}', which is no struct_ops program`)
  }
}

function bytesOf(btf: Btf, member: BtfMember, contents: Uint8Array): Uint8Array {
  if (member.bitSize !== 0) {
    return contents.subarray(member.bitOffset >> 3, (member.bitOffset + member.bitSize + 7) >> 3)
  }
  const start = member.bitOffset / 8
  return contents.subarray(start, start + btf.sizeOf(member.type))
}

interface KernelType {
  readonly btf: Btf
  readonly module: string | null
  readonly type: BtfComposite
  readonly valueType: BtfComposite
  /** Bytes of the type's data in the value. */
  readonly dataOffset: number
}

function findKernelType(name: string, kernel: Btf | null, modules: () => readonly ModuleBtf[]): KernelType {
  if (kernel === null) {
    throw new BpfError('unsupported', `struct_ops '${name}' needs a kernel with BTF: there is nothing to register with`)
  }
  const wanted = `bpf_struct_ops_${name}`
  const find = (btf: Btf, module: string | null): KernelType | null => {
    const valueId = btf.findAllByName(wanted).find((id) => isOwn(btf, id, module) && btf.kind(id) === BtfKind.STRUCT)
    const typeId = btf.findByName(name, BtfKind.STRUCT)
    if (valueId === undefined || typeId === undefined) return null
    const valueType = structOf(btf, valueId)
    const data = valueType.members.find((member) => member.type === typeId)
    if (data === undefined) throw new BpfError('malformed', `the kernel's struct ${wanted} holds no struct ${name}`)
    return { btf, module, type: structOf(btf, typeId), valueType, dataOffset: data.bitOffset / 8 }
  }
  const found = find(kernel, null)
  if (found !== null) return found
  for (const module of modules()) {
    const inModule = find(module.btf, module.name)
    if (inModule !== null) return inModule
  }
  throw new BpfError('not-found', `this kernel has no struct_ops '${name}' (no struct ${wanted} in its BTF)`)
}

function isOwn(btf: Btf, id: number, module: string | null): boolean {
  return module === null || id >= btf.firstId
}

function structOf(btf: Btf, id: number): BtfComposite {
  const type = btf.type(id)
  if (type.kind !== BtfKind.STRUCT) throw new BpfError('type-mismatch', `type ${id} is no struct`)
  return type
}
