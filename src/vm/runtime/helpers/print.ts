import { decodeUtf8, encodeUtf8, isBpfError } from '../../../bytes/index.ts'
import { Errno, HelperId } from '../../../uapi/index.ts'
import { ShowFlag, showType } from '../btf-show.ts'
import { formatKernel } from '../format.ts'
import type { Runtime } from '../runtime.ts'
import type { HelperGroup } from './helper.ts'

/** Arguments that bpf_trace_printk takes in registers. */
const PRINTK_ARGS = 3
/** MAX_BPRINTF_VARARGS. */
const MAX_VARARGS = 12
/** Longest line (MAX_BPRINTF_BUF). */
const MAX_LINE = 1024

function trace(rt: Runtime, format: Uint8Array, args: readonly bigint[]): number {
  const text = formatKernel(rt.memory, format, args)
  if (typeof text === 'number') return text
  const line = text.subarray(0, MAX_LINE - 1)
  const shown = line.at(-1) === 10 ? line.subarray(0, -1) : line
  rt.run?.trace.push(decodeUtf8(shown))
  return text.length
}

/** u64 arguments in memory, or a negative errno. */
function varargs(rt: Runtime, register: number, size: number): bigint[] | number {
  if (size % 8 !== 0 || size > MAX_VARARGS * 8) return -Errno.EINVAL
  if (size === 0) return []
  const at = rt.pointer(register, size, 'arguments')
  return Array.from({ length: size / 8 }, (_, i) => rt.memory.u64(at + i * 8))
}

/** struct btf_ptr: address, u32 type id in the kernel's BTF, u32 flags (0). */
const BTF_PTR_SIZE = 16

/** What a struct btf_ptr points to, as text; registers of it, of its size and of the flags. Or a negative errno. */
function shown(rt: Runtime, register: number, sizeRegister: number, flagsRegister: number): Uint8Array | number {
  const pointer = rt.pointer(register, BTF_PTR_SIZE, 'struct btf_ptr')
  const flags = rt.flags(flagsRegister)
  const all = ShowFlag.COMPACT | ShowFlag.NONAME | ShowFlag.PTR_RAW | ShowFlag.ZERO
  if (rt.low(sizeRegister) !== BTF_PTR_SIZE || (flags & ~all) !== 0) return -Errno.EINVAL
  const typeId = rt.memory.u32(pointer + 8)
  const address = rt.memory.u64(pointer)
  const btf = rt.options.btf()
  if (btf === null || rt.memory.u32(pointer + 12) !== 0 || address === 0n) return -Errno.EINVAL
  try {
    if (typeId === 0 || !rt.isMemory(Number(address), btf.sizeOf(typeId))) return -Errno.EINVAL
    return encodeUtf8(showType(btf, rt.memory, typeId, Number(address), flags))
  } catch (error) {
    if (isBpfError(error)) return -Errno.ENOENT
    throw error
  }
}

/** Text: trace_printk, trace_vprintk, snprintf, and the output of iterators. */
export const PRINT_HELPERS: HelperGroup = {
  [HelperId.trace_printk]: (rt, _format, size) => {
    const at = rt.pointer(1, size, 'a format')
    const args = [3, 4, 5].slice(0, PRINTK_ARGS).map((register) => rt.arg64(register))
    return trace(rt, rt.memory.read(at, size), args)
  },
  [HelperId.trace_vprintk]: (rt, _format, size, _data, length) => {
    const at = rt.pointer(1, size, 'a format')
    const args = varargs(rt, 3, length)
    return typeof args === 'number' ? args : trace(rt, rt.memory.read(at, size), args)
  },
  [HelperId.snprintf]: (rt, _to, size, format, _data, length) => {
    const to = rt.pointer(1, size, 'a buffer')
    const args = varargs(rt, 4, length)
    if (typeof args === 'number') return args
    const pattern = rt.memory.cString(format, 65536)
    if (pattern === null) return -Errno.EINVAL
    const text = formatKernel(rt.memory, withZero(pattern), args)
    if (typeof text === 'number') return text
    if (size > 0) {
      const kept = text.subarray(0, size - 1)
      rt.memory.write(to, kept)
      rt.memory.fill(to + kept.length, 0, 1)
    }
    return text.length + 1
  },
  [HelperId.seq_write]: (rt, _seq, _data, size) => {
    const at = rt.pointer(2, size, 'data')
    rt.run?.trace.push(decodeUtf8(rt.memory.read(at, size)))
    return 0
  },
  [HelperId.seq_printf]: (rt, _seq, _format, size, _data, length) => {
    const at = rt.pointer(2, size, 'a format')
    const args = varargs(rt, 4, length)
    if (typeof args === 'number') return args
    const text = formatKernel(rt.memory, rt.memory.read(at, size), args)
    if (typeof text === 'number') return text
    rt.run?.trace.push(decodeUtf8(text))
    return 0
  },
  [HelperId.snprintf_btf]: (rt, _to, size) => {
    const to = rt.pointer(1, size, 'a buffer')
    const text = shown(rt, 3, 4, 5)
    if (typeof text === 'number') return text
    if (size > 0) {
      const kept = text.subarray(0, size - 1)
      rt.memory.write(to, kept)
      rt.memory.fill(to + kept.length, 0, 1)
    }
    return text.length
  },
  [HelperId.seq_printf_btf]: (rt) => {
    const text = shown(rt, 2, 3, 4)
    if (typeof text === 'number') return text
    rt.run?.trace.push(decodeUtf8(text))
    return 0
  },
  [HelperId.strncmp]: (rt, _s1, size, s2) => {
    const a = rt.pointer(1, size, 'a string')
    const bytes = rt.memory.u8
    for (let i = 0; i < size; i++) {
      const difference = (bytes[a + i] as number) - (bytes[s2 + i] ?? 0)
      if (difference !== 0 || bytes[a + i] === 0) return Math.sign(difference)
    }
    return 0
  },
  [HelperId.strtol]: (rt, _buffer, size) => parseNumber(rt, size, true),
  [HelperId.strtoul]: (rt, _buffer, size) => parseNumber(rt, size, false),
}

function withZero(bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(bytes.length + 1)
  out.set(bytes)
  return out
}

/** bpf_strtol and bpf_strtoul (buffer, size, flags = base, result): characters used, or a negative errno. */
function parseNumber(rt: Runtime, size: number, signed: boolean): number {
  const at = rt.pointer(1, size, 'a string')
  const flags = rt.flags(3)
  const result = rt.pointer(4, 8, 'a number')
  const base = flags & 0x1f
  if ((flags & ~0x1f) !== 0 || ![0, 8, 10, 16].includes(base) || size === 0) return -Errno.EINVAL
  const text = decodeUtf8(rt.memory.read(at, size))
  const match = /^[\t-\r ]*(-?)/.exec(text)
  const negative = match?.[1] === '-'
  let used = match?.[0].length ?? 0
  if (negative && !signed) return -Errno.EINVAL
  let radix = base
  if ((base === 0 || base === 16) && /^0[xX][0-9a-fA-F]/.test(text.slice(used))) {
    radix = 16
    used += 2
  } else if (base === 0) {
    radix = text[used] === '0' ? 8 : 10
  }
  const digits = (radix === 16 ? /^[0-9a-fA-F]+/ : radix === 8 ? /^[0-7]+/ : /^[0-9]+/).exec(text.slice(used))?.[0]
  if (digits === undefined) return -Errno.EINVAL
  let value = 0n
  for (const digit of digits) value = value * BigInt(radix) + BigInt(Number.parseInt(digit, 16))
  const limit = !signed ? (1n << 64n) - 1n : negative ? 1n << 63n : (1n << 63n) - 1n
  if (value > limit) return -Errno.ERANGE
  rt.memory.setU64(result, BigInt.asUintN(64, negative ? -value : value))
  return used + digits.length
}
