import { BpfError } from '../../bytes/index.ts'
import type { LoadedProgram } from '../../loader/index.ts'

/**
 * Why a run was stopped. A program that reaches code behind a CO-RE relocation without a match traps there; the
 * relocation is the cause then.
 */
export function explained(program: LoadedProgram, error: BpfError): BpfError {
  if (error.code !== 'trap') return error
  const record = program.prepared.core.find(({ insn, outcome }) => outcome === 'poisoned' && insn === error.where.insn)
  if (record === undefined) return error
  const message = `CO-RE relocation ${record.kindName} ${record.asked} has no match: ${record.reason ?? 'unknown reason'}`
  return new BpfError('core', message, { where: error.where, cause: error })
}
