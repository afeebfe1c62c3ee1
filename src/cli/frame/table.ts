import { escapeText } from './escape.ts'

/** Rows as aligned columns, indented by two; texts are escaped. The last column is not padded. */
export function table(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  bold: (text: string) => string,
): string {
  const safe = rows.map((row) => row.map(escapeText))
  const widths = header.map((title, i) => Math.max(title.length, ...safe.map((row) => row[i]?.length ?? 0)))
  const line = (cells: readonly string[]): string =>
    `  ${cells.map((cell, i) => (i === cells.length - 1 ? cell : cell.padEnd(widths[i] ?? 0))).join('  ')}`.trimEnd()
  return [bold(line(header)), ...safe.map(line)].join('\n') + '\n'
}
