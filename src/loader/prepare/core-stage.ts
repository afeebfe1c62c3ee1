import { BpfError, isBpfError } from '../../bytes/index.ts'
import type { InsnBuffer } from '../../isa/index.ts'
import { CoreKind } from '../core/kinds.ts'
import { patchInsn } from '../core/patch.ts'
import type { CoreOutcome } from '../core/record.ts'
import type { CoreBudget } from '../core/compat.ts'
import { CoreResolver, type CorePolicy, type CoreResolution, type CoreTargets } from '../core/resolve.ts'
import { describeSpec } from '../core/spec.ts'
import type { ObjectSpec } from '../object.ts'
import type { CoreRelocation, FunctionSpec } from '../spec.ts'

/** Functions after CO-RE. */
export interface RelocatedFunctions {
  /** A function's instructions, a copy where CO-RE changed them. */
  readonly insnsOf: (index: number) => InsnBuffer
  readonly outcomesOf: (index: number) => readonly CoreOutcome[]
  /** First failure in each function. */
  readonly errors: ReadonlyMap<number, BpfError>
}

/** What the relocations of one object have in common. */
export interface CoreSettings {
  /** `null` when there is no BTF to relocate against, `'local'` to resolve every type to itself. */
  readonly targets: CoreTargets | 'local' | null
  readonly policy: CorePolicy
  readonly budget: CoreBudget
}

/**
 * Applies the CO-RE relocations of the functions that are wanted, in the order of the object's records. A failure is
 * kept for the programs that use the function.
 */
export function relocateCore(
  spec: ObjectSpec,
  isWanted: (functionIndex: number) => boolean,
  { targets, policy, budget }: CoreSettings,
): RelocatedFunctions {
  const changed = new Map<number, InsnBuffer>()
  const outcomes = new Map<number, CoreOutcome[]>()
  const errors = new Map<number, BpfError>()
  const { btf } = spec
  if (btf !== null) {
    const resolver = new CoreResolver(btf, targets === 'local' ? null : targets, spec.littleEndian, policy, budget)
    const wanted = spec.coreOrder.filter(isWanted)
    const failed = policy === 'cilium' && targets !== null ? narrowTypes(spec, wanted, resolver) : NONE_FAILED
    for (const index of wanted) {
      const fn = spec.functions[index]
      if (fn === undefined) continue
      const insns = fn.insns.slice()
      changed.set(index, insns)
      const list = fn.coreRelocations.map((relocation) => {
        try {
          if (targets === null && relocation.kind !== CoreKind.TYPE_ID_LOCAL) {
            throw new BpfError('core', 'its types need the BTF of the kernel, and there is none')
          }
          const failure = failed.get(relocation.typeId)
          if (failure !== undefined && relocation.kind !== CoreKind.TYPE_ID_LOCAL) throw failure
          return applyOne(insns, relocation, resolver.resolve(relocation))
        } catch (error) {
          if (!isBpfError(error)) throw error
          if (!errors.has(index)) errors.set(index, explain(error, fn, relocation))
          return { relocation, resolution: null, outcome: 'failed', reason: error.message } as const
        }
      })
      outcomes.set(index, list)
    }
  }
  return {
    insnsOf: (index) => changed.get(index) ?? (spec.functions[index] as FunctionSpec).insns,
    outcomesOf: (index) => outcomes.get(index) ?? [],
    errors,
  }
}

const NONE_FAILED: ReadonlyMap<number, BpfError> = new Map()

/** Lets the resolver see all that is asked of each local type before the first answer; gives the types that it failed for. */
function narrowTypes(spec: ObjectSpec, functions: readonly number[], resolver: CoreResolver): Map<number, BpfError> {
  const byType = new Map<number, CoreRelocation[]>()
  for (const index of functions) {
    for (const relocation of spec.functions[index]?.coreRelocations ?? []) {
      if (relocation.kind === CoreKind.TYPE_ID_LOCAL) continue
      const known = byType.get(relocation.typeId)
      if (known === undefined) byType.set(relocation.typeId, [relocation])
      else known.push(relocation)
    }
  }
  const failed = new Map<number, BpfError>()
  for (const [typeId, relocations] of byType) {
    try {
      resolver.narrow(typeId, relocations)
    } catch (error) {
      if (!isBpfError(error)) throw error
      failed.set(typeId, error)
    }
  }
  return failed
}

function applyOne(insns: InsnBuffer, relocation: CoreRelocation, resolution: CoreResolution): CoreOutcome {
  if (relocation.insn >= insns.length)
    throw new BpfError('core', `it is for slot ${relocation.insn}, beyond the function`)
  const missing = resolution.candidates.length === 0 ? NO_CANDIDATE : NO_MATCH
  try {
    const patched = patchInsn(insns, relocation.insn, resolution.value, missing)
    const reason = patched.outcome === 'poisoned' ? patched.reason : null
    return { relocation, resolution, outcome: patched.outcome, reason }
  } catch (error) {
    if (isBpfError(error)) throw new BpfError(error.code, `${describeSpec(resolution.local)}: ${error.message}`)
    throw error
  }
}

const NO_CANDIDATE = 'the target has no type of that name'
const NO_MATCH = 'no type of that name in the target has what is asked for'

function explain(error: BpfError, fn: FunctionSpec, relocation: CoreRelocation): BpfError {
  const insn = fn.sectionInsn + relocation.insn
  const where = { section: fn.section, symbol: fn.name, insn }
  return new BpfError(error.code, `CO-RE relocation in '${fn.name}': ${error.message}`, { where, cause: error })
}
