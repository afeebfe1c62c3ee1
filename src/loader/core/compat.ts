import { BtfKind, type Btf } from '../../btf/index.ts'
import { BpfError } from '../../bytes/index.ts'
import { sameEssential } from './names.ts'
import {
  arrayElement,
  arrayLength,
  countOf,
  enumeratorNameOffset,
  flagOf,
  intBitOffset,
  intIsSigned,
  isAnyEnum,
  isComposite,
  kindOf,
  kindsAreCompatible,
  memberNameOffset,
  memberType,
  paramType,
  refOf,
  sizeWord,
} from './types.ts'

/** Deepest chain of types that is compared (libbpf). */
const MAX_DEPTH = 32

/** Comparisons that may still be made. Real objects need some thousand a relocation, hostile BTF can ask for any number. */
export interface CoreBudget {
  left: number
}

/** Comparisons for one question without a budget of its own. */
const ONE_QUESTION = 1_000_000

/** Two types, each with its BTF. */
interface Pair {
  readonly local: Btf
  readonly target: Btf
}

/** @throws BpfError `limit` when the budget is used up */
export function spend(budget: CoreBudget, count: number): void {
  budget.left -= count
  if (budget.left < 0) throw new BpfError('limit', 'comparing its types takes more steps than any real type would')
}

function tooDeep(): never {
  throw new BpfError('core', `its types are nested deeper than ${MAX_DEPTH} levels`)
}

/**
 * Whether the value of a target field can be accessed as the local one: struct with struct or union, pointers, floats,
 * ints of any size and sign, enums of one name, arrays by element (libbpf, bpf_core_fields_are_compat).
 */
export function fieldsAreCompatible(local: Btf, localId: number, target: Btf, targetId: number): boolean {
  let a = localId
  let b = targetId
  for (let depth = 0; depth < MAX_DEPTH * 2; depth++) {
    a = local.skipModifiersAndTypedefs(a)
    b = target.skipModifiersAndTypedefs(b)
    const kind = kindOf(local, a)
    const targetKind = kindOf(target, b)
    if (isComposite(kind) && isComposite(targetKind)) return true
    if (!kindsAreCompatible(kind, targetKind)) return false
    switch (kind) {
      case BtfKind.PTR:
      case BtfKind.FLOAT:
        return true
      case BtfKind.FWD:
      case BtfKind.ENUM:
      case BtfKind.ENUM64: {
        const name = local.name(a)
        const targetName = target.name(b)
        return name === '' || targetName === '' || sameEssential(name, targetName)
      }
      case BtfKind.INT:
        return intBitOffset(local, a) === 0 && intBitOffset(target, b) === 0
      case BtfKind.ARRAY:
        a = arrayElement(local, a)
        b = arrayElement(target, b)
        break
      default:
        return false
    }
  }
  return tooDeep()
}

/**
 * Whether two types are the same for type_exists, type_size and type ids, and for kernel symbols: kinds must agree,
 * through pointers, arrays and function types; names and members do not matter (libbpf, bpf_core_types_are_compat).
 */
export function typesAreCompatible(
  local: Btf,
  localId: number,
  target: Btf,
  targetId: number,
  budget: CoreBudget = { left: ONE_QUESTION },
): boolean {
  if (!kindsAreCompatible(local.kind(localId), target.kind(targetId))) return false
  return compatible({ local, target }, localId, targetId, MAX_DEPTH, budget)
}

function compatible(pair: Pair, localId: number, targetId: number, level: number, steps: CoreBudget): boolean {
  const { local, target } = pair
  let a = localId
  let b = targetId
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    spend(steps, 1)
    a = local.skipModifiersAndTypedefs(a)
    b = target.skipModifiersAndTypedefs(b)
    const kind = kindOf(local, a)
    if (!kindsAreCompatible(kind, kindOf(target, b))) return false
    switch (kind) {
      case BtfKind.VOID:
      case BtfKind.STRUCT:
      case BtfKind.UNION:
      case BtfKind.ENUM:
      case BtfKind.ENUM64:
      case BtfKind.FWD:
        return true
      case BtfKind.INT:
        return intBitOffset(local, a) === 0 && intBitOffset(target, b) === 0
      case BtfKind.PTR:
        a = refOf(local, a)
        b = refOf(target, b)
        break
      case BtfKind.ARRAY:
        a = arrayElement(local, a)
        b = arrayElement(target, b)
        break
      case BtfKind.FUNC_PROTO: {
        const count = countOf(local, a)
        if (count !== countOf(target, b)) return false
        for (let i = 0; i < count; i++) {
          if (level <= 0) tooDeep()
          const localParam = local.skipModifiersAndTypedefs(paramType(local, a, i))
          const targetParam = target.skipModifiersAndTypedefs(paramType(target, b, i))
          if (!compatible(pair, localParam, targetParam, level - 1, steps)) return false
        }
        a = refOf(local, a)
        b = refOf(target, b)
        break
      }
      default:
        return false
    }
  }
  return tooDeep()
}

/**
 * Whether a target type has all that the local type has, by name: the rules of type_matches (libbpf,
 * bpf_core_types_match). Behind a pointer structs match by name and kind alone.
 */
export function typesMatch(
  local: Btf,
  localId: number,
  target: Btf,
  targetId: number,
  budget: CoreBudget = { left: ONE_QUESTION },
): boolean {
  return matches({ local, target }, localId, targetId, false, MAX_DEPTH, budget)
}

function matches(
  pair: Pair,
  localId: number,
  targetId: number,
  isBehindPointer: boolean,
  level: number,
  steps: CoreBudget,
): boolean {
  if (level <= 0) tooDeep()
  const { local, target } = pair
  let a = localId
  let b = targetId
  let behind = isBehindPointer
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    spend(steps, 1)
    a = local.skipModifiersAndTypedefs(a)
    b = target.skipModifiersAndTypedefs(b)
    if (!namesMatch(pair, local.word(a, 0), target.word(b, 0), a, b)) return false
    const kind = kindOf(local, a)
    const targetKind = kindOf(target, b)
    switch (kind) {
      case BtfKind.VOID:
        return kind === targetKind
      case BtfKind.FWD:
        if (kind === targetKind) return flagOf(local, a) === flagOf(target, b)
        return behind && targetKind === (flagOf(local, a) ? BtfKind.UNION : BtfKind.STRUCT)
      case BtfKind.ENUM:
      case BtfKind.ENUM64:
        return isAnyEnum(targetKind) && enumsMatch(pair, a, b, steps)
      case BtfKind.STRUCT:
      case BtfKind.UNION:
        if (!behind) return kind === targetKind && compositesMatch(pair, a, b, level, steps)
        return kind === targetKind || (targetKind === BtfKind.FWD && (kind === BtfKind.UNION) === flagOf(target, b))
      case BtfKind.INT:
        return (
          kind === targetKind &&
          sizeWord(local, a) === sizeWord(target, b) &&
          intIsSigned(local, a) === intIsSigned(target, b)
        )
      case BtfKind.PTR:
        if (kind !== targetKind) return false
        behind = true
        a = refOf(local, a)
        b = refOf(target, b)
        break
      case BtfKind.ARRAY:
        if (kind !== targetKind || arrayLength(local, a) !== arrayLength(target, b)) return false
        a = arrayElement(local, a)
        b = arrayElement(target, b)
        break
      case BtfKind.FUNC_PROTO: {
        const count = countOf(local, a)
        if (kind !== targetKind || count !== countOf(target, b)) return false
        for (let i = 0; i < count; i++) {
          if (!matches(pair, paramType(local, a, i), paramType(target, b, i), behind, level - 1, steps)) return false
        }
        a = refOf(local, a)
        b = refOf(target, b)
        break
      }
      default:
        return false
    }
  }
  return tooDeep()
}

function namesMatch(pair: Pair, offset: number, targetOffset: number, id: number, targetId: number): boolean {
  const name = id === 0 ? '' : pair.local.string(offset)
  const targetName = targetId === 0 ? '' : pair.target.string(targetOffset)
  return targetName === '' ? name === '' : sameEssential(name, targetName)
}

function enumsMatch(pair: Pair, a: number, b: number, steps: CoreBudget): boolean {
  const { local, target } = pair
  const count = countOf(local, a)
  const targetCount = countOf(target, b)
  if (sizeWord(local, a) !== sizeWord(target, b) || count > targetCount) return false
  spend(steps, targetCount * (1 + count))
  const names: string[] = []
  for (let j = 0; j < targetCount; j++) names.push(target.string(enumeratorNameOffset(target, b, j)))
  for (let i = 0; i < count; i++) {
    const name = local.string(enumeratorNameOffset(local, a, i))
    if (!names.some((other) => sameEssential(name, other))) return false
  }
  return true
}

function compositesMatch(pair: Pair, a: number, b: number, level: number, steps: CoreBudget): boolean {
  const { local, target } = pair
  const count = countOf(local, a)
  const targetCount = countOf(target, b)
  if (count > targetCount) return false
  for (let i = 0; i < count; i++) {
    let found = false
    for (let j = 0; j < targetCount && !found; j++) {
      spend(steps, 1)
      found =
        namesMatch(pair, memberNameOffset(local, a, i), memberNameOffset(target, b, j), a, b) &&
        matches(pair, memberType(local, a, i), memberType(target, b, j), false, level - 1, steps)
    }
    if (!found) return false
  }
  return true
}
