import { BpfError } from '../../bytes/index.ts'

/** Machines whose probes are understood; names as Node has them. */
export type UsdtArch = 'x64' | 'arm64'

/** Where an argument of a probe is, as `enum __bpf_usdt_arg_type` of usdt.bpf.h numbers it. */
export const UsdtArgType = { CONST: 0, REG: 1, REG_DEREF: 2, SIB: 3 } as const

/** One argument of a probe. Registers are offsets in bytes in struct pt_regs. */
export interface UsdtArg {
  readonly type: (typeof UsdtArgType)[keyof typeof UsdtArgType]
  /** Constant, or what is added to the address. */
  readonly value: bigint
  readonly register: number
  /** Index register and the binary logarithm of its factor, for SIB. */
  readonly index: number
  readonly shift: number
  /** Bytes. */
  readonly size: 1 | 2 | 4 | 8
  readonly signed: boolean
}

/** As many as usdt.bpf.h has room for. */
const MOST_ARGS = 12

/**
 * Arguments of a probe from its note: "-4@%eax 8@-16(%rbp) 4@$5" on x86-64, "-4@[sp, 12] 8@x0 4@5" on arm64
 * (sourceware.org/systemtap/wiki/UserSpaceProbeImplementation).
 * @throws BpfError `unsupported` for a form that the assembler of the machine does not write
 */
export function parseUsdtArgs(text: string, arch: UsdtArch): UsdtArg[] {
  const args: UsdtArg[] = []
  let rest = text.trim()
  while (rest !== '') {
    if (args.length === MOST_ARGS)
      throw new BpfError('limit', `the probe has more than ${MOST_ARGS} arguments: "${text}"`)
    const head = /^(-?)(\d+)(?:f)?\s*@\s*/.exec(rest)
    if (head === null) throw unknown(text, rest)
    const size = Number(head[2])
    if (size !== 1 && size !== 2 && size !== 4 && size !== 8) {
      throw new BpfError('unsupported', `argument ${args.length} of the probe has ${size} bytes: "${text}"`)
    }
    const operand = rest.slice(head[0].length)
    const form = OPERANDS[arch].find(({ pattern }) => pattern.test(operand))
    const match = form?.pattern.exec(operand)
    if (form === undefined || !match) throw unknown(text, rest)
    const [whole, ...parts] = match
    args.push({ ...NOWHERE, ...form.read(parts), size, signed: head[1] === '-' })
    rest = operand.slice(whole.length).trimStart()
  }
  return args
}

type Place = Pick<UsdtArg, 'type' | 'value' | 'register' | 'index' | 'shift'>

const NOWHERE = { value: 0n, register: 0, index: 0, shift: 0 } as const

interface Operand {
  readonly pattern: RegExp
  readonly read: (parts: readonly (string | undefined)[]) => Partial<Place> & Pick<Place, 'type'>
}

const END = String.raw`\s*(?=\s|$)`
const number = (text: string | undefined): bigint => {
  if (text === undefined || text === '') return 0n
  return text.startsWith('-') ? -BigInt(text.slice(1)) : BigInt(text)
}

const OPERANDS: Readonly<Record<UsdtArch, readonly Operand[]>> = {
  x64: [
    {
      // -96(%rbp,%rax,8), (%rbp,%rax)
      pattern: new RegExp(String.raw`^(-?\d+)?\(\s*%(\w+)\s*,\s*%(\w+)\s*(?:,\s*([1248]))?\s*\)${END}`),
      read: ([offset, base, index, factor = '1']) => ({
        type: UsdtArgType.SIB,
        value: number(offset),
        register: x64Register(base),
        index: x64Register(index),
        shift: Math.log2(Number(factor)),
      }),
    },
    {
      // -20(%rbp), (%rsp)
      pattern: new RegExp(String.raw`^(-?\d+)?\(\s*%(\w+)\s*\)${END}`),
      read: ([offset, base]) => ({
        type: UsdtArgType.REG_DEREF,
        value: number(offset),
        register: x64Register(base),
      }),
    },
    {
      pattern: new RegExp(String.raw`^%(\w+)${END}`),
      read: ([name]) => ({ type: UsdtArgType.REG, register: x64Register(name) }),
    },
    {
      pattern: new RegExp(String.raw`^\$(-?\d+)${END}`),
      read: ([value]) => ({ type: UsdtArgType.CONST, value: number(value) }),
    },
  ],
  arm64: [
    {
      // [sp, 96], [x3]
      pattern: new RegExp(String.raw`^\[\s*(\w+)\s*(?:,\s*#?(-?\d+)\s*)?\]${END}`),
      read: ([base, offset]) => ({
        type: UsdtArgType.REG_DEREF,
        value: number(offset),
        register: arm64Register(base),
      }),
    },
    {
      pattern: new RegExp(String.raw`^(-?\d+)${END}`),
      read: ([value]) => ({ type: UsdtArgType.CONST, value: number(value) }),
    },
    {
      pattern: new RegExp(String.raw`^([a-z]\w*)${END}`),
      read: ([name]) => ({ type: UsdtArgType.REG, register: arm64Register(name) }),
    },
  ],
}

/** Offset in struct pt_regs of x86-64 (arch/x86/include/uapi/asm/ptrace.h) of a register of any width. */
function x64Register(name: string | undefined): number {
  const offset = X64_REGISTERS.get(name ?? '')
  if (offset === undefined)
    throw new BpfError('unsupported', `the probe names a register "${name}" that programs cannot read`)
  return offset
}

const X64_REGISTERS: ReadonlyMap<string, number> = new Map(
  [
    ...['r15', 'r14', 'r13', 'r12'].map(numbered),
    ['rbp', 'ebp', 'bp', 'bpl'],
    ['rbx', 'ebx', 'bx', 'bl'],
    ...['r11', 'r10', 'r9', 'r8'].map(numbered),
    ['rax', 'eax', 'ax', 'al'],
    ['rcx', 'ecx', 'cx', 'cl'],
    ['rdx', 'edx', 'dx', 'dl'],
    ['rsi', 'esi', 'si', 'sil'],
    ['rdi', 'edi', 'di', 'dil'],
    [],
    ['rip', 'eip'],
    [],
    [],
    ['rsp', 'esp', 'sp', 'spl'],
  ].flatMap((names, slot) => names.map((name) => [name, slot * 8] as const)),
)

function numbered(name: string): string[] {
  return [name, `${name}d`, `${name}w`, `${name}b`]
}

/** Offset in struct user_pt_regs of arm64: x0 to x30, then sp. */
function arm64Register(name: string | undefined): number {
  const match = /^[xw](\d+)$/.exec(name ?? '')
  if (match !== null && Number(match[1]) < 31) return Number(match[1]) * 8
  if (name === 'sp') return 31 * 8
  throw new BpfError('unsupported', `the probe names a register "${name}" that programs cannot read`)
}

function unknown(text: string, rest: string): BpfError {
  return new BpfError('unsupported', `"${rest}" of the probe's arguments "${text}" is in no known form`)
}
