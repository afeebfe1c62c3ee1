/** A value to print as JSON: the literal itself, or its parts. */
export type JsonNode =
  | string
  | { readonly items: readonly JsonNode[] }
  | { readonly fields: readonly (readonly [name: string, node: JsonNode])[] }

/** How JSON is laid out: what follows a colon, and what starts a line at a depth. */
export interface JsonLayout {
  readonly colon: string
  readonly line: (depth: number) => string
}

/** `bpftool -j`: one line, no spaces. */
export const COMPACT: JsonLayout = { colon: '', line: () => '' }
/** `bpftool -p`: four spaces, elements of an array one behind the other, its bracket on a line of its own. */
export const PRETTY: JsonLayout = { colon: ' ', line: (depth) => '\n' + '    '.repeat(depth) }

/** Prints `node`, whose brackets are at `depth`, as bpftool's JSON writer does. */
export function printJson(node: JsonNode, layout: JsonLayout, depth: number): string {
  if (typeof node === 'string') return node
  if ('items' in node) {
    if (node.items.length === 0) return '[]'
    return `[${node.items.map((item) => printJson(item, layout, depth + 1)).join(',')}${layout.line(depth)}]`
  }
  if (node.fields.length === 0) return '{}'
  const indent = layout.line(depth + 1)
  let text = '{'
  for (let i = 0; i < node.fields.length; i++) {
    const [name, value] = node.fields[i] as readonly [string, JsonNode]
    text += `${i > 0 ? ',' : ''}${indent}${quote(name)}:${layout.colon}${printJson(value, layout, depth + 1)}`
  }
  return `${text}${layout.line(depth)}}`
}

const ESCAPES: Readonly<Record<string, string>> = {
  '\t': '\\t',
  '\n': '\\n',
  '\r': '\\r',
  '\f': '\\f',
  '\b': '\\b',
  '\\': '\\\\',
  '"': '\\"',
}

/** bpftool's quoting: no Unicode escapes, other control characters as they are. */
export function quote(text: string): string {
  return `"${text.replace(/[\t\n\r\f\b\\"]/g, (c) => ESCAPES[c] as string)}"`
}
