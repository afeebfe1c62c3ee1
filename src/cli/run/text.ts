import type { ObjectSpec } from '../../loader/index.ts'
import { MapType } from '../../uapi/index.ts'
import { equalBytes } from './equal.ts'
import { escapeText } from '../frame/escape.ts'
import type { Style } from '../frame/style.ts'
import { hexText, valueText } from '../object/value-text.ts'
import { mapType } from '../object/words.ts'
import { hexDiff, hexdump } from './hexdump.ts'
import { histogramLines, histogramOf, isHistogramName, SLOTS_MEMBER, type Log2Histogram } from './histogram.ts'
import type { RunRecord } from './session.ts'
import type { EntryState, EventState, MapState } from './state.ts'
import { readValue } from '../../btf/index.ts'

const MAX_SHOWN = 32
const MAX_EVENTS = 100

/** How much is shown. */
export interface TextOptions {
  readonly style: Style
  readonly verbose: boolean
}

/** `XDP_DROP (1)`, coloured by what it means for the packet. */
function verdictText(record: RunRecord, style: Style): string {
  const { verdict } = record
  // Negative values are errno or TC_ACT_UNSPEC more often than large numbers.
  const number = String(record.retval | 0)
  if (verdict === null) return style.bold(number)
  const text = `${verdict} (${number})`
  if (/DROP|SHOT|ABORTED/.test(verdict)) return style.red(text)
  return /PASS|OK|TX|REDIRECT|ACCEPT/.test(verdict) ? style.green(text) : style.bold(text)
}

/** `412 ns`, `1.3 µs`, `2.0 ms`. */
export function durationText(ns: number): string {
  if (ns < 1000) return `${Math.round(ns)} ns`
  if (ns < 1e6) return `${(ns / 1000).toFixed(1)} µs`
  return `${(ns / 1e6).toFixed(1)} ms`
}

/** One run at length: the verdict, and what became of the packet. */
export function runText(record: RunRecord, where: string, options: TextOptions): string {
  const { style } = options
  if (record.error !== null)
    return `${style.bold(escapeText(record.program))} (${record.type}) in ${where}: ${style.red('stopped')}\n`
  let text = `${style.bold(escapeText(record.program))} (${record.type}) in ${where}: ${verdictText(record, style)}, ${durationText(record.durationNs)}\n`
  text += changeText('packet', record.before, record.data, options)
  text += changeText('context', record.ctxBefore, record.ctx, options)
  return text
}

/** One of many runs, on a line. */
export function runLine(record: RunRecord, index: number, width: number, style: Style): string {
  const parts = [`#${index + 1}`.padStart(width), `${String(record.before?.length ?? 0).padStart(5)} bytes`]
  if (record.data !== null && record.before !== null && !equalBytes(record.before, record.data)) parts.push('changed')
  if (record.error !== null) return `${parts.join('  ')}  ${style.red('stopped')}\n`
  return `${parts.join('  ')}  ${verdictText(record, style)}  ${durationText(record.durationNs)}\n`
}

function changeText(what: string, before: Uint8Array | null, after: Uint8Array | null, options: TextOptions): string {
  if (before === null || after === null) return ''
  const { style } = options
  if (equalBytes(before, after)) {
    if (!options.verbose) return ''
    return `${what}: unchanged, ${after.length} bytes\n${hexdump(after)
      .map((line) => `  ${line}\n`)
      .join('')}`
  }
  const sizes = before.length === after.length ? `${after.length} bytes` : `${before.length} to ${after.length} bytes`
  const lines = hexDiff(before, after).map((line) => {
    if (line.startsWith('-')) return style.red(line)
    return line.startsWith('+') ? style.green(line) : style.dim(line)
  })
  return `${what}: changed, ${sizes}\n${lines.map((line) => `  ${line}\n`).join('')}`
}

/** Contents of the maps, each under its name. */
export function mapsText(spec: ObjectSpec, states: readonly MapState[], options: TextOptions): string {
  const parts: string[] = []
  for (const state of states) {
    const lines = state.spec.dataSection === null ? mapLines(spec, state, options) : sectionLines(spec, state, options)
    if (lines.length === 0) continue
    const { style } = options
    const count = state.entries.length + state.more
    const title =
      state.spec.dataSection === null
        ? `${mapType(state.spec.type)}, ${count} of ${state.spec.maxEntries}`
        : 'variables'
    parts.push(`${style.bold(escapeText(state.spec.name))} (${title})\n${lines.map((line) => `  ${line}\n`).join('')}`)
  }
  return parts.join('')
}

/** Variables that a data section holds: those that changed, or all when everything is to be shown. */
function sectionLines(spec: ObjectSpec, state: MapState, options: TextOptions): string[] {
  const { dataSection, contents, name } = state.spec
  const bytes = state.entries[0]?.values[0]
  if (bytes === undefined || dataSection === 'struct_ops') return []
  const lines: string[] = []
  for (const variable of Object.values(spec.variables)) {
    if (variable.map !== name) continue
    const end = variable.offset + variable.size
    const value = bytes.subarray(variable.offset, end)
    const first = contents?.subarray(variable.offset, end) ?? new Uint8Array(variable.size)
    if (!options.verbose && equalBytes(value, first)) continue
    lines.push(`${escapeText(variable.name)} = ${valueText(spec.btf, variable.typeId, value)}`)
  }
  return lines
}

function mapLines(spec: ObjectSpec, state: MapState, options: TextOptions): string[] {
  const whole = arrayHistogram(spec, state)
  if (whole !== null) return histogramLines(whole)
  const shown = options.verbose ? state.entries : state.entries.slice(0, MAX_SHOWN)
  const lines = shown.flatMap((entry) => entryLines(spec, state, entry))
  const more = state.entries.length - shown.length + state.more
  if (more > 0) lines.push(`... ${more} more`)
  return lines
}

function entryLines(spec: ObjectSpec, state: MapState, entry: EntryState): string[] {
  const { btf } = spec
  const { valueTypeId } = state.spec
  const key = keyText(spec, state, entry.key)
  const [first] = entry.values
  if (btf !== null && valueTypeId !== 0 && !state.perCpu && first !== undefined) {
    const histogram = histogramOf(btf, valueTypeId, first)
    if (histogram !== null)
      return [`${key}: ${valueText(btf, valueTypeId, first, SLOTS_MEMBER)}`, ...histogramLines(histogram)]
  }
  if (!state.perCpu) return [`${key}: ${valueText(btf, valueTypeId, first ?? new Uint8Array(0))}`]
  const cpus = entry.values.flatMap((value, cpu) =>
    value.every((b) => b === 0) ? [] : [`cpu ${cpu} ${valueText(btf, valueTypeId, value)}`],
  )
  return [`${key}: ${cpus.length === 0 ? 'zero on all CPUs' : cpus.join(', ')}`]
}

function keyText(spec: ObjectSpec, state: MapState, key: Uint8Array): string {
  const isIndex = state.spec.type === MapType.ARRAY || state.spec.type === MapType.PERCPU_ARRAY
  if (isIndex && key.length === 4) return `[${new DataView(key.buffer, key.byteOffset, 4).getUint32(0, true)}]`
  return valueText(spec.btf, state.spec.keyTypeId, key)
}

/** An array of counters whose name says that it is a histogram. */
function arrayHistogram(spec: ObjectSpec, state: MapState): Log2Histogram | null {
  const { spec: map, entries, perCpu } = state
  if (spec.btf === null || map.valueTypeId === 0 || perCpu) return null
  if (map.type !== MapType.ARRAY || map.maxEntries > 64 || map.maxEntries < 2 || !isHistogramName(map.name)) return null
  const counts: bigint[] = Array.from({ length: map.maxEntries }, () => 0n)
  for (const { key, values } of entries) {
    const value = values[0] === undefined ? 0 : readValue(spec.btf, map.valueTypeId, values[0])
    if (typeof value !== 'number' && typeof value !== 'bigint') return null
    counts[new DataView(key.buffer, key.byteOffset, 4).getUint32(0, true)] = BigInt(value)
  }
  return { counts }
}

/** Records of ring and perf buffers. */
export function eventsText(spec: ObjectSpec, events: readonly EventState[], options: TextOptions): string {
  if (events.length === 0) return ''
  const { style } = options
  const shown = options.verbose ? events : events.slice(0, MAX_EVENTS)
  let text = `${style.bold('events')}\n`
  for (const { map, data, typeId } of shown) {
    const value = typeId === 0 ? hexText(data) : valueText(spec.btf, typeId, data)
    text += `  ${escapeText(map)}: ${value}\n`
  }
  if (events.length > shown.length) text += `  ... ${events.length - shown.length} more\n`
  return text
}

/** Lines of bpf_trace_printk. */
export function traceText(lines: readonly string[], options: TextOptions): string {
  if (lines.length === 0) return ''
  return `${options.style.bold('trace')}\n${lines.map((line) => `  ${escapeText(line.trimEnd())}\n`).join('')}`
}
