import type { Btf } from '../../btf/index.ts'
import { BpfError } from '../../bytes/index.ts'
import type { CoreRelocation } from '../spec.ts'
import { spend, type CoreBudget } from './compat.ts'
import { CoreKind } from './kinds.ts'
import { matchSpec } from './match.ts'
import { essentialName } from './names.ts'
import { describeSpec, describeType, parseSpec, type CoreSpec } from './spec.ts'
import { kindOf, kindsAreCompatible } from './types.ts'
import { calculate, type CoreValue } from './value.ts'

/** A type that may be what a local type stands for. */
export interface CandidateType {
  readonly btf: Btf
  readonly id: number
}

/**
 * Which of several types of one name a relocation is resolved against.
 * - `libbpf`: those of the kernel, and only when it has none those of the other targets; all that have what is asked for
 *   must agree.
 * - `cilium`: those of all targets, taking for all relocations of a program against one local type those candidates that
 *   lack the least of what is asked for; candidates that lack as much must agree (cilium/ebpf, btf.CORERelocate).
 */
export type CorePolicy = 'libbpf' | 'cilium'

/** Where candidates come from. */
export interface CoreTargets {
  /** BTF of the kernel, or of the file that stands for it. */
  readonly main: Btf
  /** BTFs of modules and extra targets; by libbpf's policy looked at only for types that `main` has not. */
  readonly modules: () => readonly Btf[]
}

/** Answer to one relocation; the same for all relocations that ask the same. */
export interface CoreResolution {
  readonly local: CoreSpec
  readonly value: CoreValue
  /** The types that were tried. */
  readonly candidates: readonly CandidateType[]
  /** Index of the first one that matched, or null. */
  readonly matched: number | null
}

/** Candidates of one local root type; narrowed to those that matched before. */
interface CandidateList {
  types: readonly CandidateType[]
  /** Answers by kind and accessor, as long as `types` stays. */
  answers: Map<string, CoreResolution>
}

/** Comparisons of names and types for one object: a hundred times what the largest real ones need, some seconds. */
export const MAX_COMPARISONS: number = 300_000_000

/**
 * Resolves the CO-RE relocations of one object (libbpf, bpf_core_calc_relo_insn): looks for types of the same essential
 * name, matches what is asked, and demands that all that match agree. As in libbpf, candidates that did not match
 * beside others that did are out for later relocations of the same type, so order matters.
 */
export class CoreResolver {
  readonly #local: Btf
  readonly #targets: CoreTargets | null
  readonly #littleEndian: boolean
  readonly #policy: CorePolicy
  readonly #lists = new Map<number, CandidateList>()
  readonly #budget: CoreBudget

  /**
   * @param targets null resolves every type to itself
   * @param budget comparisons that may be made, shared by the resolvers of one object
   */
  constructor(
    local: Btf,
    targets: CoreTargets | null,
    littleEndian: boolean,
    policy: CorePolicy = 'libbpf',
    budget: CoreBudget = { left: MAX_COMPARISONS },
  ) {
    this.#local = local
    this.#targets = targets
    this.#littleEndian = littleEndian
    this.#policy = policy
    this.#budget = budget
  }

  /**
   * Keeps of the candidates for one local type those that lack the least of what all these relocations, which are
   * against that type, ask for.
   * @throws BpfError `ambiguous` when they lack different things, `core`
   */
  narrow(typeId: number, relocations: readonly CoreRelocation[]): void {
    const list = this.#candidates(typeId)
    const specs = relocations.map((relocation) => parseSpec(this.#local, relocation))
    const lacks = list.types.map(({ btf, id }) => {
      spend(this.#budget, specs.length)
      return specs.filter((spec) => matchSpec(spec, btf, id, this.#budget) === null)
    })
    const least = lacks.reduce((least, { length }) => Math.min(least, length), specs.length)
    const kept = lacks.filter(({ length }) => length === least)
    list.types = list.types.filter((_, i) => lacks[i]?.length === least)
    list.answers = new Map()
    const [first] = kept
    const other = kept.findIndex((lack) => lack.some((spec) => first?.includes(spec) === false))
    if (other === -1) return
    const ids = [list.types[0], list.types[other]].map((type) => `[${type?.id}]`)
    throw new BpfError(
      'ambiguous',
      `types ${ids.join(' and ')} of the target have as much of ${this.#local.name(typeId)} each, but not the same`,
    )
  }

  /** @throws BpfError `core`, `ambiguous` */
  resolve(relocation: CoreRelocation): CoreResolution {
    const { typeId, kind, access } = relocation
    if (kind === CoreKind.TYPE_ID_LOCAL) {
      const local = parseSpec(this.#local, relocation)
      return { local, value: calculate(local, local, this.#littleEndian), candidates: [], matched: null }
    }
    const list = this.#candidates(typeId)
    const key = `${kind} ${access}`
    const known = list.answers.get(key)
    if (known !== undefined) return known
    const local = parseSpec(this.#local, relocation)
    const resolution = this.#match(local, list)
    list.answers.set(key, resolution)
    return resolution
  }

  #match(local: CoreSpec, list: CandidateList): CoreResolution {
    const candidates = list.types
    const matching: CandidateType[] = []
    let first: { readonly spec: CoreSpec; readonly value: CoreValue; readonly index: number } | null = null
    for (const [index, candidate] of candidates.entries()) {
      spend(this.#budget, 1)
      const spec = matchSpec(local, candidate.btf, candidate.id, this.#budget)
      if (spec === null) continue
      const value = calculate(local, spec, this.#littleEndian)
      matching.push(candidate)
      if (first === null) first = { spec, value, index }
      else if (first.spec.bitOffset !== spec.bitOffset || !sameTarget(first.value, value)) {
        const text = describeType(candidate.btf, candidate.id)
        throw new BpfError(
          'ambiguous',
          `${describeSpec(local)} is ambiguous: type [${candidates[first.index]?.id}] and ${text} [${candidate.id}] ` +
            `of the target give different values`,
        )
      }
    }
    if (matching.length > 0 && matching.length < candidates.length) {
      list.types = matching
      list.answers = new Map()
    }
    return {
      local,
      value: first?.value ?? calculate(local, null, this.#littleEndian),
      candidates,
      matched: first?.index ?? null,
    }
  }

  #candidates(typeId: number): CandidateList {
    let list = this.#lists.get(typeId)
    if (list === undefined) {
      list = { types: this.#findCandidates(typeId), answers: new Map() }
      this.#lists.set(typeId, list)
    }
    return list
  }

  #findCandidates(typeId: number): CandidateType[] {
    const local = this.#local
    if (this.#targets === null) return typeId < local.typeCount ? [{ btf: local, id: typeId }] : []
    const name = local.name(typeId)
    if (name === '') throw new BpfError('core', `type [${typeId}] is anonymous, so that it cannot be looked for`)
    const essential = essentialName(name)
    const kind = kindOf(local, typeId)
    const inBtf = (btf: Btf, ownOnly: boolean): CandidateType[] =>
      btf
        .findByEssentialName(essential)
        .filter((id) => id > 0 && (!ownOnly || id >= btf.firstId) && kindsAreCompatible(kindOf(btf, id), kind))
        .map((id) => ({ btf, id }))
    const main = inBtf(this.#targets.main, false)
    if (main.length > 0 && this.#policy === 'libbpf') return main
    return [...main, ...this.#targets.modules().flatMap((module) => inBtf(module, true))]
  }
}

function sameTarget(a: CoreValue, b: CoreValue): boolean {
  if (a.target === null || b.target === null) return a.target === b.target
  return a.target.low === b.target.low && a.target.high === b.target.high
}
