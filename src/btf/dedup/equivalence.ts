import { BtfKind } from '../types.ts'
import type { CanonicalMap } from './canonical.ts'
import type { Records } from './records.ts'

const UNSET = 0xffff_ffff
/** Identical structs are compared this deep, and with that many comparisons: hostile ones may contain themselves. */
const MAX_IDENTICAL_DEPTH = 16
const MAX_IDENTICAL_STEPS = 100_000

/**
 * Compares the graph of types below a struct with that below a canonical one: a depth-first walk through both under
 * the hypothesis that what was met together is the same. Keeps the hypothesis of the last comparison.
 */
export class GraphComparison {
  readonly #records: Records
  readonly #canonical: CanonicalMap
  readonly #firstId: number
  /** By id in the canonical graph: the id met in the other one. */
  readonly #hypothesis: Uint32Array
  #assumed: number[] = []
  /** Whether a forward declaration of the base would have to be resolved, which cannot be changed. */
  #changesBase = false
  #identicalSteps = 0

  /** @param firstId the first id that is not of the base */
  constructor(records: Records, canonical: CanonicalMap, firstId: number) {
    this.#records = records
    this.#canonical = canonical
    this.#firstId = firstId
    this.#hypothesis = new Uint32Array(records.count).fill(UNSET)
  }

  /**
   * Whether the two structs and all they refer to are equivalent. When they are, forward declarations on either side
   * are resolved to what stands for them on the other one, and structs that are equivalent, too, are mapped.
   */
  compare(candidate: number, canonical: number): boolean {
    for (const id of this.#assumed) this.#hypothesis[id] = UNSET
    this.#assumed = []
    this.#changesBase = false
    if (!this.#areEquivalent(candidate, canonical)) return false
    this.#merge()
    return !this.#changesBase
  }

  #areEquivalent(candidate: number, canonical: number): boolean {
    const pending: number[] = [candidate, canonical]
    while (pending.length > 0) {
      const canonicalId = pending.pop() as number
      const candidateId = pending.pop() as number
      if (!this.#meet(candidateId, canonicalId, pending)) return false
    }
    return true
  }

  /** Compares two types; what they refer to is left in `pending`, the first one on top. */
  #meet(candidate: number, met: number, pending: number[]): boolean {
    const records = this.#records
    records.spend()
    if (this.#canonical.resolve(candidate) === this.#canonical.resolve(met)) return true
    const canonical = this.#resolveForward(met)
    const assumed = this.#hypothesis[canonical] as number
    if (assumed !== UNSET) return assumed === candidate || this.#areIdentical(assumed, candidate)
    this.#hypothesis[canonical] = candidate
    this.#assumed.push(canonical)

    if (records.word(candidate, 0) !== records.word(canonical, 0)) return false
    const kind = records.kind(candidate)
    const otherKind = records.kind(canonical)
    if (kind !== otherKind) return this.#forwardMatches(candidate, canonical)
    switch (kind) {
      case BtfKind.INT:
      case BtfKind.FWD:
      case BtfKind.FLOAT:
        return records.areEqual(candidate, canonical)
      case BtfKind.ENUM:
      case BtfKind.ENUM64:
        return records.areCompatibleEnums(candidate, canonical)
      case BtfKind.CONST:
      case BtfKind.VOLATILE:
      case BtfKind.RESTRICT:
      case BtfKind.PTR:
      case BtfKind.TYPEDEF:
      case BtfKind.FUNC:
      case BtfKind.TYPE_TAG:
        if (records.word(candidate, 1) !== records.word(canonical, 1)) return false
        pending.push(records.word(candidate, 2), records.word(canonical, 2))
        return true
      case BtfKind.ARRAY:
        if (records.word(candidate, 1) !== records.word(canonical, 1)) return false
        if (records.word(candidate, 5) !== records.word(canonical, 5)) return false
        for (const word of [3, 4]) pending.push(records.word(candidate, word), records.word(canonical, word))
        return true
      case BtfKind.STRUCT:
      case BtfKind.UNION:
        if (!records.areShallowEqualStructs(candidate, canonical)) return false
        for (let at = 1 + 3 * records.vlen(candidate); at > 3; at -= 3) {
          pending.push(records.word(candidate, at), records.word(canonical, at))
        }
        return true
      case BtfKind.FUNC_PROTO:
        if (!records.areCompatibleProtos(candidate, canonical)) return false
        for (let at = 2 + 2 * records.vlen(candidate); at >= 2; at -= 2) {
          pending.push(records.word(candidate, at), records.word(canonical, at))
        }
        return true
      default:
        return false
    }
  }

  /** The struct that a forward declaration was resolved to, if any. */
  #resolveForward(id: number): number {
    const records = this.#records
    if (records.kind(id) !== BtfKind.FWD) return id
    const resolved = this.#canonical.resolve(id)
    return records.kind(resolved) === BtfKind.FWD ? id : resolved
  }

  /** Of two types of different kinds: whether one is a forward declaration of the other. */
  #forwardMatches(candidate: number, canonical: number): boolean {
    const records = this.#records
    if (records.kind(candidate) === BtfKind.FWD) return forwardKind(records, candidate) === records.kind(canonical)
    if (records.kind(canonical) !== BtfKind.FWD) return false
    const matches = forwardKind(records, canonical) === records.kind(candidate)
    if (matches && canonical < this.#firstId) this.#changesBase = true
    return matches
  }

  /**
   * Compilers sometimes emit one and the same array, struct or pointer twice in one unit; then two of the one graph
   * meet one of the other.
   */
  #areIdentical(a: number, b: number): boolean {
    this.#identicalSteps = 0
    const records = this.#records
    return (
      this.#areIdenticalParts(a, b, 0) ||
      (records.kind(a) === BtfKind.PTR && records.kind(b) === BtfKind.PTR && records.word(a, 2) === records.word(b, 2))
    )
  }

  #areIdenticalParts(a: number, b: number, depth: number): boolean {
    const records = this.#records
    if (records.kind(a) === BtfKind.ARRAY) return records.areEqual(a, b)
    if (!records.areShallowEqualStructs(a, b)) return false
    if (depth >= MAX_IDENTICAL_DEPTH) return false
    for (let at = 4; at <= 1 + 3 * records.vlen(a); at += 3) {
      const [typeA, typeB] = [records.word(a, at), records.word(b, at)]
      if (typeA === typeB) continue
      if (++this.#identicalSteps > MAX_IDENTICAL_STEPS || !this.#areIdenticalParts(typeA, typeB, depth + 1))
        return false
    }
    return true
  }

  /** Makes the hypothesis, which turned out to be true, part of the canonical map. */
  #merge(): void {
    const records = this.#records
    const map = this.#canonical
    for (const assumed of this.#assumed) {
      const target = map.resolve(this.#hypothesis[assumed] as number)
      const canonical = map.resolve(assumed)
      const targetIsForward = records.kind(target) === BtfKind.FWD
      const canonicalIsForward = records.kind(canonical) === BtfKind.FWD
      // Structs need no canonical type yet to be what a declaration stands for: they get one before references do.
      if (!targetIsForward && canonicalIsForward) map.set(canonical, target)
      if (this.#changesBase) continue
      if (targetIsForward && !canonicalIsForward) map.set(target, canonical)
      // Only saves work: comparing that struct later would say the same. What has no canonical type itself may change.
      const isSettled = !canonicalIsForward && map.has(canonical) && !map.has(target)
      if (isSettled && records.isComposite(target)) map.set(target, canonical)
    }
  }
}

function forwardKind(records: Records, id: number): number {
  return records.kindFlag(id) ? BtfKind.UNION : BtfKind.STRUCT
}
