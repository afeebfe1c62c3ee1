import { BpfError } from '../../bytes/index.ts'
import type { InsnBuffer } from '../../isa/index.ts'
import type { CoreValue, SpecValue } from './value.ts'

/** Instruction classes and fields (RFC 9669, section 3). */
const CLASS_LD = 0
const CLASS_LDX = 1
const CLASS_ST = 2
const CLASS_STX = 3
const CLASS_ALU = 4
const CLASS_ALU64 = 7
const SOURCE_REGISTER = 0x08
const LD_IMM64 = 0x18
const CALL = 0x85
const SIZE_MASK = 0x18
/** BPF_SIZE bits by bytes. */
const SIZE_BITS: ReadonlyMap<number, number> = new Map([
  [4, 0x00],
  [2, 0x08],
  [1, 0x10],
  [8, 0x18],
])

/** Helper number that marks a poisoned instruction: "bad relo" in libbpf's spelling, 195896080 in verifier logs. */
export const POISON_CORE = 0xbad2310

/** How an instruction came out. */
export type PatchOutcome = { readonly outcome: 'applied' } | { readonly outcome: 'poisoned'; readonly reason: string }

/**
 * Writes a relocation's value into its instruction, or poisons it: replaces it by a call that the verifier refuses, so
 * that it does harm only when it can be reached (libbpf, bpf_core_patch_insn).
 * @throws BpfError `core` for instructions that cannot be relocated or do not hold the expected value
 */
export function patchInsn(insns: InsnBuffer, at: number, value: CoreValue, missing: string): PatchOutcome {
  const code = insns.code[at] as number
  switch (code & 7) {
    case CLASS_ALU:
    case CLASS_ALU64:
      if ((code & SOURCE_REGISTER) !== 0) return unrecognised(insns, at)
      if (value.target === null) return poison(insns, at, 1, missing)
      expectValue(value.local, insns.imm[at] as number, 'immediate')
      insns.imm[at] = value.target.low
      return { outcome: 'applied' }
    case CLASS_LDX:
    case CLASS_ST:
    case CLASS_STX:
      return patchAccess(insns, at, value, missing)
    case CLASS_LD:
      return patchLoadImm64(insns, at, value, missing)
    default:
      return unrecognised(insns, at)
  }
}

function unrecognised(insns: InsnBuffer, at: number): never {
  throw new BpfError('core', `an instruction with code 0x${(insns.code[at] ?? 0).toString(16)} cannot be relocated`)
}

function expectValue(local: SpecValue, found: number, what: string): void {
  if (!local.validate) return
  // The field is sign-extended to 64 bits, as the kernel will read it.
  if (found >>> 0 === local.low && (found < 0 ? 0xffff_ffff : 0) === local.high) return
  throw new BpfError('core', `the instruction's ${what} is ${found}, not ${local.low} as its own types say`)
}

function poison(insns: InsnBuffer, at: number, slots: number, reason: string): PatchOutcome {
  for (let i = at; i < at + slots; i++) {
    insns.code[i] = CALL
    insns.dst[i] = 0
    insns.src[i] = 0
    insns.off[i] = 0
    insns.imm[i] = POISON_CORE
  }
  return { outcome: 'poisoned', reason }
}

function patchAccess(insns: InsnBuffer, at: number, value: CoreValue, missing: string): PatchOutcome {
  const { local, target } = value
  if (target === null) return poison(insns, at, 1, missing)
  expectValue(local, insns.off[at] as number, 'offset')
  if (target.low > 0x7fff || target.high !== 0) {
    throw new BpfError('core', `offset ${target.low} does not fit a load or store, which reaches to 32767`)
  }
  if (value.sizeMismatch) {
    const sizes = `${local.fieldSize} bytes here, ${target.fieldSize} in the target`
    return poison(insns, at, 1, `the field has ${sizes}, and only pointers and unsigned integers can be adjusted`)
  }
  insns.off[at] = target.low
  if (local.fieldSize !== target.fieldSize) {
    const code = insns.code[at] as number
    if (SIZE_BITS.get(local.fieldSize) !== (code & SIZE_MASK)) {
      throw new BpfError('core', `the instruction does not access ${local.fieldSize} bytes, the size of the field`)
    }
    const bits = SIZE_BITS.get(target.fieldSize)
    if (bits === undefined) throw new BpfError('core', `no instruction accesses ${target.fieldSize} bytes`)
    insns.code[at] = (code & ~SIZE_MASK) | bits
  }
  return { outcome: 'applied' }
}

function patchLoadImm64(insns: InsnBuffer, at: number, value: CoreValue, missing: string): PatchOutcome {
  const isPlain =
    insns.code[at] === LD_IMM64 &&
    at + 1 < insns.length &&
    insns.src[at] === 0 &&
    insns.off[at] === 0 &&
    insns.code[at + 1] === 0 &&
    insns.dst[at + 1] === 0 &&
    insns.src[at + 1] === 0 &&
    insns.off[at + 1] === 0
  if (!isPlain) return unrecognised(insns, at)
  const { local, target } = value
  if (target === null) return poison(insns, at, 2, missing)
  const low = (insns.imm[at] as number) >>> 0
  const high = (insns.imm[at + 1] as number) >>> 0
  if (local.validate && (low !== local.low || high !== local.high)) {
    throw new BpfError('core', `the instruction holds ${low} and ${high}, not ${local.low} and ${local.high}`)
  }
  insns.imm[at] = target.low
  insns.imm[at + 1] = target.high
  return { outcome: 'applied' }
}
