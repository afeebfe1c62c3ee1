import type { CoreRecord, PreparedProgram } from '../spec.ts'
import { layoutText } from './layout.ts'
import { POISON_CORE } from './patch.ts'

/** Candidates that are described; more than a few types of one name are rare. */
const MAX_CANDIDATES = 3
/** Members of a struct that are shown. */
const MAX_ROWS = 12

/**
 * What stood in the place of an instruction that was made invalid because its CO-RE relocation had no match: what was
 * asked for, and of each candidate type the first thing that differs, with both layouts.
 * @param insn slot of the invalid instruction in the prepared program
 * @returns null when the slot holds no such instruction
 */
export function explainPoison(program: PreparedProgram, insn: number): string | null {
  if (program.insns.imm[insn] !== POISON_CORE) return null
  const poisonedAt = (slot: number): CoreRecord | undefined =>
    program.core.find((record) => record.outcome === 'poisoned' && record.insn === slot)
  // Of an instruction of two slots both are made invalid.
  const record = poisonedAt(insn) ?? poisonedAt(insn - 1)
  return record === undefined ? null : describe(record)
}

function describe(record: CoreRecord): string {
  const lines = [
    `CO-RE relocation ${record.kindName} ${record.asked} has no match: ${record.reason ?? 'unknown reason'}`,
  ]
  const { candidates } = record
  for (const { typeId, name, reason, layout } of candidates.slice(0, MAX_CANDIDATES)) {
    lines.push(`candidate [${typeId}] ${name}: ${reason ?? 'matches'}`)
    if (layout === null) continue
    const rows = layoutText(layout)
    lines.push(...rows.slice(0, MAX_ROWS).map((row) => `  ${row}`))
    if (rows.length > MAX_ROWS) lines.push(`  (${rows.length - MAX_ROWS} more lines)`)
  }
  if (candidates.length > MAX_CANDIDATES) lines.push(`(${candidates.length - MAX_CANDIDATES} more candidates)`)
  return lines.join('\n  ')
}
