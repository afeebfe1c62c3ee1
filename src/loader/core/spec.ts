import { btfKindName, BtfKind, type Btf } from '../../btf/index.ts'
import { BpfError } from '../../bytes/index.ts'
import type { CoreRelocation } from '../spec.ts'
import { coreKindName, isEnumValueKind, isFieldKind, isTypeKind } from './kinds.ts'
import {
  arrayElement,
  arrayLength,
  countOf,
  enumeratorNameOffset,
  isAnyEnum,
  isComposite,
  kindOf,
  memberBitOffset,
  memberNameOffset,
  memberType,
} from './types.ts'

/** Longest accessor, and deepest nesting of a target (libbpf's BPF_CORE_SPEC_MAX_LEN). */
export const MAX_SPEC_LENGTH = 64

/** One step of an access that has a meaning in C: a named member, or an array element. */
export interface CoreAccessor {
  /** Type that holds the member, or type of the element. */
  readonly typeId: number
  /** Index of member, element or enumerator. */
  readonly index: number
  /** String offset of the member's or enumerator's name; 0 for array elements. */
  readonly nameOffset: number
}

/** An access that is resolved in one BTF. */
export interface CoreSpec {
  readonly btf: Btf
  readonly rootId: number
  readonly kind: number
  readonly accessors: readonly CoreAccessor[]
  /** Bits from the start of the root type, modulo 2^32. */
  readonly bitOffset: number
}

function fail(message: string): never {
  throw new BpfError('core', message)
}

/**
 * Resolves what a relocation asks for in the object's own BTF, member by member.
 * @throws BpfError `core` for accessors that the types do not have
 */
export function parseSpec(btf: Btf, relocation: CoreRelocation): CoreSpec {
  const { typeId, access, kind } = relocation
  if (typeId >= btf.typeCount) fail(`its type [${typeId}] does not exist`)
  if (isTypeKind(kind)) {
    if (access !== '0') fail(`its accessor is '${access}', for a type it must be '0'`)
    return { btf, rootId: typeId, kind, accessors: [], bitOffset: 0 }
  }
  const indices = parseAccess(access)
  const rootId = btf.skipModifiersAndTypedefs(typeId)
  const first = indices[0] as number
  if (isEnumValueKind(kind)) {
    if (!isAnyEnum(kindOf(btf, rootId)) || indices.length > 1 || first >= countOf(btf, rootId)) {
      fail(`its accessor '${access}' names no enumerator of ${describeType(btf, typeId)}`)
    }
    const nameOffset = enumeratorNameOffset(btf, rootId, first)
    return { btf, rootId: typeId, kind, accessors: [{ typeId: rootId, index: first, nameOffset }], bitOffset: 0 }
  }
  if (!isFieldKind(kind)) fail(`its kind ${kind} is unknown`)
  return parseField(btf, relocation, rootId, indices)
}

function parseField(btf: Btf, relocation: CoreRelocation, rootId: number, indices: readonly number[]): CoreSpec {
  const { typeId, access, kind } = relocation
  const accessors: CoreAccessor[] = [{ typeId: rootId, index: indices[0] as number, nameOffset: 0 }]
  let bitOffset = (indices[0] as number) * btf.sizeOf(rootId) * 8
  let id = rootId
  for (let i = 1; i < indices.length; i++) {
    const index = indices[i] as number
    id = btf.skipModifiersAndTypedefs(id)
    const typeKind = kindOf(btf, id)
    if (isComposite(typeKind)) {
      if (index >= countOf(btf, id)) {
        fail(
          `its accessor '${access}' asks for member ${index} of ${describeType(btf, id)}, which has ${countOf(btf, id)}`,
        )
      }
      bitOffset += memberBitOffset(btf, id, index)
      const nameOffset = memberNameOffset(btf, id, index)
      if (nameOffset !== 0) accessors.push({ typeId: id, index, nameOffset })
      id = memberType(btf, id, index)
    } else if (typeKind === BtfKind.ARRAY) {
      const length = arrayLength(btf, id)
      const element = btf.skipModifiersAndTypedefs(arrayElement(btf, id))
      if (index >= length && !isFlexible(btf, accessors.at(-1), length)) {
        fail(`its accessor '${access}' asks for element ${index} of an array of ${length}`)
      }
      id = element
      accessors.push({ typeId: id, index, nameOffset: 0 })
      bitOffset += index * btf.sizeOf(id) * 8
    } else {
      fail(`its accessor '${access}' goes into a ${btfKindName(typeKind)} at step ${i}`)
    }
  }
  return { btf, rootId: typeId, kind, accessors, bitOffset: bitOffset >>> 0 }
}

function parseAccess(access: string): number[] {
  if (!/^\d{1,10}(:\d{1,10})*$/.test(access))
    fail(`its accessor '${access.slice(0, 80)}' is not numbers between colons`)
  const indices = access.split(':', MAX_SPEC_LENGTH + 1).map(Number)
  if (indices.length > MAX_SPEC_LENGTH) fail(`its accessor has over ${MAX_SPEC_LENGTH} steps`)
  if (indices.some((index) => index > 0x7fff_ffff)) fail(`its accessor '${access}' has a number above 2^31`)
  return indices
}

/** Whether an array without length is the last member of its struct, so that any index is in it. */
export function isFlexible(btf: Btf, holder: CoreAccessor | undefined, length: number): boolean {
  if (holder === undefined || holder.nameOffset === 0 || length > 0) return false
  return holder.index === countOf(btf, holder.typeId) - 1
}

/** "struct task_struct". */
export function describeType(btf: Btf, id: number): string {
  if (id === 0) return 'void'
  const name = btf.name(id)
  return `${btfKindName(btf.kind(id))} ${name === '' ? '(anonymous)' : name}`
}

/** What a spec asks for in C terms: "struct task_struct.mm.pgd", "enum kind::FIRST", "struct foo". */
export function describeSpec(spec: CoreSpec): string {
  const { btf, accessors, kind } = spec
  let text = describeType(btf, spec.rootId)
  if (isTypeKind(kind)) return text
  if (isEnumValueKind(kind)) {
    const accessor = accessors[0]
    return accessor === undefined ? text : `${text}::${btf.string(accessor.nameOffset)}`
  }
  accessors.forEach((accessor, i) => {
    if (accessor.nameOffset !== 0) text += `.${btf.string(accessor.nameOffset)}`
    else if (i > 0 || accessor.index > 0) text += `[${accessor.index}]`
  })
  return text
}

/** libbpf's text for a spec's kind, for messages. */
export function describeKind(spec: CoreSpec): string {
  return coreKindName(spec.kind)
}
