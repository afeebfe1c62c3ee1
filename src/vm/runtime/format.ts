import { encodeUtf8 } from '../../bytes/index.ts'
import { Errno } from '../../uapi/index.ts'
import type { LinearMemory } from './memory.ts'

const PERCENT = 37
/** Longest string that a %s shows. */
const MAX_STRING = 512

/**
 * Formats as bpf_trace_printk and bpf_snprintf do (bpf_bprintf_prepare in kernel/bpf/helpers.c): the conversions
 * d i u x X with l and ll, c, s, p and its variants; any other is -EINVAL. Arguments are 64-bit registers.
 */
export function formatKernel(memory: LinearMemory, format: Uint8Array, args: readonly bigint[]): Uint8Array | number {
  const end = format.indexOf(0)
  if (end < 0) return -Errno.EINVAL
  const out: number[] = []
  let arg = 0
  for (let i = 0; i < end; i++) {
    const c = format[i] as number
    if (!isAllowed(c)) return -Errno.EINVAL
    if (c !== PERCENT) {
      out.push(c)
      continue
    }
    if (format[i + 1] === PERCENT) {
      out.push(PERCENT)
      i++
      continue
    }
    const spec = conversion(format, i + 1)
    if (spec === null) return -Errno.EINVAL
    const value = args[arg++]
    if (value === undefined) return -Errno.EINVAL
    const shown = text(memory, spec, value)
    out.push(...(typeof shown === 'string' ? encodeUtf8(shown) : shown))
    i = spec.end - 1
  }
  return Uint8Array.from(out)
}

/** Whether a format (without its terminating zero) is one that the kernel takes for a number of arguments. */
export function isKernelFormat(format: Uint8Array, args: number): boolean {
  let used = 0
  for (let i = 0; i < format.length; i++) {
    const c = format[i] as number
    if (!isAllowed(c)) return false
    if (c !== PERCENT) continue
    if (format[i + 1] === PERCENT) {
      i++
      continue
    }
    const spec = conversion(format, i + 1)
    if (spec === null || used++ >= args) return false
    i = spec.end - 1
  }
  return true
}

interface Conversion {
  readonly left: boolean
  readonly zero: boolean
  readonly plus: boolean
  readonly space: boolean
  readonly width: number
  /** 32 or 64 for numbers. */
  readonly bits: number
  /** d, u, x, X, c, s, or a variant of p. */
  readonly kind: string
  readonly end: number
}

function isAllowed(c: number): boolean {
  return (c >= 32 && c < 127) || (c >= 9 && c <= 13)
}

function conversion(format: Uint8Array, start: number): Conversion | null {
  const at = (i: number): string => String.fromCharCode(format[i] ?? 0)
  let i = start
  let left = false
  let zero = false
  let plus = false
  let space = false
  for (; '0+- '.includes(at(i)); i++) {
    if (at(i) === '-') left = true
    else if (at(i) === '0') zero = true
    else if (at(i) === '+') plus = true
    else space = true
  }
  let width = 0
  for (; /[0-9]/.test(at(i)); i++) width = Math.min(width * 10 + Number(at(i)), 1024)
  const make = (kind: string, bits: number, end: number): Conversion => ({
    left,
    zero,
    plus,
    space,
    width,
    bits,
    kind,
    end,
  })
  if (at(i) === 'p') {
    const next = at(i + 1)
    if ((next === 'k' || next === 'u') && at(i + 2) === 's') return make('s', 0, i + 3)
    if (next === 'i' || next === 'I') {
      const version = at(i + 2)
      return version === '4' || version === '6' ? make(`p${next}${version}`, 0, i + 3) : null
    }
    if (['k', 'x', 's', 'B', 'K', 'S'].includes(next)) return make('p', 64, i + 2)
    const code = format[i + 1] ?? 0
    return code === 0 || !/[0-9A-Za-z]/.test(next) ? make('p', 64, i + 1) : null
  }
  if (at(i) === 's') return /[0-9A-Za-z]/.test(at(i + 1)) ? null : make('s', 0, i + 1)
  if (at(i) === 'c') return make('c', 0, i + 1)
  let bits = 32
  if (at(i) === 'l') {
    bits = 64
    i += at(i + 1) === 'l' ? 2 : 1
  }
  const kind = at(i)
  return 'diuxX'.includes(kind) && kind !== '\0' ? make(kind === 'i' ? 'd' : kind, bits, i + 1) : null
}

function text(memory: LinearMemory, spec: Conversion, value: bigint): string | Uint8Array {
  switch (spec.kind) {
    case 'd': {
      const signed = BigInt.asIntN(spec.bits, value)
      const sign = signed < 0n ? '-' : spec.plus ? '+' : spec.space ? ' ' : ''
      return pad(spec, sign, (signed < 0n ? -signed : signed).toString())
    }
    case 'u':
      return pad(spec, '', BigInt.asUintN(spec.bits, value).toString())
    case 'x':
      return pad(spec, '', BigInt.asUintN(spec.bits, value).toString(16))
    case 'X':
      return pad(spec, '', BigInt.asUintN(spec.bits, value).toString(16).toUpperCase())
    case 'p':
      return pad(spec, '', value.toString(16).padStart(16, '0'))
    case 'c':
      return padBytes(spec, Uint8Array.of(Number(value & 0xffn)))
    case 's':
      return padBytes(spec, stringAt(memory, value))
    default:
      return padBytes(spec, encodeUtf8(ipAddress(memory, spec.kind, value)))
  }
}

function pad(spec: Conversion, sign: string, digits: string): string {
  const missing = spec.width - sign.length - digits.length
  if (missing <= 0) return sign + digits
  if (spec.left) return sign + digits + ' '.repeat(missing)
  return spec.zero ? sign + '0'.repeat(missing) + digits : ' '.repeat(missing) + sign + digits
}

function padBytes(spec: Conversion, bytes: Uint8Array): Uint8Array {
  if (bytes.length >= spec.width) return bytes
  const out = new Uint8Array(spec.width).fill(32)
  out.set(bytes, spec.left ? 0 : spec.width - bytes.length)
  return out
}

/** The string at an address; nothing when it cannot be read, as the kernel shows it. */
function stringAt(memory: LinearMemory, address: bigint): Uint8Array {
  if (address < 65536n || address >= BigInt(memory.size)) return new Uint8Array(0)
  return memory.cString(Number(address), MAX_STRING - 1) ?? new Uint8Array(0)
}

/** %pi4, %pI4 (10.0.0.1), %pi6 (32 hex digits), %pI6 (with colons). */
function ipAddress(memory: LinearMemory, kind: string, address: bigint): string {
  const size = kind.endsWith('4') ? 4 : 16
  if (address < 65536n || address + BigInt(size) > BigInt(memory.size)) return ''
  const bytes = [...memory.read(Number(address), size)]
  if (kind === 'pI4') return bytes.join('.')
  if (kind === 'pi4') return bytes.map((byte) => String(byte).padStart(3, '0')).join('.')
  const hex = bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('')
  return kind === 'pi6' ? hex : (hex.match(/.{4}/g) ?? []).join(':')
}
