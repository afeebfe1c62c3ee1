import { BpfError } from '../../bytes/index.ts'
import { SymbolType, type ElfBind, type ElfSection, type ElfSymbol } from '../../elf/index.ts'
import { InsnBuffer, INSN_SIZE } from '../../isa/index.ts'
import type { ObjectFile } from './symbols.ts'

/** A function as the symbol table has it; slots count in its section. */
export interface LocatedFunction {
  readonly index: number
  readonly name: string
  readonly section: ElfSection
  readonly start: number
  readonly length: number
  readonly bind: ElfBind
  /** Visible outside of its file: global or weak, and not hidden. */
  readonly hidden: boolean
  readonly insns: InsnBuffer
}

/** How many times over symbols may cover the same code: aliases are rare, and each one is a copy. */
const MAX_COVERAGE = 4

/** All functions, sorted by section and place in it as libbpf does. */
export class FunctionTable {
  readonly list: readonly LocatedFunction[]
  readonly #bySection = new Map<number, LocatedFunction[]>()

  constructor(list: readonly LocatedFunction[]) {
    this.list = list
    for (const fn of list) {
      const functions = this.#bySection.get(fn.section.index)
      if (functions === undefined) this.#bySection.set(fn.section.index, [fn])
      else functions.push(fn)
    }
  }

  /** The function that holds a slot of a section: the last one that starts at or before it. */
  holding(section: number, slot: number): LocatedFunction | undefined {
    const functions = this.#bySection.get(section) ?? []
    let low = 0
    let high = functions.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if ((functions[middle] as LocatedFunction).start <= slot) low = middle
      else high = middle - 1
    }
    const found = functions[low]
    return found !== undefined && slot >= found.start && slot < found.start + found.length ? found : undefined
  }

  /** The functions of a section in order. */
  inSection(section: number): readonly LocatedFunction[] {
    return this.#bySection.get(section) ?? []
  }
}

/**
 * Finds the functions of all code sections. clang before 8 gave code symbols no type, and code written in assembly may
 * have no symbols at all: then the section is one function that has the section's name.
 * @throws BpfError `malformed` for functions outside their section or of no whole instructions
 */
export function collectFunctions(file: ObjectFile): FunctionTable {
  const functions: LocatedFunction[] = []
  for (const section of file.elf.sections) {
    const role = file.roles[section.index]
    if (role !== 'text' && role !== 'program') continue
    const code = InsnBuffer.fromBytes(section.data, {
      littleEndian: file.elf.littleEndian,
      name: `section '${section.name}'`,
      baseOffset: section.offset,
    })
    let covered = 0
    for (const range of functionRanges(section, file.symbolsOf(section.index))) {
      covered += range.length
      if (covered > code.length * MAX_COVERAGE) {
        throw new BpfError('limit', `symbols cover the code of '${section.name}' more than ${MAX_COVERAGE} times`, {
          where: { section: section.name, symbol: range.name, offset: section.offset },
        })
      }
      const insns = code.slice(range.start, range.start + range.length)
      functions.push({ ...range, index: functions.length, section, insns })
    }
  }
  return new FunctionTable(functions)
}

type Range = Pick<LocatedFunction, 'name' | 'start' | 'length' | 'bind' | 'hidden'>

function functionRanges(section: ElfSection, symbols: readonly ElfSymbol[]): Range[] {
  const typed = symbols.filter((symbol) => symbol.type === SymbolType.FUNC)
  const found = typed.length > 0 ? typed : symbols.filter(isUntypedFunction)
  if (found.length === 0) {
    return [{ name: section.name, start: 0, length: section.size / INSN_SIZE, bind: 'global', hidden: false }]
  }
  const sorted = [...found].sort((a, b) => a.value - b.value)
  const ranges: Range[] = []
  let nextStart = section.size
  for (let i = sorted.length - 1; i >= 0; i--) {
    const symbol = sorted[i] as ElfSymbol
    const next = sorted[i + 1]
    if (next !== undefined && next.value > symbol.value) nextStart = next.value
    const size = symbol.size > 0 ? symbol.size : nextStart - symbol.value
    if (symbol.value % INSN_SIZE !== 0 || size % INSN_SIZE !== 0 || size <= 0 || symbol.value + size > section.size) {
      throw new BpfError(
        'malformed',
        `function at ${symbol.value} with ${size} bytes is not within the ${section.size} bytes of its section, ` +
          `or not of whole instructions`,
        { where: { section: section.name, symbol: symbol.name, offset: section.offset } },
      )
    }
    const hidden = symbol.bind !== 'local' && (symbol.visibility === 1 || symbol.visibility === 2)
    const start = symbol.value / INSN_SIZE
    ranges.push({ name: symbol.name, start, length: size / INSN_SIZE, bind: symbol.bind, hidden })
  }
  return ranges.reverse()
}

/** Old clang also names basic blocks (LBB0_1); those are not functions. */
function isUntypedFunction(symbol: ElfSymbol): boolean {
  return symbol.type === SymbolType.NOTYPE && symbol.name !== '' && !/^(LBB\d|\.L|Ltmp\d|\$)/.test(symbol.name)
}
