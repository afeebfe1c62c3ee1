import { BpfError } from '../../bytes/index.ts'
import { prepare, type Backend, type ObjectSpec, type ProgramReport } from '../../loader/index.ts'

/** What the vm calls the helper number 0xbad2310 that marks code behind a CO-RE relocation without a match. */
const POISON_WORDS = /195896080/

/**
 * Why a program did not load. When all that is known is that helper 195896080 does not exist, the CO-RE relocation that
 * put it there is the cause. (The kernel backend says so itself.)
 */
export function explained(spec: ObjectSpec, backend: Backend, report: ProgramReport): BpfError {
  const error = report.error ?? new BpfError('malformed', 'did not load', { where: { program: report.name } })
  if (!POISON_WORDS.test(error.message)) return error
  const [result] = prepare(spec, { kernelBtf: backend.kernelBtf(), programs: [report.name] }).programs
  if (result === undefined || !result.ok) return error
  const poisoned = result.program.core.filter((record) => record.outcome === 'poisoned')
  const record = poisoned.find(({ insn }) => insn === error.where.insn) ?? poisoned[0]
  if (record === undefined) return error
  const message = `CO-RE relocation ${record.kindName} ${record.asked} has no match: ${record.reason ?? 'unknown reason'}`
  const where = {
    ...error.where,
    insn: record.insn,
    ...(record.sourceLine === null ? {} : { sourceLine: record.sourceLine }),
  }
  return new BpfError('core', message, { where, cause: error, ...(error.log === undefined ? {} : { log: error.log }) })
}
