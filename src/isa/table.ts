import type { AccessSize, AluOp, AtomicOp, BranchOp } from './operation.ts'

/** Instruction class: the low three bits of the opcode, in order. */
export const INSN_CLASSES = ['ld', 'ldx', 'st', 'stx', 'alu', 'jmp', 'jmp32', 'alu64'] as const
export type InsnClass = (typeof INSN_CLASSES)[number]

/** Instruction set version as clang's -mcpu counts, or `linux` for kernel extensions that no version has. */
export type IsaVersion = 1 | 2 | 3 | 4 | 'linux'

/** Field of an instruction slot. */
export type Field = 'dst' | 'src' | 'off' | 'imm'

/** What an opcode does; fields that are not fixed by the opcode are operands or selectors of variants. */
export type Semantics =
  | { kind: 'alu'; op: AluOp; wide: boolean; source: 'src' | 'imm' }
  | { kind: 'endian'; op: 'le' | 'be' | 'bswap' }
  | { kind: 'addrSpaceCast' }
  | { kind: 'loadImm64' }
  | { kind: 'load'; size: AccessSize; signed: boolean }
  | { kind: 'store'; size: AccessSize; source: 'src' | 'imm' }
  | { kind: 'loadAbs'; size: 1 | 2 | 4 }
  | { kind: 'loadInd'; size: 1 | 2 | 4 }
  | { kind: 'atomic'; op: AtomicOp; fetch: boolean; size: 4 | 8 }
  | { kind: 'loadAcquire'; size: AccessSize }
  | { kind: 'storeRelease'; size: AccessSize }
  | { kind: 'jump'; long: boolean }
  | { kind: 'gotox' }
  | { kind: 'branch'; op: BranchOp; wide: boolean; source: 'src' | 'imm' }
  | { kind: 'mayGoto' }
  | { kind: 'call'; call: 'helper' | 'local' | 'kfunc' | 'register' }
  | { kind: 'exit' }

/** One instruction: an opcode, narrowed by the value of a selector field where an opcode has variants. */
export interface InsnForm {
  /** Unique name, such as `add32`, `jsgt`, `ldxw`, `atomic_fetch_add64`. */
  readonly mnemonic: string
  /** Value of the row's selector field; 0 when the row has none. */
  readonly select: number
  /** Fields that carry operands, in the order of the assembly text. */
  readonly operands: readonly Field[]
  /** Fields that have no meaning and must be zero (the kernel's verifier refuses anything else). */
  readonly reserved: readonly Field[]
  readonly semantics: Semantics
  readonly isa: IsaVersion
  /** First kernel that accepts it. */
  readonly linux: string
}

/** One opcode byte. */
export interface OpcodeRow {
  readonly code: number
  readonly class: InsnClass
  /** Field whose value selects among `forms`, if any. */
  readonly selector: Field | null
  /** At least one form. */
  readonly forms: readonly InsnForm[]
}

/** Arithmetic in the order of the opcode's high nibble, with the operator of pseudo-C text. */
export const ALU_OPS: readonly { readonly op: AluOp; readonly code: number; readonly symbol: string }[] = [
  { op: 'add', code: 0x00, symbol: '+=' },
  { op: 'sub', code: 0x10, symbol: '-=' },
  { op: 'mul', code: 0x20, symbol: '*=' },
  { op: 'div', code: 0x30, symbol: '/=' },
  { op: 'or', code: 0x40, symbol: '|=' },
  { op: 'and', code: 0x50, symbol: '&=' },
  { op: 'lsh', code: 0x60, symbol: '<<=' },
  { op: 'rsh', code: 0x70, symbol: '>>=' },
  { op: 'neg', code: 0x80, symbol: 'neg' },
  { op: 'mod', code: 0x90, symbol: '%=' },
  { op: 'xor', code: 0xa0, symbol: '^=' },
  { op: 'mov', code: 0xb0, symbol: '=' },
  { op: 'arsh', code: 0xc0, symbol: 's>>=' },
]

/** Variants of arithmetic that the offset field selects. */
export const ALU_VARIANTS: readonly {
  readonly op: AluOp
  readonly of: AluOp
  readonly off: number
  readonly symbol: string
}[] = [
  { op: 'sdiv', of: 'div', off: 1, symbol: 's/=' },
  { op: 'smod', of: 'mod', off: 1, symbol: 's%=' },
  { op: 'movsx8', of: 'mov', off: 8, symbol: '= (s8)' },
  { op: 'movsx16', of: 'mov', off: 16, symbol: '= (s16)' },
  { op: 'movsx32', of: 'mov', off: 32, symbol: '= (s32)' },
]

/** Conditions with the opcode's high nibble and the operator of pseudo-C text. */
export const BRANCH_OPS: readonly {
  readonly op: BranchOp
  readonly code: number
  readonly symbol: string
  readonly isa: IsaVersion
}[] = [
  { op: 'eq', code: 0x10, symbol: '==', isa: 1 },
  { op: 'gt', code: 0x20, symbol: '>', isa: 1 },
  { op: 'ge', code: 0x30, symbol: '>=', isa: 1 },
  { op: 'set', code: 0x40, symbol: '&', isa: 1 },
  { op: 'ne', code: 0x50, symbol: '!=', isa: 1 },
  { op: 'sgt', code: 0x60, symbol: 's>', isa: 1 },
  { op: 'sge', code: 0x70, symbol: 's>=', isa: 1 },
  { op: 'lt', code: 0xa0, symbol: '<', isa: 2 },
  { op: 'le', code: 0xb0, symbol: '<=', isa: 2 },
  { op: 'slt', code: 0xc0, symbol: 's<', isa: 2 },
  { op: 'sle', code: 0xd0, symbol: 's<=', isa: 2 },
]

/** Atomic operations by their immediate. */
export const ATOMIC_OPS: readonly { readonly op: AtomicOp; readonly imm: number; readonly fetch: boolean }[] = [
  { op: 'add', imm: 0x00, fetch: false },
  { op: 'or', imm: 0x40, fetch: false },
  { op: 'and', imm: 0x50, fetch: false },
  { op: 'xor', imm: 0xa0, fetch: false },
  { op: 'add', imm: 0x01, fetch: true },
  { op: 'or', imm: 0x41, fetch: true },
  { op: 'and', imm: 0x51, fetch: true },
  { op: 'xor', imm: 0xa1, fetch: true },
  { op: 'xchg', imm: 0xe1, fetch: true },
  { op: 'cmpxchg', imm: 0xf1, fetch: true },
]

/** Immediate of an atomic instruction that is a load-acquire. */
export const LOAD_ACQ = 0x100
/** Immediate of an atomic instruction that is a store-release. */
export const STORE_REL = 0x110
/** Offset of a 64-bit register move that casts between address spaces. */
export const ADDR_SPACE_CAST = 1

/** Memory sizes by bits 3 and 4 of the opcode. */
export const SIZES: readonly { readonly size: AccessSize; readonly code: number; readonly letter: string }[] = [
  { size: 4, code: 0x00, letter: 'w' },
  { size: 2, code: 0x08, letter: 'h' },
  { size: 1, code: 0x10, letter: 'b' },
  { size: 8, code: 0x18, letter: 'dw' },
]

const ALL_FIELDS: readonly Field[] = ['dst', 'src', 'off', 'imm']

interface FormOptions {
  readonly isa?: IsaVersion
  readonly linux?: string
  readonly select?: number
  /** Fields that the kernel leaves unchecked although they mean nothing. */
  readonly ignored?: readonly Field[]
  readonly selector?: Field
}

function form(mnemonic: string, operands: readonly Field[], semantics: Semantics, options: FormOptions): InsnForm {
  const isa = options.isa ?? 1
  const free = new Set([
    ...operands,
    ...(options.ignored ?? []),
    ...(options.selector === undefined ? [] : [options.selector]),
  ])
  return {
    mnemonic,
    select: options.select ?? 0,
    operands,
    reserved: ALL_FIELDS.filter((field) => !free.has(field)),
    semantics,
    isa,
    linux: options.linux ?? (isa === 4 ? '6.6' : isa === 2 ? '4.14' : '3.18'),
  }
}

/** Builds the rows; RFC 9669 sections 4 and 5, kernel extensions from include/uapi/linux/bpf.h. */
function buildRows(): readonly (OpcodeRow | null)[] {
  const rows: (OpcodeRow | null)[] = Array.from({ length: 256 }, () => null)
  const put = (code: number, selector: Field | null, forms: readonly InsnForm[]): void => {
    rows[code] = { code, class: INSN_CLASSES[code & 7] as InsnClass, selector, forms }
  }
  const single = (
    code: number,
    mnemonic: string,
    operands: readonly Field[],
    semantics: Semantics,
    options: FormOptions = {},
  ): void => put(code, null, [form(mnemonic, operands, semantics, options)])

  for (const wide of [false, true]) {
    const base = wide ? 0x07 : 0x04
    const suffix = wide ? '64' : '32'
    for (const { op, code } of ALU_OPS) {
      if (op === 'neg') {
        single(base | code, `neg${suffix}`, ['dst'], { kind: 'alu', op, wide, source: 'imm' })
        continue
      }
      for (const source of ['imm', 'src'] as const) {
        const variants = ALU_VARIANTS.filter(
          (v) => v.of === op && (op !== 'mov' || source === 'src') && (v.op !== 'movsx32' || wide),
        )
        const selector = variants.length === 0 ? {} : { selector: 'off' as const }
        const forms = [form(`${op}${suffix}`, ['dst', source], { kind: 'alu', op, wide, source }, selector)]
        for (const v of variants) {
          forms.push(
            form(
              `${v.op}_${suffix}`,
              ['dst', source],
              { kind: 'alu', op: v.op, wide, source },
              { isa: 4, select: v.off, selector: 'off' },
            ),
          )
        }
        if (op === 'mov' && source === 'src' && wide) {
          forms.push(
            form(
              'addr_space_cast',
              ['dst', 'src', 'imm'],
              { kind: 'addrSpaceCast' },
              { isa: 'linux', linux: '6.9', select: ADDR_SPACE_CAST, selector: 'off' },
            ),
          )
        }
        put(base | code | (source === 'src' ? 8 : 0), variants.length === 0 ? null : 'off', forms)
      }
    }
  }
  single(0xd4, 'le', ['dst', 'imm'], { kind: 'endian', op: 'le' })
  single(0xdc, 'be', ['dst', 'imm'], { kind: 'endian', op: 'be' })
  single(0xd7, 'bswap', ['dst', 'imm'], { kind: 'endian', op: 'bswap' }, { isa: 4 })

  single(0x18, 'lddw', ['dst', 'src', 'imm'], { kind: 'loadImm64' })
  for (const { size, code, letter } of SIZES) {
    if (size !== 8) {
      single(0x20 | code, `ldabs${letter}`, ['imm'], { kind: 'loadAbs', size })
      single(0x40 | code, `ldind${letter}`, ['src', 'imm'], { kind: 'loadInd', size })
      single(0x81 | code, `ldxs${letter}`, ['dst', 'src', 'off'], { kind: 'load', size, signed: true }, { isa: 4 })
    }
    single(0x61 | code, `ldx${letter}`, ['dst', 'src', 'off'], { kind: 'load', size, signed: false })
    single(0x62 | code, `st${letter}`, ['dst', 'off', 'imm'], { kind: 'store', size, source: 'imm' })
    single(0x63 | code, `stx${letter}`, ['dst', 'off', 'src'], { kind: 'store', size, source: 'src' })

    const bits = size * 8
    const forms: InsnForm[] = []
    if (size === 4 || size === 8) {
      for (const { op, imm, fetch } of ATOMIC_OPS) {
        const exchange = op === 'xchg' || op === 'cmpxchg'
        const later = fetch || op !== 'add'
        forms.push(
          form(
            exchange ? `${op}${bits}` : fetch ? `atomic_fetch_${op}${bits}` : `atomic_${op}${bits}`,
            ['dst', 'off', 'src'],
            { kind: 'atomic', op, fetch, size },
            { isa: later ? 3 : 1, linux: later ? '5.12' : '3.18', select: imm, selector: 'imm' },
          ),
        )
      }
    }
    const ordered = { isa: 4, linux: '6.15', selector: 'imm' } as const
    forms.push(
      form(
        `load_acquire${bits}`,
        ['dst', 'src', 'off'],
        { kind: 'loadAcquire', size },
        { ...ordered, select: LOAD_ACQ },
      ),
      form(
        `store_release${bits}`,
        ['dst', 'off', 'src'],
        { kind: 'storeRelease', size },
        { ...ordered, select: STORE_REL },
      ),
    )
    put(0xc3 | code, 'imm', forms)
  }

  for (const wide of [true, false]) {
    const base = wide ? 0x05 : 0x06
    for (const { op, code, isa } of BRANCH_OPS) {
      for (const source of ['imm', 'src'] as const) {
        single(
          base | code | (source === 'src' ? 8 : 0),
          `j${op}${wide ? '' : '32'}`,
          ['dst', source, 'off'],
          { kind: 'branch', op, wide, source },
          wide ? { isa } : { isa: 3, linux: '5.1' },
        )
      }
    }
  }
  single(0x05, 'ja', ['off'], { kind: 'jump', long: false })
  single(0x06, 'gotol', ['imm'], { kind: 'jump', long: true }, { isa: 4 })
  single(0x0d, 'gotox', ['dst'], { kind: 'gotox' }, { isa: 'linux', linux: '6.19' })
  put(0xe5, 'src', [
    form('may_goto', ['off'], { kind: 'mayGoto' }, { isa: 'linux', linux: '6.9', select: 0, selector: 'src' }),
  ])
  put(0x85, 'src', [
    form('call', ['imm'], { kind: 'call', call: 'helper' }, { select: 0, selector: 'src' }),
    form('call_local', ['imm'], { kind: 'call', call: 'local' }, { linux: '4.16', select: 1, selector: 'src' }),
    form('call_kfunc', ['imm', 'off'], { kind: 'call', call: 'kfunc' }, { linux: '5.13', select: 2, selector: 'src' }),
  ])
  single(0x8d, 'callx', ['dst'], { kind: 'call', call: 'register' }, { isa: 'linux', linux: 'never' })
  // The kernel looks at dst, src and imm of exit, but not at off.
  single(0x95, 'exit', [], { kind: 'exit' }, { ignored: ['off'] })
  return rows
}

/** The instruction set: 256 rows by opcode byte, null where no instruction has that opcode. */
export const OPCODES: readonly (OpcodeRow | null)[] = buildRows()

/** Every instruction form with its row, in opcode order. */
export function* insnForms(): Generator<{ row: OpcodeRow; form: InsnForm }> {
  for (const row of OPCODES) {
    if (row === null) continue
    for (const form of row.forms) yield { row, form }
  }
}

/** The instruction form of given fields, or undefined when the opcode or its selector is unknown. */
export function findForm(code: number, fields: Readonly<Record<Field, number>>): InsnForm | undefined {
  const row = OPCODES[code]
  if (row === null || row === undefined) return undefined
  const value = row.selector === null ? 0 : fields[row.selector]
  return row.forms.find((form) => form.select === value)
}
