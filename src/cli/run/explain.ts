import { BpfError } from '../../bytes/index.ts'
import { explainPoison, type LoadedProgram } from '../../loader/index.ts'

/**
 * Why a run was stopped. A program that reaches code behind a CO-RE relocation without a match traps there; the
 * relocation is the cause then.
 */
export function explained(program: LoadedProgram, error: BpfError): BpfError {
  const { insn } = error.where
  if (error.code !== 'trap' || insn === undefined) return error
  const reason = explainPoison(program.prepared, insn)
  return reason === null ? error : new BpfError('core', reason, { where: error.where, cause: error })
}
