import type { VerifyStats } from '../verify.ts'
import type { ProgramFacts } from '../walk.ts'
import type { Trace } from './trace.ts'

const LIMIT = 1_000_000

/** Before the walk: which registers are alive before each instruction. */
export function logProgram(trace: Trace, facts: ProgramFacts): void {
  const { log } = trace
  if (!log.all) return
  log.write('Live regs before insn:\n')
  for (let i = 0; i < facts.ops.length; i++) {
    if (facts.ops[i] === null) continue
    const scc = facts.flow.scc[i] as number
    const live = facts.live[i] as number
    let registers = ''
    for (let r = 0; r < 10; r++) registers += (live & (1 << r)) === 0 ? '.' : r
    const loop = scc === 0 ? '    ' : `${String(scc).padStart(3)} `
    log.write(`${loop}${String(i).padStart(3)}: ${registers} ${trace.insnText(i)}\n`)
  }
}

/** The last line: what the verification cost. */
export function statsText(stats: VerifyStats): string {
  return (
    `processed ${stats.insnsProcessed} insns (limit ${LIMIT}) max_states_per_insn ${stats.maxStatesPerInsn} ` +
    `total_states ${stats.totalStates} peak_states ${stats.peakStates} mark_read 0\n`
  )
}
