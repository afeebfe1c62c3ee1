/**
 * Control characters, and those that reorder text on a terminal: names in objects and bytes in packets may hold
 * anything, and must not move the cursor or change the title of somebody's window.
 */
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g
const UNSAFE_BUT_LINES = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g

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
