const WIDTH = 16

/** Lines of 16 bytes: `0000010  0a00 0001 ...  | ....`. */
export function hexdump(bytes: Uint8Array): string[] {
  const lines: string[] = []
  for (let at = 0; at < bytes.length; at += WIDTH) lines.push(lineAt(bytes, at))
  return lines
}

/**
 * What changed from `before` to `after`: lines that differ with `-` and `+`, one equal line around them, the rest
 * left out.
 */
export function hexDiff(before: Uint8Array, after: Uint8Array): string[] {
  const count = Math.ceil(Math.max(before.length, after.length) / WIDTH)
  const differs = Array.from({ length: count }, (_, i) => lineAt(before, i * WIDTH) !== lineAt(after, i * WIDTH))
  const lines: string[] = []
  let skipped = false
  for (let i = 0; i < count; i++) {
    const at = i * WIDTH
    if (differs[i]) {
      if (at < before.length) lines.push(`- ${lineAt(before, at)}`)
      if (at < after.length) lines.push(`+ ${lineAt(after, at)}`)
      skipped = false
    } else if (differs[i - 1] || differs[i + 1]) {
      lines.push(`  ${lineAt(after, at)}`)
      skipped = false
    } else if (!skipped) {
      lines.push('  ...')
      skipped = true
    }
  }
  return lines
}

function lineAt(bytes: Uint8Array, at: number): string {
  const part = bytes.subarray(at, at + WIDTH)
  let hex = ''
  let text = ''
  for (let i = 0; i < WIDTH; i++) {
    const b = part[i]
    hex += (b === undefined ? '  ' : b.toString(16).padStart(2, '0')) + (i % 2 === 1 ? ' ' : '')
    if (b !== undefined) text += b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : '.'
  }
  return `${at.toString(16).padStart(7, '0')}  ${hex} ${text}`.trimEnd()
}
