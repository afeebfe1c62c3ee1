import { slotsAt } from '../../isa/index.ts'
import type { PreparedProgram } from '../spec.ts'

/** What ran of a C line. */
export interface LineCoverage {
  readonly file: string
  readonly line: number
  readonly text: string
  /** How often: that of its most frequent instruction, added up over programs. With `coverage`, programs that ran it. */
  readonly hits: number
  /** Instructions that the line was compiled to, and how many of them ran in any program. */
  readonly instructions: number
  readonly covered: number
}

/** What ran of a program, or of all programs of an object. */
export interface Coverage {
  readonly instructions: number
  readonly covered: number
  /** By file, then by line. Lines that were compiled to nothing are not here. */
  readonly lines: readonly LineCoverage[]
}

/** What ran of one program. */
export interface ProgramCoverage extends Coverage {
  /** By slot, how often the instruction ran; 0 or 1 with `coverage`. */
  readonly hits: Float64Array
}

/** Instructions with their lines, from how often each slot ran. */
export function programCoverage(program: PreparedProgram, hits: Float64Array): ProgramCoverage {
  const { insns, lines, functions } = program
  const ends = functions.slice(1).map(({ start }) => start)
  const found = new Map<string, LineCoverage>()
  let instructions = 0
  let covered = 0
  let record = -1
  let fn = 0
  for (let slot = 0; slot < insns.length; slot += slotsAt(insns, slot)) {
    const count = hits[slot] as number
    instructions++
    if (count > 0) covered++
    if (slot === ends[fn]) {
      fn++
      record = -1
    }
    for (let next = Math.max(0, record + 1); next < lines.length && (lines[next]?.insn ?? 0) <= slot; next++) {
      if ((lines[next]?.insn ?? 0) >= (functions[fn]?.start ?? 0)) record = next
    }
    const line = record === -1 ? undefined : lines[record]
    // Line 0: what the compiler could not attribute.
    if (line === undefined || line.line === 0) continue
    add(
      found,
      {
        file: line.file,
        line: line.line,
        text: line.text,
        hits: count,
        instructions: 1,
        covered: count > 0 ? 1 : 0,
      },
      Math.max,
    )
  }
  return { hits, instructions, covered, lines: sorted(found) }
}

/** The same line in several programs counts as often as all of them ran it. */
export function mergeCoverage(parts: readonly Coverage[]): Coverage {
  const found = new Map<string, LineCoverage>()
  for (const { lines } of parts) for (const line of lines) add(found, line, (a, b) => a + b)
  return {
    instructions: parts.reduce((sum, part) => sum + part.instructions, 0),
    covered: parts.reduce((sum, part) => sum + part.covered, 0),
    lines: sorted(found),
  }
}

function add(found: Map<string, LineCoverage>, line: LineCoverage, join: (a: number, b: number) => number): void {
  const key = `${line.file}:${line.line}`
  const known = found.get(key)
  if (known === undefined) {
    found.set(key, line)
    return
  }
  found.set(key, {
    ...known,
    hits: join(known.hits, line.hits),
    instructions: known.instructions + line.instructions,
    covered: known.covered + line.covered,
  })
}

function sorted(found: ReadonlyMap<string, LineCoverage>): LineCoverage[] {
  return [...found.values()].sort((a, b) => (a.file === b.file ? a.line - b.line : a.file < b.file ? -1 : 1))
}
