import type { Btf } from '../../../btf/index.ts'
import { isConst, type Scalar } from '../domain/bounds.ts'
import { bigS, bigU } from '../domain/int64.ts'
import { Flag, isPacketPointer, type Reg, regName } from '../state/register.ts'
import { signedText, tnumText, unsignedText } from '../text.ts'

/** BTF in which a register's type ids are looked up. */
export interface TypeNames {
  readonly kernelBtf: Btf | null
  readonly btf: Btf | null
  /** Without CAP_BPF all numbers are precise. */
  readonly bpf: boolean
}

interface Limit {
  readonly name: string
  readonly value: bigint
  readonly signed: boolean
  omit: boolean
}

const SIGNED_DECIMAL = 0x8000n

/** A signed 32-bit bound: decimal numbers are printed with their sign, others without sign extension. */
function small(value: number): bigint {
  const big = BigInt(value)
  return big >= -SIGNED_DECIMAL && big < SIGNED_DECIMAL ? big : BigInt(value >>> 0)
}

function limits(v: Scalar): Limit[] {
  return [
    limit('smin', bigS(v.sminH, v.sminL), v.sminH === -0x80000000 && v.sminL === 0),
    limit('smax', bigS(v.smaxH, v.smaxL), v.smaxH === 0x7fffffff && v.smaxL === -1),
    limit('umin', bigU(v.uminH, v.uminL), v.uminH === 0 && v.uminL === 0),
    limit('umax', bigU(v.umaxH, v.umaxL), v.umaxH === -1 && v.umaxL === -1),
    limit('smin32', small(v.s32min), v.s32min === -0x80000000),
    limit('smax32', small(v.s32max), v.s32max === 0x7fffffff),
    limit('umin32', BigInt(v.u32min >>> 0), v.u32min === 0),
    limit('umax32', BigInt(v.u32max >>> 0), v.u32max === -1),
  ]
}

function limit(name: string, value: bigint, omit: boolean): Limit {
  return { name, value, signed: name.startsWith('s'), omit }
}

/** `smin=smin32=0,smax=umax=255`: bounds that say something, equal ones of the same side together. */
function rangeTexts(v: Scalar): string[] {
  const rows = limits(v)
  const texts: string[] = []
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i] as Limit
    if (row.omit) continue
    const isNegative = row.signed && row.value < 0n
    let text = `${row.name}=`
    for (let j = i + 2; j < rows.length; j += 2) {
      const other = rows[j] as Limit
      const same = BigInt.asUintN(64, other.value) === BigInt.asUintN(64, row.value)
      if (other.omit || !same || (other.signed && other.value < 0n) !== isNegative) continue
      other.omit = true
      text += `${other.name}=`
    }
    texts.push(text + (row.signed ? signedText(row.value) : unsignedText(row.value)))
  }
  return texts
}

function typeName(reg: Reg, names: TypeNames): string {
  const btf = reg.btf === 'program' ? names.btf : names.kernelBtf
  return btf === null ? '' : btf.name(reg.btfId)
}

/** What a register holds, as the kernel's log has it; `frame` is the frame it is shown in. */
export function registerText(reg: Reg, frame: number, names: TypeNames): string {
  const { kind, value } = reg
  const prefix = kind === 'scalar' && (reg.precise || !names.bpf) ? 'P' : ''
  if (kind === 'scalar' && isConst(value)) return prefix + signedText(bigS(value.vh, value.vl))
  let text = prefix + regName(reg)
  if (kind === 'arena') return text
  if (kind === 'fp') {
    if (reg.frame !== frame) text += `[${reg.frame}]`
    if (isConst(value)) return text + signedText(bigS(value.vh, value.vl) + BigInt(reg.off))
  }
  if (kind === 'ptr_') text += typeName(reg, names)
  return `${text}(${attributes(reg).join(',')})`
}

function attributes(reg: Reg): string[] {
  const { kind, value } = reg
  const parts: string[] = []
  if (reg.id !== 0) parts.push(`id=${reg.id}${reg.delta === null ? '' : (reg.delta < 0 ? '' : '+') + reg.delta}`)
  if (reg.refId !== 0) parts.push(`ref_obj_id=${reg.refId}`)
  if ((reg.flags & Flag.NON_OWN_REF) !== 0) parts.push('non_own_ref')
  if (kind === 'map_ptr' || kind === 'map_key' || kind === 'map_value') {
    if (reg.map !== null && reg.map.kernelName !== '') parts.push(`map=${reg.map.kernelName}`)
    parts.push(`ks=${reg.map?.keySize ?? 0},vs=${reg.map?.valueSize ?? 0}`)
  }
  if (kind !== 'scalar' && reg.off !== 0) parts.push(`off=${signedText(BigInt(reg.off))}`)
  if (isPacketPointer(kind)) parts.push(`r=${unsignedText(BigInt.asUintN(64, BigInt(reg.range)))}`)
  if (kind === 'mem') parts.push(`sz=${unsignedText(BigInt(reg.memSize))}`)
  if (kind === 'dynptr_ptr') parts.push(`type=${reg.dynptr?.type ?? '<invalid>'}`)
  if (isConst(value)) {
    if (value.vh !== 0 || value.vl !== 0) parts.push(`imm=${signedText(bigS(value.vh, value.vl))}`)
    return parts
  }
  parts.push(...rangeTexts(value))
  if (value.mh !== -1 || value.ml !== -1) parts.push(`var_off=${tnumText(value)}`)
  return parts
}
