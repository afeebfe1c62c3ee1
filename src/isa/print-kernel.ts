import type { InsnBuffer } from './insns.ts'
import { CallPseudo, LdImm64Pseudo, unreachable } from './operation.ts'
import {
  ADDR_SPACE_CAST,
  ALU_OPS,
  ATOMIC_OPS,
  BRANCH_OPS,
  INSN_CLASSES,
  LOAD_ACQ,
  STORE_REL,
  type InsnClass,
} from './table.ts'
import { helperName } from '../uapi/index.ts'

/** Names that the printer cannot know from the instructions; each may decline by undefined. */
export interface KernelNames {
  /**
   * Text after `call` for a kernel function or an unknown helper (`bpf_rcu_read_lock`), and after `call pc` for a
   * local call (`+5#bpf_prog_6deef7357e7b4530_sub`).
   */
  call?(insns: InsnBuffer, at: number): string | undefined
  /** Text of a 64-bit immediate, such as `map[id:12]`. */
  imm64?(insns: InsnBuffer, at: number): string | undefined
}

/** By the operation nibble, as printf shows them: a nibble that has no operator prints as a null pointer. */
function byNibble(rows: readonly { readonly code: number; readonly symbol: string }[]): string[] {
  const symbols: string[] = Array.from({ length: 16 }, () => '(null)')
  for (const { code, symbol } of rows) symbols[code >> 4] = symbol
  return symbols
}

const ALU: readonly string[] = byNibble([...ALU_OPS, { code: 0xd0, symbol: 'endian' }])
const JUMP: readonly string[] = byNibble([
  ...BRANCH_OPS,
  { code: 0x00, symbol: 'jmp' },
  { code: 0x80, symbol: 'call' },
  { code: 0x90, symbol: 'exit' },
])
const UNSIGNED: readonly string[] = ['u32', 'u16', 'u8', 'u64']
const SIGNED: readonly string[] = ['s32', 's16', 's8', '(null)']

const hex2 = (code: number): string => code.toString(16).padStart(2, '0')
const signed = (n: number): string => (n < 0 ? String(n) : `+${n}`)

/**
 * One instruction in the syntax of the kernel's log and of `bpftool prog dump xlated`: `(61) r2 = *(u32 *)(r1 +4)`.
 * Prints any bytes, valid or not, from the raw fields, as the kernel does (kernel/bpf/disasm.c is the reference for
 * the text). Takes slot `at + 1` for the second half of a 64-bit immediate.
 */
export function printKernel(insns: InsnBuffer, at: number, names: KernelNames = {}): string {
  return `(${hex2(insns.code[at] as number)}) ${body(insns, at, names)}`.replace(/^\(..\) BUG/, 'BUG')
}

function body(insns: InsnBuffer, at: number, names: KernelNames): string {
  const code = insns.code[at] as number
  const cls = INSN_CLASSES[code & 7] as InsnClass
  switch (cls) {
    case 'alu':
    case 'alu64':
      return alu(insns, at)
    case 'stx':
      return storeRegister(insns, at)
    case 'st': {
      const mode = code & 0xe0
      if (mode === 0x60) {
        return `*(${UNSIGNED[(code >> 3) & 3]} *)(r${insns.dst[at]} ${signed(insns.off[at] as number)}) = ${insns.imm[at]}`
      }
      return mode === 0xc0 ? 'nospec' : `BUG_st_${hex2(code)}`
    }
    case 'ldx': {
      const mode = code & 0xe0
      if (mode !== 0x60 && mode !== 0x80) return `BUG_ldx_${hex2(code)}`
      const type = (mode === 0x60 ? UNSIGNED : SIGNED)[(code >> 3) & 3]
      return `r${insns.dst[at]} = *(${type} *)(r${insns.src[at]} ${signed(insns.off[at] as number)})`
    }
    case 'ld':
      return load(insns, at, names)
    case 'jmp':
    case 'jmp32':
      return jump(insns, at, names)
    default:
      return unreachable(cls)
  }
}

function alu(insns: InsnBuffer, at: number): string {
  const code = insns.code[at] as number
  const op = code & 0xf0
  const wide = (code & 7) === 7
  const r = wide ? 'r' : 'w'
  const dst = insns.dst[at] as number
  const src = insns.src[at] as number
  const off = insns.off[at] as number
  const imm = insns.imm[at] as number
  if (op === 0xd0) {
    const order = wide ? 'bswap' : (code & 8) !== 0 ? 'be' : 'le'
    return `r${dst} = ${order}${imm} r${dst}`
  }
  if (op === 0x80) return `${r}${dst} = -${r}${dst}`
  if (code === 0xbf && off === ADDR_SPACE_CAST) {
    return `r${dst} = addr_space_cast(r${src}, ${imm >>> 16}, ${imm & 0xffff})`
  }
  // Only in rewritten programs: the address of this CPU's copy.
  if (code === 0xbf && off === -1) return `r${dst} = &(void __percpu *)(r${src})`
  const isSigned = off === 1 && (op === 0x30 || op === 0x90)
  const operator = (isSigned ? 's' : '') + ALU[op >> 4]
  if ((code & 8) === 0) return `${r}${dst} ${operator} ${imm}`
  const extend = op === 0xb0 && (off === 8 || off === 16 || off === 32) ? `(s${off})` : ''
  return `${r}${dst} ${operator} ${extend}${r}${src}`
}

function storeRegister(insns: InsnBuffer, at: number): string {
  const code = insns.code[at] as number
  const mode = code & 0xe0
  const type = UNSIGNED[(code >> 3) & 3]
  const src = insns.src[at] as number
  const dst = insns.dst[at] as number
  const imm = insns.imm[at] as number
  const off = signed(insns.off[at] as number)
  const place = `(r${dst} ${off})`
  if (mode === 0x60) return `*(${type} *)${place} = r${src}`
  if (mode !== 0xc0) return `BUG_${hex2(code)}`
  if (imm === LOAD_ACQ) return `r${dst} = load_acquire((${type} *)(r${src} ${off}))`
  if (imm === STORE_REL) return `store_release((${type} *)${place}, r${src})`
  const atomic = ATOMIC_OPS.find((a) => a.imm === imm)
  if (atomic === undefined) return `BUG_${hex2(code)}`
  if (!atomic.fetch) return `lock *(${type} *)${place} ${ALU[imm >> 4]} r${src}`
  const name = `atomic${((code >> 3) & 3) === 3 ? '64' : ''}`
  if (atomic.op === 'cmpxchg') return `r0 = ${name}_cmpxchg((${type} *)${place}, r0, r${src})`
  if (atomic.op === 'xchg') return `r${src} = ${name}_xchg((${type} *)${place}, r${src})`
  return `r${src} = ${name}_fetch_${atomic.op}((${type} *)${place}, r${src})`
}

function load(insns: InsnBuffer, at: number, names: KernelNames): string {
  const code = insns.code[at] as number
  const mode = code & 0xe0
  const type = UNSIGNED[(code >> 3) & 3]
  const imm = insns.imm[at] as number
  if (mode === 0x20) return `r0 = *(${type} *)skb[${imm}]`
  if (mode === 0x40) return `r0 = *(${type} *)skb[r${insns.src[at]} + ${imm}]`
  if (code !== 0x18) return `BUG_ld_${hex2(code)}`
  return `r${insns.dst[at]} = ${names.imm64?.(insns, at) ?? hex64(insns, at)}`
}

/** The 64-bit number of slots `at` and `at + 1`, as `0x` and lower-case digits. */
function hex64(insns: InsnBuffer, at: number): string {
  const low = (insns.imm[at] as number) >>> 0
  const high = (insns.imm[at + 1] ?? 0) >>> 0
  return high === 0 ? `0x${low.toString(16)}` : `0x${high.toString(16)}${low.toString(16).padStart(8, '0')}`
}

function callee(insns: InsnBuffer, at: number, names: KernelNames): string {
  const src = insns.src[at] as number
  const imm = insns.imm[at] as number
  if (src === CallPseudo.HELPER) {
    const name = imm === 0 ? 'unspec' : helperName(imm)
    if (name !== undefined) return `bpf_${name}`
  }
  const named = names.call?.(insns, at)
  if (named !== undefined) return named
  if (src === CallPseudo.LOCAL) return signed(imm)
  return src === CallPseudo.KFUNC ? 'kernel-function' : 'unknown'
}

function jump(insns: InsnBuffer, at: number, names: KernelNames): string {
  const code = insns.code[at] as number
  const op = code & 0xf0
  const src = insns.src[at] as number
  const imm = insns.imm[at] as number
  const off = signed(insns.off[at] as number)
  if (op === 0x80) {
    const name = callee(insns, at, names)
    return src === CallPseudo.LOCAL ? `call pc${name}` : `call ${name}#${imm}`
  }
  if (code === 0x05) return `goto pc${off}`
  if (code === 0xe5 && src === 0) return `may_goto pc${off}`
  if (code === 0x06) return `gotol pc${signed(imm)}`
  if (code === 0x0d) return `gotox r${insns.dst[at]}`
  if (code === 0x95) return 'exit'
  const r = (code & 7) === 6 ? 'w' : 'r'
  const operand = (code & 8) === 0 ? `0x${(imm >>> 0).toString(16)}` : `${r}${src}`
  return `if ${r}${insns.dst[at]} ${JUMP[op >> 4]} ${operand} goto pc${off}`
}

/** What bpftool knows of a loaded program, for {@link bpftoolNames}. */
export interface BpftoolSymbols {
  /** Name of the kernel symbol at exactly this address, if any (/proc/kallsyms). */
  symbol?(address: bigint): string | undefined
  /** Address of `__bpf_call_base`, from which the kernel counts helper addresses. */
  callBase?: bigint
  /** Addresses of the program's functions in compiled form (jited_ksyms of bpf_prog_info); empty without a JIT. */
  jitedFunctions?: readonly bigint[]
}

/**
 * Names as `bpftool prog dump xlated` prints them for a program that the kernel rewrote: maps by id, subprograms by
 * distance, helpers and compiled subprograms by kernel symbol.
 */
export function bpftoolNames(symbols: BpftoolSymbols = {}): KernelNames {
  const jited = symbols.jitedFunctions ?? []
  return {
    call(insns, at): string {
      const imm = insns.imm[at] as number
      const local = insns.src[at] === CallPseudo.LOCAL
      let address = BigInt.asUintN(64, (symbols.callBase ?? 0n) + BigInt(imm))
      if (local) address = jited[imm >>> 0] ?? address
      const name = symbols.symbol?.(address)
      if (!local) return name ?? `0x${address.toString(16)}`
      const distance = signed(insns.off[at] as number)
      return jited.length === 0 ? distance : `${distance}#${name ?? `0x${address.toString(16)}`}`
    },
    imm64(insns, at): string | undefined {
      const low = (insns.imm[at] as number) >>> 0
      const high = (insns.imm[at + 1] ?? 0) >>> 0
      switch (insns.src[at] as number) {
        case LdImm64Pseudo.MAP_FD:
          return `map[id:${low}]`
        case LdImm64Pseudo.MAP_VALUE:
          return `map[id:${low}][0]+${high}`
        case LdImm64Pseudo.MAP_IDX_VALUE:
          return `map[idx:${low}]+${high}`
        case LdImm64Pseudo.FUNC:
          return `subprog[${signed(insns.imm[at] as number)}]`
        default:
          return undefined
      }
    },
  }
}

/** Lines of `bpftool prog dump xlated` for all of `insns`, without C lines: `   3: (85) call bpf_ktime_get_ns#5`. */
export function kernelLines(insns: InsnBuffer, names: KernelNames = {}): string[] {
  const lines: string[] = []
  for (let i = 0; i < insns.length; i += insns.code[i] === 0x18 ? 2 : 1) {
    lines.push(`${String(i).padStart(4)}: ${printKernel(insns, i, names)}`)
  }
  return lines
}
