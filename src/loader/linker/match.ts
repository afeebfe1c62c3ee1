import { BtfKind, btfKindName, type Btf, type BtfComposite, type BtfFwd, type BtfType } from '../../btf/index.ts'
import { BpfError } from '../../bytes/index.ts'
import { parseDefinition } from '../open/maps-btf.ts'
import type { MapSpec } from '../spec.ts'

/** Types compared in one link, and how deep: C's are far below, made-up BTF can ask for any number. */
export const MAX_COMPARISONS: number = 50_000_000
const MAX_DEPTH = 128

/** Comparisons that may still be made. */
export interface CompareBudget {
  left: number
}

/** A type and the BTF that it is in. */
export interface TypeRef {
  readonly btf: Btf
  readonly id: number
}

/**
 * Compares the types of one symbol in two objects: what is behind pointers only by name and kind, where a forward
 * declaration may stand for a struct; names of parameters, sizes of arrays and values of enums do not count.
 * @returns what differs, null when nothing does
 */
export function typeDifference(a: TypeRef, b: TypeRef, budget: CompareBudget): string | null {
  return new TypeComparison(a.btf, b.btf, budget).compare(a.id, b.id, true, 0)
}

/** Compares two definitions of a map: an extern map must be declared as it is defined. */
export function mapDifference(name: string, a: TypeRef, b: TypeRef, budget: CompareBudget): string | null {
  return specDifference(definition(name, a), a.btf, definition(name, b), b.btf, budget)
}

function definition(name: string, { btf, id }: TypeRef): MapSpec {
  const variable = btf.type(id)
  if (variable.kind !== BtfKind.VAR) throw new BpfError('malformed', `map '${name}' is a ${btfKindName(variable.kind)}`)
  const type = btf.type(btf.skipModifiersAndTypedefs(variable.type))
  if (type.kind !== BtfKind.STRUCT) throw new BpfError('malformed', `map '${name}' is a ${btfKindName(type.kind)}`)
  return parseDefinition(btf, name, type, { relaxed: false }, false)
}

function specDifference(a: MapSpec, aBtf: Btf, b: MapSpec, bBtf: Btf, budget: CompareBudget): string | null {
  for (const field of ['type', 'keySize', 'valueSize', 'maxEntries', 'flags', 'numaNode', 'pinning'] as const) {
    if (a[field] !== b[field]) return `${field} is ${String(a[field])} and ${String(b[field])}`
  }
  for (const field of ['keyTypeId', 'valueTypeId'] as const) {
    const what = field === 'keyTypeId' ? 'key type' : 'value type'
    if ((a[field] === 0) !== (b[field] === 0)) return `only one has a ${what}`
    if (a[field] === 0) continue
    const difference = typeDifference({ btf: aBtf, id: a[field] }, { btf: bBtf, id: b[field] }, budget)
    if (difference !== null) return `${what}: ${difference}`
  }
  if (a.inner === null || b.inner === null) return a.inner === b.inner ? null : 'only one has inner maps'
  const inner = specDifference(a.inner, aBtf, b.inner, bBtf, budget)
  return inner === null ? null : `inner map: ${inner}`
}

class TypeComparison {
  readonly #a: Btf
  readonly #b: Btf
  readonly #budget: CompareBudget

  constructor(a: Btf, b: Btf, budget: CompareBudget) {
    this.#a = a
    this.#b = b
    this.#budget = budget
  }

  /** @param exact whether members of structs count, which they do not behind a pointer */
  compare(aId: number, bId: number, exact: boolean, depth: number): string | null {
    if (depth > MAX_DEPTH || --this.#budget.left < 0) {
      throw new BpfError('limit', 'comparing the types of symbols takes more steps than any real types would')
    }
    const a = this.#a.type(this.#a.skipModifiersAndTypedefs(aId))
    const b = this.#b.type(this.#b.skipModifiersAndTypedefs(bId))
    if (!exact && (a.kind === BtfKind.FWD) !== (b.kind === BtfKind.FWD)) return forwardDifference(a, b)
    if (a.kind !== b.kind) return `kind is ${btfKindName(a.kind)} and ${btfKindName(b.kind)}`
    if (NAMED.has(a.kind) && a.name !== b.name) return `${btfKindName(a.kind)} is called '${a.name}' and '${b.name}'`
    const deeper = depth + 1
    switch (a.kind) {
      case BtfKind.VOID:
      case BtfKind.FWD:
        return null
      case BtfKind.INT:
      case BtfKind.FLOAT:
      case BtfKind.ENUM:
      case BtfKind.ENUM64: {
        const size = (b as typeof a).size
        return a.size === size ? null : `${btfKindName(a.kind)} '${a.name}' has ${a.size} and ${size} bytes`
      }
      case BtfKind.PTR:
        return this.compare(a.type, (b as typeof a).type, false, deeper)
      case BtfKind.ARRAY:
        return this.compare(a.elementType, (b as typeof a).elementType, exact, deeper)
      case BtfKind.FUNC:
      case BtfKind.VAR: {
        const other = b as typeof a
        if ((a.linkage === 0) !== (other.linkage === 0)) return `only one '${a.name}' is static`
        return this.compare(a.type, other.type, exact, deeper)
      }
      case BtfKind.STRUCT:
      case BtfKind.UNION:
        return exact ? this.#members(a, b as BtfComposite, deeper) : null
      case BtfKind.FUNC_PROTO: {
        const other = b as typeof a
        if (a.params.length !== other.params.length)
          return `has ${a.params.length} and ${other.params.length} parameters`
        for (const [i, param] of a.params.entries()) {
          const difference = this.compare(param.type, (other.params[i] as typeof param).type, exact, deeper)
          if (difference !== null) return `parameter ${i + 1}: ${difference}`
        }
        const difference = this.compare(a.returnType, other.returnType, exact, deeper)
        return difference === null ? null : `returned type: ${difference}`
      }
      case BtfKind.TYPEDEF:
      case BtfKind.VOLATILE:
      case BtfKind.CONST:
      case BtfKind.RESTRICT:
      case BtfKind.TYPE_TAG:
      case BtfKind.DATASEC:
      case BtfKind.DECL_TAG:
      default:
        return `a ${btfKindName(a.kind)} cannot be compared`
    }
  }

  #members(a: BtfComposite, b: BtfComposite, depth: number): string | null {
    const what = `${btfKindName(a.kind)} '${a.name}'`
    if (a.members.length !== b.members.length) return `${what} has ${a.members.length} and ${b.members.length} members`
    for (const [i, member] of a.members.entries()) {
      const other = b.members[i] as typeof member
      if (member.name !== other.name) return `member ${i + 1} of ${what} is called '${member.name}' and '${other.name}'`
      if (member.bitOffset !== other.bitOffset || member.bitSize !== other.bitSize) {
        return `member '${member.name}' of ${what} is at bit ${member.bitOffset} and ${other.bitOffset}`
      }
      const difference = this.compare(member.type, other.type, true, depth)
      if (difference !== null) return `member '${member.name}' of ${what}: ${difference}`
    }
    return null
  }
}

const NAMED: ReadonlySet<number> = new Set([
  BtfKind.STRUCT,
  BtfKind.UNION,
  BtfKind.ENUM,
  BtfKind.ENUM64,
  BtfKind.FWD,
  BtfKind.FUNC,
  BtfKind.VAR,
])

/** Of a forward declaration and something else. */
function forwardDifference(a: BtfType, b: BtfType): string | null {
  const [forward, concrete] = (a.kind === BtfKind.FWD ? [a, b] : [b, a]) as [BtfFwd, BtfType]
  if (forward.name !== concrete.name) return `forward declaration is of '${forward.name}', not of '${concrete.name}'`
  const wanted = forward.union ? BtfKind.UNION : BtfKind.STRUCT
  if (concrete.kind === wanted) return null
  return `forward declaration of a ${btfKindName(wanted)} is for a ${btfKindName(concrete.kind)}`
}
