import { BtfKind, readValue, type Btf, type BtfType } from '../../btf/index.ts'
import { isBpfError, toHex } from '../../bytes/index.ts'
import { escapeText } from '../frame/escape.ts'

/** Elements of an array that are written out; the rest is counted. */
const MAX_ELEMENTS = 64
const MAX_DEPTH = 16
const MAX_BYTES = 64
/** Member names that hold an IPv4 address when their type is 32 bits in network order. */
const ADDRESS_NAME = /addr|ip|src|dst|host|peer|gateway|^gw|real|^to$|^from$|backend|client|server|net/i
/** The same for six bytes that are an Ethernet address. */
const MAC_NAME = /mac|eth|h_dest|h_source|lladdr|addr/i

/**
 * A value by its C type on one line: `{saddr: 10.0.0.1, dport: 443, comm: "sh"}`. Integers in network byte order
 * (__be16, __be32, __be64) are shown as the number they mean, 32-bit ones with the name of an address as one. What has
 * no type, or too few bytes for it, is shown as hex digits. `omit` is a member of the struct to leave out.
 */
export function valueText(btf: Btf | null, typeId: number, bytes: Uint8Array, omit: string = ''): string {
  if (btf === null || typeId === 0) return hexText(bytes)
  try {
    if (omit !== '') return `{${membersText(btf, btf.skipModifiersAndTypedefs(typeId), bytes, 0, omit).join(', ')}}`
    return typedText(btf, typeId, bytes, '', 0)
  } catch (error) {
    if (!isBpfError(error)) throw error
    return hexText(bytes)
  }
}

/** Bytes as hex digits; long ones are cut, zeros at the end are counted. */
export function hexText(bytes: Uint8Array): string {
  if (bytes.length === 0) return '(empty)'
  if (bytes.length <= MAX_BYTES) return toHex(bytes)
  return `${toHex(bytes.subarray(0, MAX_BYTES))}... (${bytes.length} bytes)`
}

function typedText(btf: Btf, typeId: number, bytes: Uint8Array, name: string, depth: number): string {
  const { type, typedef } = resolved(btf, typeId)
  if (depth > MAX_DEPTH) return '...'
  if (type.kind === BtfKind.STRUCT || type.kind === BtfKind.UNION) {
    return `{${membersText(btf, type.id, bytes, depth).join(', ')}}`
  }
  if (type.kind === BtfKind.ARRAY) return arrayText(btf, type.elementType, type.length, bytes, name, depth)
  if (type.kind === BtfKind.DATASEC) {
    const variables = type.vars.map((entry) => {
      const text = typedText(btf, entry.type, bytes.subarray(entry.offset, entry.offset + entry.size), '', depth + 1)
      return `${escapeText(btf.name(entry.type))} = ${text}`
    })
    return `{${variables.join(', ')}}`
  }
  if (type.kind === BtfKind.PTR) {
    const value = readValue(btf, type.id, bytes)
    return typeof value === 'bigint' || typeof value === 'number' ? `0x${value.toString(16)}` : hexText(bytes)
  }
  if (typedef === '__be32' && bytes.length >= 4 && ADDRESS_NAME.test(name)) return [...bytes.subarray(0, 4)].join('.')
  return scalarText(readValue(btf, typeId, bytes))
}

function scalarText(value: unknown): string {
  if (typeof value === 'string') return escapeText(value)
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return String(value)
  return value instanceof Uint8Array ? hexText(value) : JSON.stringify(value)
}

function membersText(btf: Btf, typeId: number, bytes: Uint8Array, depth: number, omit: string = ''): string[] {
  const type = btf.type(typeId)
  if (type.kind !== BtfKind.STRUCT && type.kind !== BtfKind.UNION) return []
  const whole = type.members.some((member) => isBitField(btf, member)) ? readValue(btf, typeId, bytes) : null
  const texts: string[] = []
  for (const member of type.members) {
    if (omit !== '' && member.name === omit) continue
    const at = member.bitOffset >> 3
    const rest = bytes.subarray(Math.min(at, bytes.length))
    if (member.name === '') {
      const inner = resolved(btf, member.type).type
      if (inner.kind === BtfKind.STRUCT || inner.kind === BtfKind.UNION) {
        texts.push(...membersText(btf, inner.id, rest, depth + 1))
      }
      continue
    }
    const isBits = isBitField(btf, member)
    const text =
      isBits && whole !== null && typeof whole === 'object'
        ? scalarText((whole as Readonly<Record<string, unknown>>)[member.name])
        : typedText(btf, member.type, rest, member.name, depth + 1)
    texts.push(`${escapeText(member.name)}: ${text}`)
  }
  return texts
}

function isBitField(
  btf: Btf,
  member: { readonly type: number; readonly bitSize: number; readonly bitOffset: number },
): boolean {
  if (member.bitSize > 0 || member.bitOffset % 8 !== 0) return true
  const { type } = resolved(btf, member.type)
  return type.kind === BtfKind.INT && (type.bitOffset !== 0 || type.bits !== type.size * 8)
}

function arrayText(
  btf: Btf,
  elementType: number,
  length: number,
  bytes: Uint8Array,
  name: string,
  depth: number,
): string {
  const { type } = resolved(btf, elementType)
  const size = btf.sizeOf(elementType)
  if (type.kind === BtfKind.INT && size === 1) {
    const own = bytes.subarray(0, length)
    if (type.char || type.name === 'char') {
      const end = own.indexOf(0)
      const text = new TextDecoder().decode(end < 0 ? own : own.subarray(0, end))
      return `"${escapeText(text).replaceAll('"', '\\"')}"`
    }
    if (length === 4 && own.length === 4 && ADDRESS_NAME.test(name)) return own.join('.')
    if (length === 16 && own.length === 16 && ADDRESS_NAME.test(name)) return ipv6Text(own)
    if (length === 6 && MAC_NAME.test(name)) return [...own].map((b) => b.toString(16).padStart(2, '0')).join(':')
    return hexText(own)
  }
  let used = length
  while (used > 0 && isZero(bytes, (used - 1) * size, used * size)) used--
  const shown = Math.min(used, MAX_ELEMENTS)
  const texts: string[] = []
  for (let i = 0; i < shown; i++) {
    texts.push(typedText(btf, elementType, bytes.subarray(i * size, (i + 1) * size), name, depth + 1))
  }
  if (shown < used) texts.push(`... ${used - shown} more`)
  if (used < length) {
    const zeros = length - used === 1 ? '1 zero' : `${length - used} zeros`
    texts.push(used === 0 ? zeros : `... ${zeros}`)
  }
  return `[${texts.join(', ')}]`
}

/** An IPv6 address with its longest run of zero groups as `::` (RFC 5952). */
function ipv6Text(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) =>
    (((bytes[i * 2] ?? 0) << 8) | (bytes[i * 2 + 1] ?? 0)).toString(16),
  )
  let best = { start: 0, length: 1 }
  for (let start = 0; start < 8; start++) {
    let end = start
    while (end < 8 && groups[end] === '0') end++
    if (end - start > best.length) best = { start, length: end - start }
  }
  if (best.length < 2) return groups.join(':')
  return `${groups.slice(0, best.start).join(':')}::${groups.slice(best.start + best.length).join(':')}`
}

function isZero(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (bytes[i] !== 0) return false
  return true
}

const SKIPPED: ReadonlySet<number> = new Set<number>([
  BtfKind.TYPEDEF,
  BtfKind.CONST,
  BtfKind.VOLATILE,
  BtfKind.RESTRICT,
  BtfKind.TYPE_TAG,
  BtfKind.VAR,
])

/** A type without modifiers and typedefs, and the innermost typedef that says network byte order. */
function resolved(btf: Btf, typeId: number): { readonly type: BtfType; readonly typedef: string } {
  let typedef = ''
  let at = typeId
  for (let i = 0; i < 64; i++) {
    const type = btf.type(at)
    if (!SKIPPED.has(type.kind) || !('type' in type)) return { type, typedef }
    if (type.kind === BtfKind.TYPEDEF && /^__be(16|32|64)$/.test(type.name)) typedef = type.name
    at = type.type
  }
  return { type: btf.type(0), typedef }
}
