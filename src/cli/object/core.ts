import { accessSync, constants } from 'node:fs'
import { formatError } from '../../bytes/index.ts'
import type { Btf } from '../../btf/index.ts'
import { coreLayoutText, prepare, type CoreRecord, type ObjectSpec } from '../../loader/index.ts'
import { openBtf, VMLINUX } from '../frame/btf-file.ts'
import { escapeText } from '../frame/escape.ts'
import type { Style } from '../frame/style.ts'
import { table } from '../frame/table.ts'

/** Types of a kernel that CO-RE relocations are tried on. */
export interface CoreTarget {
  readonly path: string
  readonly btf: Btf
}

/** A relocation of a program and what came of it. */
export interface ProgramRecord {
  readonly program: string
  readonly record: CoreRecord
}

/** What came of all CO-RE relocations of an object. */
export interface CoreOutcome {
  readonly target: CoreTarget
  readonly records: readonly ProgramRecord[]
  /** Programs that cannot be prepared for this kernel, for CO-RE or for another reason. */
  readonly failures: readonly { readonly program: string; readonly error: string }[]
}

/** BTF of the file, or of the running kernel where it can be read; null otherwise. @throws for a file that cannot */
export async function coreTarget(path: string | undefined): Promise<CoreTarget | null> {
  if (path !== undefined) return { path, btf: await openBtf(path) }
  try {
    accessSync(VMLINUX, constants.R_OK)
  } catch {
    return null
  }
  return { path: VMLINUX, btf: await openBtf(VMLINUX) }
}

/** Applies the relocations of all programs, those that are loaded on request only included. */
export function coreOutcome(spec: ObjectSpec, target: CoreTarget): CoreOutcome {
  const records: ProgramRecord[] = []
  const failures: { program: string; error: string }[] = []
  for (const result of prepare(spec, { kernelBtf: target.btf, programs: Object.keys(spec.programs) }).programs) {
    const name = result.ok ? result.program.spec.name : result.spec.name
    const core = result.ok ? result.program.core : result.core
    for (const record of core) records.push({ program: name, record })
    // What is configured in a kernel is not in its types.
    const isConfiguration = !result.ok && spec.externs[result.error.where.symbol ?? '']?.kind === 'kconfig'
    if (!result.ok && !isConfiguration) failures.push({ program: name, error: formatError(result.error) })
  }
  return { target, records, failures }
}

/** For `show --json`. */
export function coreJson(outcome: CoreOutcome): Record<string, unknown> {
  return {
    btf: outcome.target.path,
    ...countsOf(outcome),
    relocations: outcome.records.map(({ program, record }) => ({
      program,
      function: record.function,
      insn: record.insn,
      kind: record.kindName,
      asked: record.asked,
      access: record.access,
      outcome: record.outcome,
      localValue: record.localValue,
      targetValue: record.targetValue,
      matched: record.matched,
      candidates: record.candidates,
      reason: record.reason,
      sourceLine: record.sourceLine,
    })),
    failures: outcome.failures,
  }
}

function countsOf(outcome: CoreOutcome): { applied: number; poisoned: number; failed: number } {
  const counts = { applied: 0, poisoned: 0, failed: 0 }
  for (const { record } of outcome.records) counts[record.outcome]++
  return counts
}

/** A table of the relocations; with `verbose` each one with its candidates. */
export function coreText(outcome: CoreOutcome, style: Style, verbose: boolean): string {
  const { applied, poisoned, failed } = countsOf(outcome)
  const counts = `${applied} applied, ${poisoned} poisoned, ${failed} failed`
  let text = style.bold(`CO-RE relocations against ${escapeText(outcome.target.path)}: ${counts}`) + '\n'
  text += verbose ? outcome.records.map((each) => recordText(each, style)).join('') : recordTable(outcome, style)
  for (const { program, error } of outcome.failures) {
    text += `  ${style.red(`program ${escapeText(program)} cannot be loaded`)}: ${escapeText(error)}\n`
  }
  return text
}

/** Equal relocations on one line, with how many there are. */
function recordTable(outcome: CoreOutcome, style: Style): string {
  const rows = new Map<string, { count: number; cells: string[] }>()
  for (const { record } of outcome.records) {
    const cells = [
      record.kindName,
      record.asked,
      valueOf(record.localValue),
      valueOf(record.targetValue),
      verdictOf(record),
    ]
    const key = cells.join('\0')
    const row = rows.get(key)
    if (row === undefined) rows.set(key, { count: 1, cells })
    else row.count++
  }
  if (rows.size === 0) return ''
  return table(
    ['COUNT', 'KIND', 'FIELD, TYPE OR VALUE', 'WAS', 'IS', 'OUTCOME'],
    [...rows.values()].map(({ count, cells }) => [String(count), ...cells]),
    (header) => style.dim(header),
  )
}

function valueOf(value: bigint | null): string {
  return value === null ? '-' : String(value)
}

function verdictOf(record: CoreRecord): string {
  if (record.reason !== null) return `${record.outcome}: ${record.reason}`
  const matched = record.matched === null ? undefined : record.candidates[record.matched]
  return matched === undefined ? record.outcome : `${record.outcome}, ${matched.name} [${matched.typeId}]`
}

function recordText({ program, record }: ProgramRecord, style: Style): string {
  const where = `${program} insn ${record.insn}${record.function === program ? '' : ` in ${record.function}`}`
  let text = `  ${style.bold(escapeText(`${record.kindName} ${record.asked}`))} (${escapeText(where)})\n`
  if (record.sourceLine !== null) text += `    ${style.dim(escapeText(record.sourceLine))}\n`
  text += `    ${escapeText(`${verdictOf(record)}: ${valueOf(record.localValue)} -> ${valueOf(record.targetValue)}`)}\n`
  for (const candidate of record.candidates) {
    const verdict = candidate.matches ? 'matches' : (candidate.reason ?? 'does not match')
    text += `    ${escapeText(`[${candidate.typeId}] ${candidate.name}: ${verdict}`)}\n`
    if (candidate.layout === null) continue
    for (const line of coreLayoutText(candidate.layout)) text += `      ${style.dim(escapeText(line))}\n`
  }
  return text
}
