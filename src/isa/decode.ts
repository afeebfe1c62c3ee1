import { BpfError } from '../bytes/index.ts'
import type { InsnBuffer } from './insns.ts'
import { unreachable, type LdImm64Pseudo, type Operation } from './operation.ts'
import { OPCODES, type Field, type InsnForm, type OpcodeRow } from './table.ts'

/** Highest register number (r10, the frame pointer). */
const MAX_REG = 10

function fail(at: number, message: string): never {
  throw new BpfError('malformed', message, { where: { insn: at } })
}

const hex = (code: number): string => `0x${code.toString(16).padStart(2, '0')}`

function field(insns: InsnBuffer, at: number, name: Field): number {
  return insns[name][at] as number
}

function noForm(row: OpcodeRow, at: number, value: number): never {
  const known = row.forms.map((f) => `${f.select} (${f.mnemonic})`).join(', ')
  fail(at, `opcode ${hex(row.code)}: ${row.selector} is ${value}, expected one of ${known}`)
}

/**
 * The table's form of slot `at`, with registers and reserved fields checked.
 * @throws BpfError `malformed` for an unknown opcode or variant, a register above 10 or a reserved field that is not 0
 */
export function formAt(insns: InsnBuffer, at: number): InsnForm {
  if (!(at >= 0 && at < insns.length)) fail(at, `instruction ${at} is outside of the ${insns.length} slots`)
  const code = insns.code[at] as number
  const row = OPCODES[code]
  if (row === null || row === undefined) fail(at, `unknown opcode ${hex(code)}`)
  let form = row.forms[0] as InsnForm
  if (row.selector !== null) {
    const value = field(insns, at, row.selector)
    if (form.select !== value) form = row.forms.find((f) => f.select === value) ?? noForm(row, at, value)
  }
  for (const name of form.reserved) {
    const value = field(insns, at, name)
    if (value !== 0) fail(at, `opcode ${hex(code)} (${form.mnemonic}): reserved field ${name} is ${value}, expected 0`)
  }
  for (const name of form.operands) {
    if (name !== 'dst' && name !== 'src') continue
    const register = field(insns, at, name)
    if (register > MAX_REG && form.semantics.kind !== 'loadImm64') {
      fail(at, `opcode ${hex(code)} (${form.mnemonic}): ${name} is r${register}, expected r0 to r${MAX_REG}`)
    }
  }
  return form
}

/**
 * The meaning of slot `at`. Reserved fields must be zero, as the kernel's verifier demands (RFC 9669, section 3).
 * Jump and call targets are not checked against the length of the buffer; buildCfg does that.
 * @throws BpfError `malformed` with the instruction index: unknown opcode or variant, bad register, reserved field set,
 * or a 64-bit immediate without a second slot
 */
export function decode(insns: InsnBuffer, at: number): Operation {
  const s = formAt(insns, at).semantics
  const dst = insns.dst[at] as number
  const src = insns.src[at] as number
  const off = insns.off[at] as number
  const imm = insns.imm[at] as number
  switch (s.kind) {
    case 'alu':
      return { kind: 'alu', op: s.op, wide: s.wide, dst, src: s.source === 'src' ? src : null, imm }
    case 'endian':
      if (imm !== 16 && imm !== 32 && imm !== 64) fail(at, `byte swap of ${imm} bits, expected 16, 32 or 64`)
      return { kind: 'endian', op: s.op, bits: imm, dst }
    case 'addrSpaceCast': {
      const to = imm >>> 16
      const from = imm & 0xffff
      if (!((to === 0 && from === 1) || (to === 1 && from === 0))) {
        fail(at, `addr_space_cast from address space ${from} to ${to}, expected 1 to 0 or 0 to 1`)
      }
      return { kind: 'addrSpaceCast', dst, src, from, to }
    }
    case 'loadImm64':
      return decodeLoadImm64(insns, at)
    case 'load':
      return { kind: 'load', size: s.size, signed: s.signed, dst, src, off }
    case 'store':
      return { kind: 'store', size: s.size, dst, off, src: s.source === 'src' ? src : null, imm }
    case 'loadAbs':
      return { kind: 'loadAbs', size: s.size, imm }
    case 'loadInd':
      return { kind: 'loadInd', size: s.size, src, imm }
    case 'atomic':
      return { kind: 'atomic', op: s.op, fetch: s.fetch, size: s.size, dst, src, off }
    case 'loadAcquire':
      return { kind: 'loadAcquire', size: s.size, dst, src, off }
    case 'storeRelease':
      return { kind: 'storeRelease', size: s.size, dst, src, off }
    case 'jump':
      return s.long ? { kind: 'jump', target: at + 1 + imm, long: true } : { kind: 'jump', target: at + 1 + off }
    case 'gotox':
      return { kind: 'gotox', dst }
    case 'branch':
      return {
        kind: 'branch',
        op: s.op,
        wide: s.wide,
        dst,
        src: s.source === 'src' ? src : null,
        imm,
        target: at + 1 + off,
      }
    case 'mayGoto':
      return { kind: 'mayGoto', target: at + 1 + off }
    case 'call':
      switch (s.call) {
        case 'helper':
          return { kind: 'call', call: 'helper', imm, off }
        case 'kfunc':
          return { kind: 'call', call: 'kfunc', imm, off }
        case 'local':
          return { kind: 'call', call: 'local', imm, off, target: at + 1 + imm }
        case 'register':
          return { kind: 'call', call: 'register', imm, off, src: dst }
        default:
          return unreachable(s.call)
      }
    case 'exit':
      return { kind: 'exit' }
    default:
      return unreachable(s)
  }
}

function decodeLoadImm64(insns: InsnBuffer, at: number): Operation {
  const dst = insns.dst[at] as number
  const pseudo = insns.src[at] as number
  if (dst > MAX_REG) fail(at, `opcode 0x18 (lddw): dst is r${dst}, expected r0 to r${MAX_REG}`)
  if (pseudo > 6) fail(at, `64-bit immediate with pseudo source ${pseudo}, expected 0 to 6`)
  const next = at + 1
  if (next >= insns.length) fail(at, '64-bit immediate without a second slot')
  for (const name of ['dst', 'src', 'off'] as const) {
    const value = field(insns, next, name)
    if (value !== 0) fail(next, `second slot of a 64-bit immediate: reserved field ${name} is ${value}, expected 0`)
  }
  if (insns.code[next] !== 0) {
    fail(next, `second slot of a 64-bit immediate: opcode is ${hex(insns.code[next] as number)}, expected 0x00`)
  }
  return {
    kind: 'loadImm64',
    dst,
    pseudo: pseudo as LdImm64Pseudo,
    low: insns.imm[at] as number,
    high: insns.imm[next] as number,
  }
}

/** Number of slots of the instruction at `at`: 2 for a 64-bit immediate load, otherwise 1. Decodes nothing else. */
export function slotsAt(insns: InsnBuffer, at: number): 1 | 2 {
  return insns.code[at] === 0x18 ? 2 : 1
}
