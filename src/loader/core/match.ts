import { btfKindName, BtfKind, cName, type Btf } from '../../btf/index.ts'
import { BpfError } from '../../bytes/index.ts'
import { fieldsAreCompatible, spend, typesAreCompatible, typesMatch, type CoreBudget } from './compat.ts'
import { CoreKind, isEnumValueKind, isTypeKind } from './kinds.ts'
import { sameEssential, sameText } from './names.ts'
import { describeType, isFlexible, MAX_SPEC_LENGTH, type CoreAccessor, type CoreSpec } from './spec.ts'
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

/** Filled with the first thing that differs, when someone wants to know. */
export interface Why {
  reason: string | null
  /** The structs or unions in which it is, local and target; 0 when it is none. */
  localId: number
  targetId: number
}

/**
 * Finds what a local spec asks for in a target type (libbpf, bpf_core_spec_match).
 * @param budget comparisons that may still be made
 * @param why gets the reason of a mismatch; leave it out where only the answer counts
 * @returns the same access in the target, or null when the target does not have it
 * @throws BpfError `core` for targets that cannot be compared
 */
export function matchSpec(
  local: CoreSpec,
  target: Btf,
  targetId: number,
  budget: CoreBudget,
  why?: Why,
): CoreSpec | null {
  const { kind } = local
  if (isTypeKind(kind)) {
    const compare = kind === CoreKind.TYPE_MATCHES ? typesMatch : typesAreCompatible
    if (compare(local.btf, local.rootId, target, targetId, budget)) {
      return { btf: target, rootId: targetId, kind, accessors: [], bitOffset: 0 }
    }
    if (why !== undefined) {
      why.reason =
        kind === CoreKind.TYPE_MATCHES
          ? 'it does not have all that the local type has'
          : `it is ${describeResolved(target, targetId)}, the local type ${describeResolved(local.btf, local.rootId)}`
    }
    return null
  }
  if (isEnumValueKind(kind)) return matchEnumerator(local, target, targetId, budget, why)
  return new FieldMatch(local, target, targetId, budget, why).run()
}

/**
 * The indices by which a local field access goes through a target type: of members, those of anonymous structs and
 * unions included, and of array elements (libbpf's raw spec). Null when the target does not have the field.
 * @throws BpfError `core` for targets that cannot be compared
 */
export function matchPath(
  local: CoreSpec,
  target: Btf,
  targetId: number,
  budget: CoreBudget,
): readonly number[] | null {
  const match = new FieldMatch(local, target, targetId, budget, undefined)
  return match.run() === null ? null : match.path
}

function matchEnumerator(
  local: CoreSpec,
  target: Btf,
  targetId: number,
  budget: CoreBudget,
  why: Why | undefined,
): CoreSpec | null {
  const accessor = local.accessors[0] as CoreAccessor
  const name = local.btf.string(accessor.nameOffset)
  const id = target.skipModifiersAndTypedefs(targetId)
  if (!isAnyEnum(kindOf(target, id))) {
    if (why !== undefined) why.reason = `it is a ${btfKindName(kindOf(target, id))}, not an enum`
    return null
  }
  const count = countOf(target, id)
  spend(budget, count)
  for (let index = 0; index < count; index++) {
    const nameOffset = enumeratorNameOffset(target, id, index)
    if (!sameEssential(name, target.string(nameOffset))) continue
    return {
      btf: target,
      rootId: targetId,
      kind: local.kind,
      accessors: [{ typeId: id, index, nameOffset }],
      bitOffset: 0,
    }
  }
  if (why !== undefined) why.reason = `it has no enumerator ${name}`
  return null
}

/** State of matching one field access. */
class FieldMatch {
  readonly #local: CoreSpec
  readonly #target: Btf
  readonly #rootId: number
  readonly #budget: CoreBudget
  readonly #why: Why | undefined
  readonly #accessors: CoreAccessor[] = []
  /** Index of each step taken, those into anonymous members included. */
  readonly path: number[] = []
  #bitOffset = 0
  #nextId = 0

  constructor(local: CoreSpec, target: Btf, rootId: number, budget: CoreBudget, why: Why | undefined) {
    this.#local = local
    this.#target = target
    this.#rootId = rootId
    this.#budget = budget
    this.#why = why
  }

  run(): CoreSpec | null {
    const target = this.#target
    let id = this.#rootId
    for (let i = 0; i < this.#local.accessors.length; i++) {
      const accessor = this.#local.accessors[i] as CoreAccessor
      id = target.skipModifiersAndTypedefs(id)
      if (accessor.nameOffset !== 0) {
        if (!this.#member(accessor, id)) {
          this.#explain(
            () => `${describeType(target, id)} has no member ${this.#local.btf.string(accessor.nameOffset)}`,
          )
          this.#explainPlace(accessor.typeId, id)
          return null
        }
        id = this.#nextId
        continue
      }
      if (i > 0) {
        if (kindOf(target, id) !== BtfKind.ARRAY) {
          this.#explain(() => `what should be an array is a ${btfKindName(kindOf(target, id))}`)
          return null
        }
        const length = arrayLength(target, id)
        if (accessor.index >= length && !isFlexible(target, this.#accessors.at(-1), length)) {
          this.#explain(() => `its array has ${length} elements, ${accessor.index} is asked for`)
          return null
        }
        id = target.skipModifiersAndTypedefs(arrayElement(target, id))
      }
      this.#step(accessor.index)
      this.#accessors.push({ typeId: id, index: accessor.index, nameOffset: 0 })
      this.#bitOffset += accessor.index * target.sizeOf(id) * 8
    }
    const { kind } = this.#local
    return { btf: target, rootId: this.#rootId, kind, accessors: this.#accessors, bitOffset: this.#bitOffset >>> 0 }
  }

  /** Looks for a named member, also in anonymous ones; goes there when its type is compatible. */
  #member(wanted: CoreAccessor, structId: number): boolean {
    const target = this.#target
    const id = target.skipModifiersAndTypedefs(structId)
    if (!isComposite(kindOf(target, id))) {
      this.#explain(() => `what should be a struct is a ${btfKindName(kindOf(target, id))}`)
      return false
    }
    const local = this.#local.btf
    const count = countOf(target, id)
    spend(this.#budget, count)
    for (let i = 0; i < count; i++) {
      const nameOffset = memberNameOffset(target, id, i)
      if (nameOffset !== 0 && !sameText(local, wanted.nameOffset, target, nameOffset)) {
        if (this.path.length >= MAX_SPEC_LENGTH) this.#step(i)
        continue
      }
      this.#step(i)
      const bitOffset = memberBitOffset(target, id, i)
      this.#bitOffset += bitOffset
      if (nameOffset === 0) {
        const inner = target.skipModifiersAndTypedefs(memberType(target, id, i))
        if (isComposite(kindOf(target, inner)) && this.#member(wanted, inner)) return true
      } else {
        this.#nextId = memberType(target, id, i)
        if (!fieldsAreCompatible(local, memberType(local, wanted.typeId, wanted.index), target, this.#nextId)) {
          const localId = memberType(local, wanted.typeId, wanted.index)
          this.#explain(
            () =>
              `member ${local.string(wanted.nameOffset)} has type ${describeResolved(target, this.#nextId)}, ` +
              `the local one ${describeResolved(local, localId)}`,
          )
          return false
        }
        this.#accessors.push({ typeId: id, index: i, nameOffset })
        return true
      }
      this.#bitOffset -= bitOffset
      this.path.pop()
    }
    return false
  }

  #step(index: number): void {
    if (this.path.length >= MAX_SPEC_LENGTH) {
      throw new BpfError('core', `target type [${this.#rootId}] is nested deeper than ${MAX_SPEC_LENGTH} levels`)
    }
    this.path.push(index)
  }

  #explainPlace(localId: number, targetId: number): void {
    if (this.#why === undefined || !isComposite(kindOf(this.#target, targetId))) return
    this.#why.localId = localId
    this.#why.targetId = targetId
  }

  #explain(reason: () => string): void {
    if (this.#why !== undefined && this.#why.reason === null) this.#why.reason = reason()
  }
}

/** A type in C, without its qualifiers and typedefs: "char[16]". */
function describeResolved(btf: Btf, id: number): string {
  return cName(btf, btf.skipModifiersAndTypedefs(id))
}
