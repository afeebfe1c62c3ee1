import type { InsnBuffer } from './insns.ts'
import { LdImm64Pseudo, unreachable } from './operation.ts'
import { ALU_OPS, ALU_VARIANTS, BRANCH_OPS, findForm, type Semantics } from './table.ts'

/** Options of {@link printLlvm}. */
export interface LlvmOptions {
  /**
   * Show 8- to 32-bit loads and stores and 32-bit atomics with `w` registers, as llvm-objdump does with --mcpu=v3 and
   * later. Without it (llvm-objdump's default) they have `r` registers.
   */
  readonly alu32?: boolean
}

const ALU_SYMBOL: ReadonlyMap<string, string> = new Map([
  ...ALU_OPS.map((o) => [o.op, o.symbol] as const),
  ...ALU_VARIANTS.map((v) => [v.op, v.symbol] as const),
])
const BRANCH_SYMBOL: ReadonlyMap<string, string> = new Map(BRANCH_OPS.map((b) => [b.op, b.symbol]))

/** LLVM's number format: hexadecimal with a sign in front. */
function hex(n: number): string {
  return n < 0 ? `-0x${(-n).toString(16)}` : `0x${n.toString(16)}`
}

/** A distance, which always has a sign. */
function distance(n: number): string {
  return n < 0 ? hex(n) : `+${hex(n)}`
}

/** `r1 + 0x8`, `r10 - 0x4`. */
function place(register: number, off: number): string {
  return off < 0 ? `r${register} - ${hex(-off)}` : `r${register} + ${hex(off)}`
}

/**
 * One instruction in the syntax of llvm-objdump (and of LLVM's BPF assembler): `r2 = *(u32 *)(r1 + 0x4)`. Prints any
 * bytes: `<unknown>` for what is no instruction. Takes slot `at + 1` for the second half of a 64-bit immediate.
 * Jumps have no symbol; see llvmLines.
 */
export function printLlvm(insns: InsnBuffer, at: number, options: LlvmOptions = {}): string {
  const dst = insns.dst[at] as number
  const src = insns.src[at] as number
  const off = insns.off[at] as number
  const imm = insns.imm[at] as number
  const form = findForm(insns.code[at] as number, { dst, src, off, imm })
  const s = form?.semantics
  if (form === undefined || s === undefined) return '<unknown>'
  // LLVM's r11 is a scratch register of the compiler; there is no r12.
  if (form.operands.some((field) => (field === 'dst' && dst > 11) || (field === 'src' && src > 11))) return '<unknown>'
  const narrow = (size: number): string => (options.alu32 === true && size < 8 ? 'w' : 'r')
  switch (s.kind) {
    case 'alu': {
      const r = s.wide ? 'r' : 'w'
      if (s.op === 'neg') return `${r}${dst} = -${r}${dst}`
      const symbol = ALU_SYMBOL.get(s.op) as string
      // The casts of sign-extending moves stand next to the register.
      const gap = symbol.endsWith(')') ? '' : ' '
      return `${r}${dst} ${symbol}${gap}${s.source === 'src' ? `${r}${src}` : hex(imm)}`
    }
    case 'endian':
      return imm === 16 || imm === 32 || imm === 64 ? `r${dst} = ${s.op}${imm} r${dst}` : '<unknown>'
    case 'addrSpaceCast':
      return `r${dst} = addr_space_cast(r${src}, ${hex(imm >>> 16)}, ${hex(imm & 0xffff)})`
    case 'loadImm64':
      return loadImm64(insns, at)
    case 'load': {
      const type = `${s.signed ? 's' : 'u'}${s.size * 8}`
      return `${s.signed ? 'r' : narrow(s.size)}${dst} = *(${type} *)(${place(src, off)})`
    }
    case 'store':
      return `*(u${s.size * 8} *)(${place(dst, off)}) = ${s.source === 'src' ? `${narrow(s.size)}${src}` : hex(imm)}`
    case 'loadAbs':
      return `r0 = *(u${s.size * 8} *)skb[${hex(imm)}]`
    case 'loadInd':
      return `r0 = *(u${s.size * 8} *)skb[r${src}]`
    case 'atomic':
      return atomic(s, dst, src, off, options.alu32 === true)
    case 'loadAcquire':
      return `${s.size < 8 ? 'w' : 'r'}${dst} = load_acquire((u${s.size * 8} *)(${place(src, off)}))`
    case 'storeRelease':
      return `store_release((u${s.size * 8} *)(${place(dst, off)}), ${s.size < 8 ? 'w' : 'r'}${src})`
    case 'jump':
      return s.long ? `gotol ${distance(imm)}` : `goto ${distance(off)}`
    case 'gotox':
      return `gotox r${dst}`
    case 'branch': {
      const r = s.wide ? 'r' : 'w'
      const operand = s.source === 'src' ? `${r}${src}` : hex(imm)
      return `if ${r}${dst} ${BRANCH_SYMBOL.get(s.op)} ${operand} goto ${distance(off)}`
    }
    case 'mayGoto':
      return `may_goto ${distance(off)}`
    case 'call':
      return s.call === 'register' ? `callx r${dst}` : `call ${hex(imm)}`
    case 'exit':
      return 'exit'
    default:
      return unreachable(s)
  }
}

function loadImm64(insns: InsnBuffer, at: number): string {
  const dst = insns.dst[at] as number
  const low = insns.imm[at] as number
  if (at + 1 >= insns.length) return '<unknown>'
  if (insns.src[at] !== LdImm64Pseudo.NONE)
    return `ld_pseudo\tr${dst}, ${hex(insns.src[at] as number)}, ${hex(low >>> 0)}`
  const value = (BigInt(insns.imm[at + 1] as number) << 32n) | BigInt(low >>> 0)
  return `r${dst} = ${value < 0n ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`} ll`
}

function atomic(s: Semantics & { kind: 'atomic' }, dst: number, src: number, off: number, alu32: boolean): string {
  const bits = s.size * 8
  const at = place(dst, off)
  // Without the w registers of version 3, LLVM knows just one 32-bit atomic, the addition, and shows both of its forms
  // as the one without fetch.
  if (!s.fetch || (s.op === 'add' && s.size === 4 && !alu32)) {
    if (s.size === 4 && !alu32 && s.op !== 'add') return '<unknown>'
    return `lock *(u${bits} *)(${at}) ${ALU_SYMBOL.get(s.op)} ${s.size === 4 && alu32 ? 'w' : 'r'}${src}`
  }
  if (s.size === 4 && !alu32) return '<unknown>'
  const r = s.size === 4 ? 'w' : 'r'
  const width = s.size === 4 ? '32_32' : '_64'
  if (s.op === 'xchg') return `${r}${src} = xchg${width}(${at}, ${r}${src})`
  if (s.op === 'cmpxchg') return `${r}0 = cmpxchg${width}(${at}, ${r}0, ${r}${src})`
  return `${r}${src} = atomic_fetch_${s.op}((u${bits} *)(${at}), ${r}${src})`
}

/** A symbol of the section that is printed; `type` is the ELF symbol type (STT_*), which decides between equals. */
export interface LlvmSymbol {
  readonly name: string
  /** Offset in the section, in bytes. */
  readonly value: number
  readonly type: number
}

/** Options of {@link llvmLines}. */
export interface LlvmSectionOptions extends LlvmOptions {
  /** Name of the section; the label of a section that does not start with a symbol. */
  readonly name: string
  /** Symbols defined in the section, without section and file symbols, in any order. */
  readonly symbols: readonly LlvmSymbol[]
}

/** Symbols in llvm-objdump's order, each address once: among equals the last one counts. */
function labels(options: LlvmSectionOptions, size: number): { value: number; name: string }[] {
  const sorted = options.symbols
    .filter((s) => s.name !== '' && s.value < size)
    .sort((a, b) => a.value - b.value || (a.name < b.name ? -1 : a.name > b.name ? 1 : a.type - b.type))
  const result: { value: number; name: string }[] = []
  if (sorted[0]?.value !== 0) result.push({ value: 0, name: options.name })
  for (const symbol of sorted) {
    const last = result.at(-1)
    if (last?.value === symbol.value) last.name = symbol.name
    else result.push({ value: symbol.value, name: symbol.name })
  }
  return result
}

/**
 * A whole section as `llvm-objdump -d --no-show-raw-insn` prints it below "Disassembly of section": labels with their
 * offset, instructions with their slot number, jumps with the label (and offset) that they go to.
 */
export function llvmLines(insns: InsnBuffer, options: LlvmSectionOptions): string[] {
  const all = labels(options, insns.length * 8)
  const lines: string[] = []
  for (let k = 0; k < all.length; k++) {
    const label = all[k] as { value: number; name: string }
    lines.push('', `${label.value.toString(16).padStart(16, '0')} <${label.name}>:`)
    const end = Math.ceil((all[k + 1]?.value ?? insns.length * 8) / 8)
    for (let i = Math.ceil(label.value / 8); i < end; i += insns.code[i] === 0x18 ? 2 : 1) {
      const text = printLlvm(insns, i, options)
      const target = jumpTarget(insns, i)
      const suffix = target === null ? '' : ` <${nearest(all, target)}>`
      lines.push(`${String(i).padStart(8)}:\t${text}${suffix}`)
    }
  }
  return lines
}

/** Slot that the jump at `at` goes to, or null for anything else. */
function jumpTarget(insns: InsnBuffer, at: number): number | null {
  const fields = { dst: 0, src: insns.src[at] as number, off: insns.off[at] as number, imm: insns.imm[at] as number }
  const s = findForm(insns.code[at] as number, fields)?.semantics
  if (s?.kind === 'jump') return at + 1 + (s.long ? fields.imm : fields.off)
  return s?.kind === 'branch' || s?.kind === 'mayGoto' ? at + 1 + fields.off : null
}

/** `label` or `label+0x10`: the last label at or before slot `target`. */
function nearest(all: readonly { value: number; name: string }[], target: number): string {
  const offset = target * 8
  let low = 0
  let high = all.length
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if ((all[middle] as { value: number }).value <= offset) low = middle
    else high = middle
  }
  const label = all[low] as { value: number; name: string }
  if (label.value === offset) return label.name
  return offset < label.value
    ? `${label.name}-0x${(label.value - offset).toString(16)}`
    : `${label.name}+0x${(offset - label.value).toString(16)}`
}
