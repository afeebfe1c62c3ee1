import type { Coverage, LineCoverage, LoadedObject } from '../../loader/index.ts'
import { escapeText } from '../frame/escape.ts'
import type { Style } from '../frame/style.ts'

/** What ran of the programs that were chosen, and of those that they led to. */
export function coverageOf(loaded: LoadedObject, chosen: readonly string[]): Coverage {
  return loaded.coverage(
    Object.values(loaded.programs)
      .filter((program) => chosen.includes(program.name) || program.coverage().covered > 0)
      .map(({ name }) => name),
  )
}

/** C lines with how often they ran, as gcov shows them: `#####` for lines that did not. */
export function coverageText(coverage: Coverage, style: Style): string {
  const { lines, instructions, covered } = coverage
  const reached = lines.filter(({ hits }) => hits > 0).length
  let text = `${style.bold('coverage')} ${share(reached, lines.length, 'lines')}, ${share(covered, instructions, 'instructions')}\n`
  let file = ''
  for (const line of lines) {
    if (line.file !== file) text += `  ${escapeText(line.file)}\n`
    file = line.file
    text += lineText(line, style)
  }
  return text
}

function lineText(line: LineCoverage, style: Style): string {
  const count = (line.hits === 0 ? '#####' : String(line.hits)).padStart(9)
  const partly = line.hits > 0 && line.covered < line.instructions
  const shown = line.hits === 0 ? style.red(count) : partly ? style.yellow(count) : style.green(count)
  return `${shown}${partly ? '*' : ' '} ${String(line.line).padStart(5)}: ${escapeText(line.text.replaceAll('\t', '    '))}\n`
}

function share(part: number, whole: number, what: string): string {
  return `${part} of ${whole} ${what}`
}

export function coverageJson({ instructions, covered, lines }: Coverage): Record<string, unknown> {
  return { instructions, covered, lines: lines.map((line) => ({ ...line, text: line.text.trim() })) }
}
