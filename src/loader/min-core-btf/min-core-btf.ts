import {
  Btf,
  BtfBuilder,
  BtfKind,
  parseBtfExt,
  remapTypeIds,
  type BtfExt,
  type BtfMember,
  type BtfType,
} from '../../btf/index.ts'
import { BpfError, within } from '../../bytes/index.ts'
import { parseElf } from '../../elf/index.ts'
import { CoreKind, isEnumValueKind, isFieldKind } from '../core/kinds.ts'
import { matchPath } from '../core/match.ts'
import { CoreResolver, MAX_COMPARISONS, type CoreResolution } from '../core/resolve.ts'
import { TypeMarks } from './marks.ts'

/** What {@link minCoreBtf} needs of an object; an ObjectSpec is one. */
export interface CoreObject {
  readonly file: string
  readonly littleEndian: boolean
  readonly btf: Btf | null
  readonly btfExt: BtfExt | null
}

/**
 * What {@link minCoreBtf} needs of an object file: its types and records, also of objects whose maps or programs cannot
 * be understood.
 * @throws BpfError of the ELF and BTF parsers; `not-found` for an object without .BTF
 */
export function readCoreObject(bytes: Uint8Array, file: string): CoreObject {
  const elf = parseElf(bytes, file)
  return within({ file }, () => {
    const section = elf.sectionByName('.BTF')
    if (section === undefined)
      throw new BpfError('not-found', 'the object has no .BTF section (was it compiled with -g?)')
    const btf = Btf.parse(section.data, { baseOffset: section.offset })
    const records = elf.sectionByName('.BTF.ext')
    const btfExt = records === undefined ? null : parseBtfExt(records.data, btf, { baseOffset: records.offset })
    return { file, littleEndian: elf.littleEndian, btf, btfExt }
  })
}

/**
 * The part of a kernel's BTF that the CO-RE relocations of some objects ask about, as BTF of its own: relocating the
 * objects against it gives the same as against the whole (`bpftool gen min_core_btf`). For kernels without BTF, whose
 * BTF comes with the object. Types keep their order; of structs, only those members are kept that are asked for.
 * What a relocation does not find is not in the result either.
 * @returns a BTF blob
 * @throws BpfError `not-found` for an object without .BTF.ext; `core`, `ambiguous` for relocations that have no answer
 */
export function minCoreBtf(objects: readonly CoreObject[], kernelBtf: Btf): Uint8Array {
  const marks = new TypeMarks(kernelBtf)
  for (const object of objects) {
    within({ file: object.file }, () => markObject(marks, object, kernelBtf))
  }
  return extract(kernelBtf, marks)
}

function markObject(marks: TypeMarks, object: CoreObject, kernelBtf: Btf): void {
  const { btf, btfExt } = object
  if (btf === null || btfExt === null) {
    throw new BpfError('not-found', 'the object has no .BTF.ext section (was it compiled with -g?)')
  }
  const resolver = new CoreResolver(btf, { main: kernelBtf, modules: () => [] }, object.littleEndian)
  const budget = { left: MAX_COMPARISONS }
  const done = new Set<CoreResolution>()
  for (const records of btfExt.coreRelos.values()) {
    for (const { insnOffset, typeId, access, kind } of records) {
      const resolution = resolver.resolve({ insn: insnOffset >>> 3, typeId, access, kind })
      if (done.has(resolution)) continue
      done.add(resolution)
      const { local, candidates, matched } = resolution
      const found = matched === null ? undefined : candidates[matched]
      if (found === undefined) continue
      if (isFieldKind(kind)) marks.addPath(found.id, matchPath(local, kernelBtf, found.id, budget) ?? [])
      else if (isEnumValueKind(kind)) marks.add(found.id)
      else if (kind === CoreKind.TYPE_MATCHES) marks.addForMatch(found.id)
      else marks.addWithPointers(found.id)
    }
  }
}

function extract(btf: Btf, marks: TypeMarks): Uint8Array {
  const kept = marks.types()
  const newIds = new Map(kept.map((id, i) => [id, i + 1]))
  const builder = new BtfBuilder({ littleEndian: btf.littleEndian })
  for (const id of kept) builder.add(remapTypeIds(prune(btf.type(id), marks), (old) => newIds.get(old) ?? 0))
  return builder.build()
}

/** Of a struct, only the members that are kept. */
function prune(type: BtfType, marks: TypeMarks): BtfType {
  if (type.kind !== BtfKind.STRUCT && type.kind !== BtfKind.UNION) return type
  const members: BtfMember[] = type.members.filter((_, index) => marks.hasMember(type.id, index))
  // The kind flag says that offsets are of bit-fields; without any, offsets have all 32 bits.
  const kindFlag = members.some((member) => member.bitSize > 0 || member.bitOffset % 8 !== 0)
  return { ...type, members, kindFlag }
}
