/**
 * Control characters, and those that reorder text on a terminal: names in objects and bytes in packets may hold
 * anything, and must not move the cursor or change the title of somebody's window.
 */
const UNSAFE = /[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}\ufeff]/gu
const UNSAFE_BUT_LINES = /(?![\n\t])[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}\ufeff]/gu

function escaped(char: string): string {
  const code = char.charCodeAt(0)
  if (char === '\n') return '\\n'
  if (char === '\t') return '\\t'
  if (char === '\r') return '\\r'
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`
}

/** Text from a file or the kernel, safe inside one line. */
export function escapeText(text: string): string {
  return text.replace(UNSAFE, escaped)
}

/** The same for text of several lines: line feeds and tabs stay. */
export function escapeLines(text: string): string {
  return text.replace(UNSAFE_BUT_LINES, escaped)
}
