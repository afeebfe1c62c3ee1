import { isBpfError } from '../../bytes/index.ts'
import type { CoreCandidate, CoreRecord, CoreRelocation, LineRecord } from '../spec.ts'
import { coreKindName } from './kinds.ts'
import { compareLayouts } from './layout.ts'
import { matchSpec, type Why } from './match.ts'
import type { CoreResolution } from './resolve.ts'
import { describeSpec, describeType } from './spec.ts'
import { wideValue } from './value.ts'

/** What became of a relocation in one function. */
export interface CoreOutcome {
  readonly relocation: CoreRelocation
  /** Null when it could not be resolved at all. */
  readonly resolution: CoreResolution | null
  readonly outcome: 'applied' | 'poisoned' | 'failed'
  readonly reason: string | null
}

/** Comparisons that explaining one candidate may take. */
const EXPLAIN_COMPARISONS = 1_000_000

/**
 * The report of one relocation. What it takes to explain is worked out when read, as most relocations just apply and
 * there can be thousands of them.
 */
export class CoreReport implements CoreRecord {
  readonly insn: number
  readonly function: string
  readonly #outcome: CoreOutcome
  readonly #lines: () => readonly LineRecord[]

  /** @param lines line records of the function */
  constructor(outcome: CoreOutcome, insn: number, functionName: string, lines: () => readonly LineRecord[]) {
    this.#outcome = outcome
    this.insn = insn
    this.function = functionName
    this.#lines = lines
  }

  get kind(): number {
    return this.#outcome.relocation.kind
  }
  get kindName(): string {
    return coreKindName(this.kind)
  }
  get localTypeId(): number {
    return this.#outcome.relocation.typeId
  }
  get access(): string {
    return this.#outcome.relocation.access
  }
  get asked(): string {
    const { resolution } = this.#outcome
    return resolution === null ? `type [${this.localTypeId}] ${this.access}` : describeSpec(resolution.local)
  }
  get matched(): number | null {
    return this.#outcome.resolution?.matched ?? null
  }
  get localValue(): bigint | null {
    const value = this.#outcome.resolution?.value.local
    return value === undefined ? null : wideValue(value)
  }
  get targetValue(): bigint | null {
    const value = this.#outcome.resolution?.value.target
    return value === undefined || value === null || this.outcome !== 'applied' ? null : wideValue(value)
  }
  get outcome(): 'applied' | 'poisoned' | 'failed' {
    return this.#outcome.outcome
  }
  get reason(): string | null {
    return this.#outcome.reason
  }

  get candidates(): readonly CoreCandidate[] {
    const { resolution } = this.#outcome
    if (resolution === null) return []
    return resolution.candidates.map(({ btf, id }) => {
      const why: Why = { reason: null, localId: 0, targetId: 0 }
      let matches = false
      try {
        matches = matchSpec(resolution.local, btf, id, { left: EXPLAIN_COMPARISONS }, why) !== null
      } catch (error) {
        if (!isBpfError(error)) throw error
        why.reason = error.message
      }
      const isPlaced = !matches && why.targetId !== 0
      const layout = isPlaced ? compareLayouts(resolution.local.btf, why.localId, btf, why.targetId) : null
      return { typeId: id, name: describeType(btf, id), matches, reason: matches ? null : why.reason, layout }
    })
  }

  get sourceLine(): string | null {
    let found: LineRecord | null = null
    for (const line of this.#lines()) {
      if (line.insn > this.#outcome.relocation.insn) break
      found = line
    }
    return found === null ? null : `${found.file}:${found.line}: ${found.text.trim()}`
  }

  /** All fields, which JSON.stringify() would not find in getters. */
  toJSON(): object {
    const { insn, kind, kindName, asked, localTypeId, access, candidates, matched, outcome, reason, sourceLine } = this
    return {
      insn,
      function: this.function,
      kind,
      kindName,
      asked,
      localTypeId,
      access,
      candidates,
      matched,
      localValue: this.localValue?.toString() ?? null,
      targetValue: this.targetValue?.toString() ?? null,
      outcome,
      reason,
      sourceLine,
    }
  }
}
