import { BpfError, isBpfError } from '../../bytes/index.ts'
import type { InsnBuffer } from '../../isa/index.ts'
import { CoreKind } from '../core/kinds.ts'
import { patchInsn } from '../core/patch.ts'
import type { CoreOutcome } from '../core/record.ts'
import { CoreResolver, type CoreResolution, type CoreTargets } from '../core/resolve.ts'
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

/**
 * Applies the CO-RE relocations of all functions but the entry programs that are left out, in the order of the object's
 * records. A failure is kept for the programs that use the function.
 * @param targets `null` when there is no BTF to relocate against, `'local'` to resolve every type to itself
 */
export function relocateCore(
  spec: ObjectSpec,
  leftOut: ReadonlySet<number>,
  targets: CoreTargets | 'local' | null,
): RelocatedFunctions {
  const changed = new Map<number, InsnBuffer>()
  const outcomes = new Map<number, CoreOutcome[]>()
  const errors = new Map<number, BpfError>()
  const { btf } = spec
  if (btf !== null) {
    const resolver = new CoreResolver(btf, targets === 'local' ? null : targets, spec.littleEndian)
    for (const index of spec.coreOrder) {
      const fn = spec.functions[index]
      if (fn === undefined || leftOut.has(index)) continue
      const insns = fn.insns.slice()
      changed.set(index, insns)
      const list = fn.coreRelocations.map((relocation) => {
        try {
          if (targets === null && relocation.kind !== CoreKind.TYPE_ID_LOCAL) {
            throw new BpfError('core', 'its types need the BTF of the kernel, and there is none')
          }
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
