import type { Btf } from '../btf.ts'
import { COMPACT, PRETTY, printJson, quote, type JsonNode } from '../json-layout.ts'
import { bpftoolNode } from './format-bpftool.ts'
import { readValue } from './read.ts'
import type { BtfValue, BtfValueOptions } from './types.ts'

/** Options of {@link formatValue}. */
export interface BtfFormatOptions extends BtfValueOptions {
  /** Over several lines with four spaces (the default), or in one. */
  readonly pretty?: boolean
  /** Levels of indentation that the text is inside of already. */
  readonly depth?: number
  /**
   * `readable` (the default) is valid JSON with enumerators by name, members of anonymous structs in the one around
   * them, and `__be32` as "10.0.0.1". `bpftool` and `bpftool-json` repeat what `bpftool map dump` and its `-j` print
   * for formatted values: bit-fields in hexadecimal, anonymous members under the empty name.
   */
  readonly style?: 'readable' | 'bpftool' | 'bpftool-json'
}

/**
 * A value in memory as text.
 * @throws BpfError as {@link readValue} does
 */
export function formatValue(btf: Btf, typeId: number, bytes: Uint8Array, options: BtfFormatOptions = {}): string {
  const style = options.style ?? 'readable'
  const node =
    style === 'readable'
      ? valueNode(readValue(btf, typeId, bytes, { ...options, addresses: 'text' }))
      : bpftoolNode(btf, typeId, bytes, { ...options, plain: style === 'bpftool' })
  return printJson(node, (options.pretty ?? true) ? PRETTY : COMPACT, options.depth ?? 0)
}

function valueNode(value: BtfValue): JsonNode {
  if (typeof value === 'string') return JSON.stringify(value)
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : quote(String(value))
  if (typeof value === 'bigint' || typeof value === 'boolean') return String(value)
  if (Array.isArray(value)) return { items: value.map(valueNode) }
  return { fields: Object.entries(value).map(([name, member]) => [name, valueNode(member)] as const) }
}
