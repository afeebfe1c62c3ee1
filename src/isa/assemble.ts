import { BpfError } from '../bytes/index.ts'
import { HelperId } from '../uapi/index.ts'
import { encode } from './encode.ts'
import { InsnBuffer } from './insns.ts'
import type { AccessSize, AluOp, AtomicOp, BranchOp, LdImm64Pseudo, Operation } from './operation.ts'
import { ALU_OPS, ALU_VARIANTS, BRANCH_OPS } from './table.ts'

/** A line that stands for an instruction, with its slot. */
interface Line {
  readonly text: string
  /** 1-based line of the input. */
  readonly number: number
  readonly slot: number
  /** The opcode in front of the text in the kernel's syntax, or null. */
  readonly opcode: number | null
}

const ALU: ReadonlyMap<string, AluOp> = new Map([
  ...ALU_OPS.filter((o) => o.op !== 'neg' && o.op !== 'mov').map((o) => [o.symbol, o.op] as const),
  ...ALU_VARIANTS.filter((v) => v.of !== 'mov').map((v) => [v.symbol, v.op] as const),
])
const BRANCH: ReadonlyMap<string, BranchOp> = new Map(BRANCH_OPS.map((b) => [b.symbol, b.op]))
const HELPERS: ReadonlyMap<string, number> = new Map(Object.entries(HelperId))

const NUMBER = String.raw`[+-]?(?:0x[0-9a-f]+|\d+)`
const PLACE = String.raw`\(r(\d+) ?(?:([+-]) ?(0x[0-9a-f]+|\d+))?\)`
const TYPED_PLACE = String.raw`\((?:\(([us])(8|16|32|64) \*\)) ?\(?r(\d+) ?([+-]) ?(0x[0-9a-f]+|\d+)\)?`

const PATTERNS = {
  label: /^(?:[0-9a-f]+ )?<?([A-Za-z_.$][\w.$]*)>?:$/,
  jump: /^(goto|gotol|may_goto) (\S+)(?: <.*>)?$/,
  branch: /^if ([rw])(\d+) (\S+) (\S+) goto (\S+)(?: <.*>)?$/,
  call: /^call (\S+)$/,
  callx: /^callx r(\d+)$/,
  gotox: /^gotox r(\d+)$/,
  lock: new RegExp(String.raw`^lock \*\(u(32|64) \*\)${PLACE} (\S+) [rw](\d+)$`),
  store: new RegExp(String.raw`^\*\(u(8|16|32|64) \*\)${PLACE} = (?:[rw](\d+)|(${NUMBER}))$`),
  release: new RegExp(String.raw`^store_release${TYPED_PLACE}\)?, [rw](\d+)\)$`),
  load: new RegExp(String.raw`^[rw](\d+) = \*\(([us])(8|16|32|64) \*\)${PLACE}$`),
  packet: new RegExp(String.raw`^r0 = \*\(u(8|16|32) \*\)skb\[(?:r(\d+)(?: \+ (${NUMBER}))?|(${NUMBER}))\]$`),
  acquire: new RegExp(String.raw`^[rw](\d+) = load_acquire${TYPED_PLACE}\)+$`),
  fetch: new RegExp(String.raw`^[rw]\d+ = atomic(?:64)?_fetch_(add|or|and|xor)${TYPED_PLACE}, [rw](\d+)\)$`),
  exchange: new RegExp(String.raw`^[rw]\d+ = atomic(?:64)?_(xchg|cmpxchg)${TYPED_PLACE},(?: r0,)? [rw](\d+)\)$`),
  exchangeLlvm: new RegExp(
    String.raw`^[rw]\d+ = (xchg|cmpxchg)(32_32|_64)\(r(\d+) ([+-]) (0x[0-9a-f]+|\d+),(?: [rw]0,)? [rw](\d+)\)$`,
  ),
  cast: new RegExp(String.raw`^r(\d+) = addr_space_cast\(r(\d+), (${NUMBER}), (${NUMBER})\)$`),
  swap: /^[rw](\d+) = (le|be|bswap)(16|32|64) [rw](\d+)$/,
  negate: /^([rw])(\d+) = -[rw](\d+)$/,
  move: new RegExp(String.raw`^([rw])(\d+) = (?:\(s(8|16|32)\) ?)?[rw](\d+)$`),
  wide: new RegExp(String.raw`^r(\d+) = (${NUMBER}) ll$`),
  pseudo: /^r(\d+) = (map\[id:(\d+)\](?:\[0\]\+(\d+))?|map\[idx:(\d+)\]\+(\d+)|subprog\[([+-]?\d+)\])$/,
  constant: new RegExp(String.raw`^([rw])(\d+) = (${NUMBER})$`),
  alu: new RegExp(String.raw`^([rw])(\d+) (\S+=) (?:[rw](\d+)|(${NUMBER}))$`),
}

function refuse(line: Line, message: string): never {
  throw new BpfError('malformed', `line ${line.number}: ${message}`, { where: { insn: line.slot } })
}

function number(line: Line, text: string, low: number, high: number): number {
  const negative = text.startsWith('-')
  const value = Number(text.replace(/^[+-]/, '')) * (negative ? -1 : 1)
  if (!(value >= low && value <= high)) refuse(line, `${text} is out of range, expected ${low} to ${high}`)
  return value
}

/** A 32-bit immediate; the kernel prints some of them as unsigned. */
const imm32 = (line: Line, text: string): number => number(line, text, -0x80000000, 0xffffffff) | 0

function register(line: Line, text: string): number {
  return number(line, text, 0, 10)
}

function offset(line: Line, sign: string | undefined, digits: string | undefined): number {
  return digits === undefined ? 0 : number(line, `${sign ?? ''}${digits}`, -0x8000, 0x7fff)
}

const bytes = (bits: string | undefined): AccessSize => (Number(bits) / 8) as AccessSize

/**
 * Assembles pseudo-C text: the syntax of llvm-objdump and LLVM's assembler, or that of the kernel and bpftool, so that
 * what the printers print can be read back. One instruction a line; `NAME:` is a label; slot numbers and opcodes in
 * front of an instruction are skipped; `//` and a line that starts with `;` or `#` are comments. Targets are labels or
 * distances (`+3`, `pc+3`). `call NAME` calls a helper by its name (`bpf_map_lookup_elem`) or else a label.
 * @throws BpfError `malformed` with the line number for anything else; `limit` for a distance that does not fit
 */
export function assemble(text: string): InsnBuffer {
  const labels = new Map<string, number>()
  const lines: Line[] = []
  let slot = 0
  text.split('\n').forEach((raw, i) => {
    const bare = raw.replace(/\/\/.*$/, '').trim()
    if (bare === '' || bare.startsWith(';') || bare.startsWith('#')) return
    const label = PATTERNS.label.exec(bare)?.[1]
    if (label !== undefined) {
      labels.set(label, slot)
      return
    }
    const parts = /^(?:\d+:\s*)?(?:\(([0-9a-f]{2})\) )?(.*?);?$/.exec(bare)
    const body = (parts?.[2] ?? '').replace(/\s+/g, ' ')
    const opcode = parts?.[1] === undefined ? null : Number.parseInt(parts[1], 16)
    const line: Line = { text: body, number: i + 1, slot, opcode }
    lines.push(line)
    slot += isWide(line) ? 2 : 1
  })
  const insns = new InsnBuffer(slot)
  for (const line of lines) encode(operation(line, labels), insns, line.slot)
  return insns
}

function isWide(line: Line): boolean {
  return line.opcode === 0x18 || PATTERNS.wide.test(line.text) || PATTERNS.pseudo.test(line.text)
}

/** Slot that a jump or call goes to. */
function target(line: Line, text: string, labels: ReadonlyMap<string, number>): number {
  const label = labels.get(text)
  if (label !== undefined) return label
  const distance = /^(?:pc)?([+-](?:0x[0-9a-f]+|\d+))(?:#.*)?$/.exec(text)?.[1]
  if (distance === undefined) refuse(line, `unknown label ${text}`)
  return line.slot + 1 + number(line, distance, -0x80000000, 0x7fffffff)
}

function operation(line: Line, labels: ReadonlyMap<string, number>): Operation {
  const op = flow(line, labels) ?? memory(line) ?? arithmetic(line)
  if (op === null) refuse(line, `unknown instruction: ${line.text}`)
  return op
}

function flow(line: Line, labels: ReadonlyMap<string, number>): Operation | null {
  if (line.text === 'exit') return { kind: 'exit' }
  let m = PATTERNS.jump.exec(line.text)
  if (m !== null) {
    const to = target(line, m[2] as string, labels)
    if (m[1] === 'may_goto') return { kind: 'mayGoto', target: to }
    return m[1] === 'gotol' ? { kind: 'jump', target: to, long: true } : { kind: 'jump', target: to }
  }
  m = PATTERNS.branch.exec(line.text)
  if (m !== null) {
    const op = BRANCH.get(m[3] as string)
    if (op === undefined) refuse(line, `unknown comparison ${m[3]}`)
    const src = /^[rw](\d+)$/.exec(m[4] as string)?.[1]
    return {
      kind: 'branch',
      op,
      wide: m[1] === 'r',
      dst: register(line, m[2] as string),
      src: src === undefined ? null : register(line, src),
      imm: src === undefined ? imm32(line, checked(line, m[4] as string)) : 0,
      target: target(line, m[5] as string, labels),
    }
  }
  m = PATTERNS.callx.exec(line.text)
  if (m !== null) return { kind: 'call', call: 'register', imm: 0, off: 0, src: register(line, m[1] as string) }
  m = PATTERNS.gotox.exec(line.text)
  if (m !== null) return { kind: 'gotox', dst: register(line, m[1] as string) }
  m = PATTERNS.call.exec(line.text)
  return m === null ? null : call(line, m[1] as string, labels)
}

/** Text that must be a number. */
function checked(line: Line, text: string): string {
  if (!new RegExp(`^${NUMBER}$`).test(text)) refuse(line, `${text} is neither a register nor a number`)
  return text
}

function call(line: Line, name: string, labels: ReadonlyMap<string, number>): Operation {
  if (new RegExp(`^${NUMBER}$`).test(name)) return { kind: 'call', call: 'helper', imm: imm32(line, name), off: 0 }
  const kernel = /^(.+)#(-?\d+)$/.exec(name)
  if (kernel !== null && !name.startsWith('pc')) {
    const imm = imm32(line, kernel[2] as string)
    return { kind: 'call', call: kernel[1] === 'kernel-function' ? 'kfunc' : 'helper', imm, off: 0 }
  }
  const helper = HELPERS.get(name.replace(/^bpf_/, ''))
  if (helper !== undefined && !labels.has(name)) return { kind: 'call', call: 'helper', imm: helper, off: 0 }
  const to = target(line, name, labels)
  return { kind: 'call', call: 'local', imm: to - line.slot - 1, off: 0, target: to }
}

function memory(line: Line): Operation | null {
  let m = PATTERNS.store.exec(line.text)
  if (m !== null) {
    const [, bits, dst, sign, digits, src, imm] = m
    return {
      kind: 'store',
      size: bytes(bits),
      dst: register(line, dst as string),
      off: offset(line, sign, digits),
      src: src === undefined ? null : register(line, src),
      imm: imm === undefined ? 0 : imm32(line, imm),
    }
  }
  m = PATTERNS.load.exec(line.text)
  if (m !== null) {
    const [, dst, kind, bits, src, sign, digits] = m
    return {
      kind: 'load',
      size: bytes(bits),
      signed: kind === 's',
      dst: register(line, dst as string),
      src: register(line, src as string),
      off: offset(line, sign, digits),
    }
  }
  m = PATTERNS.packet.exec(line.text)
  if (m !== null) {
    const [, bits, src, more, imm] = m
    const size = bytes(bits) as 1 | 2 | 4
    if (src === undefined) return { kind: 'loadAbs', size, imm: imm32(line, imm as string) }
    return { kind: 'loadInd', size, src: register(line, src), imm: more === undefined ? 0 : imm32(line, more) }
  }
  return atomic(line)
}

function atomic(line: Line): Operation | null {
  const make = (
    op: AtomicOp,
    fetch: boolean,
    bits: string | undefined,
    dst: string | undefined,
    off: number,
    src: string | undefined,
  ): Operation => ({
    kind: 'atomic',
    op,
    fetch,
    size: bytes(bits) as 4 | 8,
    dst: register(line, dst as string),
    src: register(line, src as string),
    off,
  })
  let m = PATTERNS.lock.exec(line.text)
  if (m !== null) {
    const op = ALU.get(m[5] as string)
    if (op !== 'add' && op !== 'or' && op !== 'and' && op !== 'xor') refuse(line, `no atomic operation ${m[5]}`)
    return make(op, false, m[1], m[2], offset(line, m[3], m[4]), m[6])
  }
  m = PATTERNS.fetch.exec(line.text) ?? PATTERNS.exchange.exec(line.text)
  if (m !== null) return make(m[1] as AtomicOp, true, m[3], m[4], offset(line, m[5], m[6]), m[7])
  m = PATTERNS.exchangeLlvm.exec(line.text)
  if (m !== null) {
    return make(m[1] as AtomicOp, true, m[2] === '_64' ? '64' : '32', m[3], offset(line, m[4], m[5]), m[6])
  }
  m = PATTERNS.acquire.exec(line.text)
  if (m !== null) {
    const [dst, src] = [register(line, m[1] as string), register(line, m[4] as string)]
    return { kind: 'loadAcquire', size: bytes(m[3]), dst, src, off: offset(line, m[5], m[6]) }
  }
  m = PATTERNS.release.exec(line.text)
  if (m !== null) {
    const [dst, src] = [register(line, m[3] as string), register(line, m[6] as string)]
    return { kind: 'storeRelease', size: bytes(m[2]), dst, src, off: offset(line, m[4], m[5]) }
  }
  return null
}

function arithmetic(line: Line): Operation | null {
  const wideNumber = (dst: string, text: string): Operation => {
    const value = BigInt(text.replace(/^[+-]/, '')) * (text.startsWith('-') ? -1n : 1n)
    if (value < -(1n << 63n) || value >= 1n << 64n) refuse(line, `${text} does not fit 64 bits`)
    const low = Number(BigInt.asIntN(32, value))
    const high = Number(BigInt.asIntN(32, value >> 32n))
    return { kind: 'loadImm64', dst: register(line, dst), pseudo: 0, low, high }
  }
  let m = PATTERNS.wide.exec(line.text)
  if (m !== null) return wideNumber(m[1] as string, m[2] as string)
  m = PATTERNS.pseudo.exec(line.text)
  if (m !== null) {
    const [, dst, , id, value, index, indexValue, subprogram] = m
    const pseudo: LdImm64Pseudo = id !== undefined ? (value === undefined ? 1 : 2) : index !== undefined ? 6 : 4
    const low = imm32(line, id ?? index ?? (subprogram as string))
    const high = imm32(line, value ?? indexValue ?? '0')
    return { kind: 'loadImm64', dst: register(line, dst as string), pseudo, low, high }
  }
  m = PATTERNS.constant.exec(line.text)
  if (m !== null) {
    const [, r, dst, imm] = m
    if (line.opcode === 0x18) return wideNumber(dst as string, imm as string)
    const dstNumber = register(line, dst as string)
    return { kind: 'alu', op: 'mov', wide: r === 'r', dst: dstNumber, src: null, imm: imm32(line, imm as string) }
  }
  m = PATTERNS.move.exec(line.text)
  if (m !== null) {
    const [, r, dst, extend, src] = m
    const op = extend === undefined ? 'mov' : (`movsx${extend}` as AluOp)
    const [to, from] = [register(line, dst as string), register(line, src as string)]
    return { kind: 'alu', op, wide: r === 'r', dst: to, src: from, imm: 0 }
  }
  m = PATTERNS.negate.exec(line.text)
  if (m !== null && m[2] === m[3]) {
    return { kind: 'alu', op: 'neg', wide: m[1] === 'r', dst: register(line, m[2] as string), src: null, imm: 0 }
  }
  m = PATTERNS.swap.exec(line.text)
  if (m !== null && m[1] === m[4]) {
    const bits = Number(m[3]) as 16 | 32 | 64
    return { kind: 'endian', op: m[2] as 'le' | 'be' | 'bswap', bits, dst: register(line, m[1] as string) }
  }
  m = PATTERNS.cast.exec(line.text)
  if (m !== null) {
    const [dst, src] = [register(line, m[1] as string), register(line, m[2] as string)]
    const [to, from] = [number(line, m[3] as string, 0, 0xffff), number(line, m[4] as string, 0, 0xffff)]
    return { kind: 'addrSpaceCast', dst, src, from, to }
  }
  m = PATTERNS.alu.exec(line.text)
  if (m === null) return null
  const [, r, dst, symbol, src, imm] = m
  const op = ALU.get(symbol as string)
  if (op === undefined) refuse(line, `unknown operator ${symbol}`)
  return {
    kind: 'alu',
    op,
    wide: r === 'r',
    dst: register(line, dst as string),
    src: src === undefined ? null : register(line, src),
    imm: imm === undefined ? 0 : imm32(line, imm),
  }
}
