import { BpfError } from '../../bytes/index.ts'
import { InsnBuffer, encode, type AccessSize, type AluOp, type AtomicOp, type BranchOp } from '../../isa/index.ts'
import type { Operation } from '../../isa/index.ts'
import { HelperId } from '../../uapi/index.ts'

const ALU: Readonly<Record<string, AluOp>> = {
  add: 'add',
  sub: 'sub',
  mul: 'mul',
  div: 'div',
  sdiv: 'sdiv',
  or: 'or',
  and: 'and',
  lsh: 'lsh',
  rsh: 'rsh',
  mod: 'mod',
  smod: 'smod',
  xor: 'xor',
  mov: 'mov',
  arsh: 'arsh',
}
const BRANCHES: ReadonlySet<string> = new Set(['eq', 'gt', 'ge', 'set', 'ne', 'sgt', 'sge', 'lt', 'le', 'slt', 'sle'])
const SIZES: Readonly<Record<string, AccessSize>> = { b: 1, h: 2, w: 4, dw: 8 }
const HELPERS: ReadonlyMap<string, number> = new Map(Object.entries(HelperId))

/** One instruction of the text. */
interface Line {
  /** 1-based. */
  readonly number: number
  readonly slot: number
  readonly mnemonic: string
  readonly operands: readonly string[]
}

/** What the text comes to. */
export interface AssembledCase {
  readonly insns: InsnBuffer
  /** Maps that ld_imm64 instructions name (`map_by_fd(NAME)`, `map_by_idx(N)`), by slot. */
  readonly maps: ReadonlyMap<number, string>
}

function refuse(line: Line, message: string): never {
  throw new BpfError('malformed', `line ${line.number}: ${message}`, { where: { insn: line.slot } })
}

/**
 * Assembles the syntax of bpf_conformance: a mnemonic, then operands between commas; `%` in front of a register may be
 * left out; `NAME:` is a label, and the first `exit` has the label `exit`; `#` starts a comment; distances are written
 * with a sign (`+2`). Numbers may be hexadecimal and may be given signed or unsigned.
 * @throws BpfError `malformed` with the line
 */
export function assembleConformance(text: string): AssembledCase {
  const labels = new Map<string, number>()
  const lines: Line[] = []
  let slot = 0
  text.split('\n').forEach((raw, i) => {
    let bare = raw.replace(/#.*$/, '').trim()
    const label = /^([A-Za-z_]\w*):/.exec(bare)
    if (label !== null) {
      if (labels.has(label[1] as string)) {
        throw new BpfError('malformed', `line ${i + 1}: the label ${label[1]} is there twice`)
      }
      labels.set(label[1] as string, slot)
      bare = bare.slice(label[0].length).trim()
    }
    if (bare === '') return
    const [mnemonic = '', ...rest] = bare.split(/\s+/)
    const operands = rest
      .join(' ')
      .split(/[, ]+(?![^[]*\])/)
      .filter((word) => word !== '')
    if (mnemonic === 'exit' && !labels.has('exit')) labels.set('exit', slot)
    lines.push({ number: i + 1, slot, mnemonic, operands })
    slot += mnemonic === 'lddw' ? 2 : 1
  })
  const insns = new InsnBuffer(slot)
  const maps = new Map<number, string>()
  for (const line of lines) {
    const map = line.mnemonic === 'lddw' ? /^map_by_(?:fd|idx)\((\w+)\)$/.exec(line.operands[1] ?? '') : null
    if (map === null) encode(operation(line, labels), insns, line.slot)
    else {
      maps.set(line.slot, map[1] as string)
      encode({ kind: 'loadImm64', dst: register(line, 0), pseudo: 1, low: 0, high: 0 }, insns, line.slot)
    }
  }
  return { insns, maps }
}

function operation(line: Line, labels: ReadonlyMap<string, number>): Operation {
  return flow(line, labels) ?? memory(line) ?? arithmetic(line) ?? refuse(line, `unknown instruction ${line.mnemonic}`)
}

function count(line: Line, wanted: number): void {
  if (line.operands.length === wanted) return
  refuse(line, `${line.mnemonic} has ${line.operands.length} operands, expected ${wanted}`)
}

function isRegister(word: string | undefined): boolean {
  return word !== undefined && /^%?r\d+$/.test(word)
}

function register(line: Line, at: number): number {
  const word = line.operands[at]
  const found = /^%?r(\d+)$/.exec(word ?? '')
  // Up to 15, which decoding refuses: there are tests for that.
  if (found === null || Number(found[1]) > 15) refuse(line, `${word ?? 'nothing'} is no register`)
  return Number(found[1])
}

function integer(line: Line, word: string | undefined, bits: number): bigint {
  const found = /^([+-]?)(0x[0-9a-f]+|\d+)$/i.exec(word ?? '')
  if (found === null) refuse(line, `${word ?? 'nothing'} is no number`)
  const value = BigInt(found[2] as string) * (found[1] === '-' ? -1n : 1n)
  if (value < -(1n << 63n) || value >= 1n << 64n) refuse(line, `${word} does not fit 64 bits`)
  const narrow = BigInt.asIntN(bits, value)
  if (narrow !== value && BigInt.asUintN(bits, value) !== value && BigInt.asIntN(64, value) !== narrow) {
    refuse(line, `${word} does not fit ${bits} bits`)
  }
  return narrow
}

function imm32(line: Line, at: number): number {
  return Number(integer(line, line.operands[at], 32))
}

/** `[%r1+2]` */
function place(line: Line, at: number): { base: number; off: number } {
  const word = (line.operands[at] ?? '').replaceAll(' ', '')
  const found = /^\[%?r(\d+)([+-](?:0x[0-9a-f]+|\d+))?\]$/i.exec(word)
  if (found === null || Number(found[1]) > 15) refuse(line, `${line.operands[at] ?? 'nothing'} is no place in memory`)
  return { base: Number(found[1]), off: found[2] === undefined ? 0 : Number(integer(line, found[2], 16)) }
}

function target(line: Line, word: string | undefined, labels: ReadonlyMap<string, number>): number {
  if (word !== undefined && /^[+-]/.test(word)) return line.slot + 1 + Number(integer(line, word, 32))
  const slot = labels.get(word ?? '')
  if (slot === undefined) refuse(line, `there is no label ${word ?? ''}`)
  return slot
}

function flow(line: Line, labels: ReadonlyMap<string, number>): Operation | null {
  const { mnemonic, operands } = line
  switch (mnemonic) {
    case 'exit':
      count(line, 0)
      return { kind: 'exit' }
    case 'ja':
      count(line, 1)
      return { kind: 'jump', target: target(line, operands[0], labels) }
    case 'ja32':
      count(line, 1)
      return { kind: 'jump', target: target(line, operands[0], labels), long: true }
    case 'callx':
      count(line, 1)
      return { kind: 'call', call: 'register', imm: 0, off: 0, src: register(line, 0) }
    case 'call':
      return call(line, labels)
  }
  const branch = /^j([a-z]+?)(32)?$/.exec(mnemonic)
  if (branch === null || !BRANCHES.has(branch[1] as string)) return null
  count(line, 3)
  const src = isRegister(operands[1]) ? register(line, 1) : null
  return {
    kind: 'branch',
    op: branch[1] as BranchOp,
    wide: branch[2] === undefined,
    dst: register(line, 0),
    src,
    imm: src === null ? imm32(line, 1) : 0,
    target: target(line, operands[2], labels),
  }
}

function call(line: Line, labels: ReadonlyMap<string, number>): Operation {
  const { operands } = line
  const mode = operands.length === 1 ? 'helper' : (operands[0] ?? '')
  const word = operands[operands.length - 1]
  if (operands.length < 1 || operands.length > 2) refuse(line, `call has ${operands.length} operands, expected 1 or 2`)
  switch (mode) {
    case 'local': {
      const to = target(line, word, labels)
      return { kind: 'call', call: 'local', imm: to - line.slot - 1, off: 0, target: to }
    }
    case 'runtime':
      return { kind: 'call', call: 'kfunc', imm: imm32(line, 1), off: 0 }
    case 'helper': {
      const at = operands.length - 1
      if (isRegister(word)) return { kind: 'call', call: 'register', imm: 0, off: 0, src: register(line, at) }
      const id = HELPERS.get((word ?? '').replace(/^bpf_/, ''))
      return { kind: 'call', call: 'helper', imm: id ?? imm32(line, at), off: 0 }
    }
    default:
      return refuse(line, `a call is local, helper or runtime, not ${mode}`)
  }
}

function memory(line: Line): Operation | null {
  const { mnemonic } = line
  if (mnemonic === 'lddw') {
    count(line, 2)
    const value = integer(line, line.operands[1], 64)
    const [low, high] = [Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n))]
    return { kind: 'loadImm64', dst: register(line, 0), pseudo: 0, low, high }
  }
  if (mnemonic === 'lock') return atomic(line)
  const access = /^(ldxs|ldx|stx|st)(dw|w|h|b)$/.exec(mnemonic)
  if (access === null) return null
  count(line, 2)
  const size = SIZES[access[2] as string] as AccessSize
  if (access[1] === 'ldx' || access[1] === 'ldxs') {
    const { base, off } = place(line, 1)
    return { kind: 'load', size, signed: access[1] === 'ldxs', dst: register(line, 0), src: base, off }
  }
  const { base, off } = place(line, 0)
  const src = access[1] === 'stx' ? register(line, 1) : null
  return { kind: 'store', size, dst: base, off, src, imm: src === null ? imm32(line, 1) : 0 }
}

/** `lock [fetch] add[32] [%r1+0], %r2`, or `fetch_add` in one word; exchanges always fetch. */
function atomic(line: Line): Operation {
  const words = [...line.operands]
  if (words[0] === 'fetch') words.splice(0, 2, `fetch_${words[1]}`)
  const found = /^(fetch_)?(add|or|and|xor|xchg|cmpxchg)(32)?$/.exec(words[0] ?? '')
  if (found === null) refuse(line, `there is no atomic operation ${words[0] ?? ''}`)
  const rest: Line = { ...line, operands: words.slice(1) }
  count(rest, 2)
  const op = found[2] as AtomicOp
  const { base, off } = place(rest, 0)
  const fetch = found[1] !== undefined || op === 'xchg' || op === 'cmpxchg'
  return { kind: 'atomic', op, fetch, size: found[3] === undefined ? 8 : 4, dst: base, src: register(rest, 1), off }
}

function arithmetic(line: Line): Operation | null {
  const { mnemonic, operands } = line
  const swap = /^(le|be|swap|bswap)(16|32|64)$/.exec(mnemonic)
  if (swap !== null) {
    count(line, 1)
    const op = swap[1] === 'le' || swap[1] === 'be' ? swap[1] : 'bswap'
    return { kind: 'endian', op, bits: Number(swap[2]) as 16 | 32 | 64, dst: register(line, 0) }
  }
  const negate = /^neg(32|64)?$/.exec(mnemonic)
  if (negate !== null) {
    count(line, 1)
    return { kind: 'alu', op: 'neg', wide: negate[1] !== '32', dst: register(line, 0), src: null, imm: 0 }
  }
  const extend = /^movsx(8|16|32)(32|64)$/.exec(mnemonic)
  if (extend !== null) {
    count(line, 2)
    const op = `movsx${extend[1]}` as AluOp
    return { kind: 'alu', op, wide: extend[2] === '64', dst: register(line, 0), src: register(line, 1), imm: 0 }
  }
  const plain = /^([a-z]+)(32|64)?$/.exec(mnemonic)
  const op = ALU[plain?.[1] ?? '']
  if (plain === null || op === undefined) return null
  count(line, 2)
  const src = isRegister(operands[1]) ? register(line, 1) : null
  const imm = src === null ? imm32(line, 1) : 0
  return { kind: 'alu', op, wide: plain[2] !== '32', dst: register(line, 0), src, imm }
}
