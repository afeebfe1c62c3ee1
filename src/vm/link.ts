import { BpfError } from '../bytes/index.ts'
import { BtfKind, type Btf } from '../btf/index.ts'
import { CallPseudo, LdImm64Pseudo, type InsnBuffer } from '../isa/index.ts'
import type { BackendMap, LateReference, PreparedProgram } from '../loader/index.ts'
import type { IndirectJumps } from './indirect.ts'
import type { JumpTables } from './jump-tables.ts'
import { ArenaMap } from './runtime/maps/arena.ts'
import { ArrayMap } from './runtime/maps/array.ts'
import { InsnArrayMap } from './runtime/maps/insn-array.ts'
import { VmMap } from './runtime/maps/map.ts'

/** Size of a kernel variable whose type is not known. */
const UNTYPED_SIZE = 64

/** What linking needs of the vm. */
export interface LinkHost {
  /** Whether a map is one of this vm. */
  owns(map: VmMap): boolean
  /** Address of `size` bytes for a variable of the kernel, the same for the same name. They read as zero in the vm. */
  variable(name: string, size: number): number
  /** The number of a kernel function in calls, 0 when it is not there. */
  kfunc(name: string): number
}

/**
 * Puts addresses in linear memory in place of a program's late references, in a copy. Variables of the kernel are
 * zeroed memory of their type's size.
 * @param tables takes the instruction arrays
 * @throws BpfError `not-found` for a map that was not created, `usage` for one of another backend, `unsupported` for a
 * kernel function that the vm lacks, `syscall` for an instruction array that the program cannot use
 */
export function link(
  program: PreparedProgram,
  maps: ReadonlyMap<string, BackendMap>,
  host: LinkHost,
  kernelBtf: Btf | null,
  tables: JumpTables,
): LinkedProgram {
  const insns = program.insns.slice()
  const used = new Set<VmMap>()
  for (const reference of program.lateReferences) {
    const map = resolve(program, insns, reference, maps, host, kernelBtf, tables)
    if (map !== null) used.add(map)
  }
  const starts = program.functions.length > 0 ? program.functions.map(({ start }) => start) : [0]
  return { insns, maps: [...used], jumps: tables.resolve(insns, starts) }
}

/** A program with nothing left to resolve, and the maps that it uses. */
export interface LinkedProgram {
  readonly insns: InsnBuffer
  readonly maps: readonly VmMap[]
  readonly jumps: IndirectJumps
}

function resolve(
  program: PreparedProgram,
  insns: InsnBuffer,
  reference: LateReference,
  maps: ReadonlyMap<string, BackendMap>,
  host: LinkHost,
  kernelBtf: Btf | null,
  tables: JumpTables,
): VmMap | null {
  const at = reference.insn
  const where = { program: program.spec.name, insn: at }
  switch (reference.kind) {
    case 'map': {
      const map = vmMap(host, maps, reference.map, where)
      setAddress(insns, at, map.handle)
      return map
    }
    case 'mapValue': {
      const map = vmMap(host, maps, reference.map, where)
      if (map instanceof InsnArrayMap) {
        map.checkOffset(reference.offset)
        tables.add(at, map)
      }
      if (!(map instanceof InsnArrayMap || map instanceof ArrayMap || map instanceof ArenaMap)) {
        throw new BpfError('malformed', `values of map ${reference.map} have no address: it is no array`, { where })
      }
      setAddress(insns, at, map.base + reference.offset)
      return map
    }
    case 'ksymBtf':
      setAddress(insns, at, host.variable(reference.name, typedSize(kernelBtf, reference)))
      break
    case 'ksymAddress':
      setAddress(insns, at, reference.weak ? 0 : host.variable(reference.name, UNTYPED_SIZE))
      break
    case 'kfunc': {
      const number = host.kfunc(reference.name)
      if (number === 0 && !reference.weak) {
        throw new BpfError(
          'unsupported',
          `the vm has no kernel function ${reference.name}; option kfuncs of createVm() can supply it`,
          { where },
        )
      }
      insns.src[at] = CallPseudo.KFUNC
      insns.off[at] = 0
      insns.imm[at] = number
      break
    }
    case 'jumpTable': {
      const map = tables.make(at, reference.targets)
      setAddress(insns, at, map.base)
      return map
    }
  }
  return null
}

function vmMap(
  host: LinkHost,
  maps: ReadonlyMap<string, BackendMap>,
  name: string,
  where: { program: string; insn: number },
): VmMap {
  const map = maps.get(name)
  if (map instanceof VmMap && host.owns(map)) return map
  if (map !== undefined) {
    throw new BpfError('usage', `map ${name} is not an open map of this vm`, { where: { ...where, map: name } })
  }
  throw new BpfError('not-found', `map ${name} was not created in this vm`, { where: { ...where, map: name } })
}

function setAddress(insns: InsnBuffer, at: number, address: number): void {
  insns.src[at] = LdImm64Pseudo.NONE
  insns.imm[at] = address | 0
  insns.imm[at + 1] = 0
}

function typedSize(btf: Btf | null, reference: { btfId: number; module: string | null }): number {
  if (btf === null || reference.module !== null || reference.btfId <= 0) return UNTYPED_SIZE
  const type = btf.type(reference.btfId)
  return type.kind === BtfKind.VAR ? Math.max(8, btf.sizeOf(type.type)) : UNTYPED_SIZE
}
