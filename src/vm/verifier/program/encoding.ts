import { InsnBuffer, LdImm64Pseudo } from '../../../isa/index.ts'
import { invalid, Reject } from '../reject.ts'

const LD_IMM64 = 0x18
const MAX_REG = 10
const [LD, LDX, ST, STX, ALU, JMP32, ALU64] = [0, 1, 2, 3, 4, 6, 7]
const [MODE_MEM, MODE_MEMSX, MODE_ATOMIC] = [0x60, 0x80, 0xc0]

/** Kinds of 64-bit immediates that stand for a map. */
const OF_MAP: ReadonlySet<number> = new Set<number>([LdImm64Pseudo.MAP_FD, LdImm64Pseudo.MAP_IDX])
const KNOWN: ReadonlySet<number> = new Set<number>([
  LdImm64Pseudo.NONE,
  LdImm64Pseudo.BTF_ID,
  LdImm64Pseudo.FUNC,
  LdImm64Pseudo.MAP_VALUE,
  LdImm64Pseudo.MAP_IDX_VALUE,
  ...OF_MAP,
])

/** Encodings of a ld_imm64 that the kernel refuses, in its order. */
export function checkImmediate(insns: InsnBuffer, at: number): void {
  const next = at + 1
  const isPair =
    next < insns.length &&
    insns.code[next] === 0 &&
    insns.dst[next] === 0 &&
    insns.src[next] === 0 &&
    insns.off[next] === 0
  if (!isPair) invalid('invalid bpf_ld_imm64 insn')
  const pseudo = insns.src[at] as number
  if (!KNOWN.has(pseudo) || (OF_MAP.has(pseudo) && insns.imm[next] !== 0)) invalid('unrecognized bpf_ld_imm64 insn')
  if (insns.off[at] !== 0) invalid('BPF_LD_IMM64 uses reserved fields')
}

/**
 * The kernel's words for an instruction that does not decode, for the reason that elfbee's decoder gives. It looks at
 * most fields only when the walk comes to the instruction.
 * @throws Reject for what it refuses before
 */
export function malformedWords(insns: InsnBuffer, at: number, reason: string): string {
  const code = insns.code[at] as number
  const kind = code & 7
  const mode = code & 0xe0
  if (kind === LDX && ((mode !== MODE_MEM && mode !== MODE_MEMSX && mode !== MODE_ATOMIC) || insns.imm[at] !== 0)) {
    invalid('BPF_LDX uses reserved fields')
  }
  if (code === LD_IMM64) checkImmediate(insns, at)
  if (reason.startsWith('unknown opcode')) {
    throw new Reject('EINVAL', `unknown opcode ${code.toString(16).padStart(2, '0')}`)
  }
  if (/reserved field|expected one of/.test(reason)) return reserved(insns, at, code, kind, mode)
  const reg = [insns.src[at] as number, insns.dst[at] as number].find((r) => r > MAX_REG)
  return reg === undefined ? reason : `R${reg} is invalid`
}

/** Fields to be cleared until an instruction decodes: first as little as possible. */
const REPAIRS = [['off'], ['imm'], ['dst'], ['src'], ['off', 'imm'], ['off', 'imm', 'dst', 'src']] as const

/** The instructions with one that decodes in the place of a malformed one: where it leads is what counts. */
export function repaired(insns: InsnBuffer, at: number, decodes: (insns: InsnBuffer) => boolean): InsnBuffer | null {
  for (const fields of REPAIRS) {
    const copy = new InsnBuffer(insns.length)
    for (const field of ['code', 'dst', 'src', 'off', 'imm'] as const) copy[field].set(insns[field])
    for (const field of fields) copy[field][at] = 0
    if (decodes(copy)) return copy
  }
  return null
}

function reserved(insns: InsnBuffer, at: number, code: number, kind: number, mode: number): string {
  if (kind === ALU || kind === ALU64) return `${ALU_NAMES[code & 0xf0] ?? 'BPF_ALU'} uses reserved fields`
  if (kind === LD) return 'BPF_LD_[ABS|IND] uses reserved fields'
  if (kind === LDX) return 'BPF_LDX uses reserved fields'
  if (kind === ST) return 'BPF_ST uses reserved fields'
  if (kind === STX && mode === MODE_ATOMIC) {
    const op = ((insns.imm[at] as number) >>> 0).toString(16).padStart(2, '0')
    return `BPF_ATOMIC uses invalid atomic opcode ${op}`
  }
  if (kind === STX) return 'BPF_STX uses reserved fields'
  const op = code & 0xf0
  if (op === MAY_GOTO) return `invalid may_goto off ${insns.off[at]} imm ${insns.imm[at]}`
  const name = JUMP_NAMES[op]
  return name !== undefined && !(kind === JMP32 && op !== 0)
    ? `${name} uses reserved fields`
    : 'BPF_JMP/JMP32 uses reserved fields'
}

const MAY_GOTO = 0xe0
const ALU_NAMES: Readonly<Record<number, string>> = { 0x80: 'BPF_NEG', 0xb0: 'BPF_MOV', 0xd0: 'BPF_END' }
const JUMP_NAMES: Readonly<Record<number, string>> = { 0x00: 'BPF_JA', 0x80: 'BPF_CALL', 0x90: 'BPF_EXIT' }
