import type { LineRecord } from '../../../loader/index.ts'

/** Last line record at or before a slot (the first one for slots before all records). */
export function lineAt(lines: readonly LineRecord[], insn: number): LineRecord | null {
  let low = 0
  let high = lines.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if ((lines[middle] as LineRecord).insn <= insn) low = middle
    else high = middle - 1
  }
  return lines[low] ?? null
}

/** `text @ file.c:12`. */
export function lineText(line: LineRecord): string {
  const file = line.file.slice(line.file.lastIndexOf('/') + 1)
  return `${line.text.replace(/^\s+/, '')} @ ${file}:${line.line}`
}
