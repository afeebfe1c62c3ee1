import { BpfError } from '../../bytes/index.ts'
import { SymbolType, type ElfBind, type ElfSymbol } from '../../elf/index.ts'
import { GlobalTypes, type GlobalType } from './globals.ts'
import { EXTERN_SECTION, type InputObject, type InputSection } from './input.ts'
import { MAX_COMPARISONS, mapDifference, typeDifference, type CompareBudget } from './match.ts'
import type { OutputSection, Placement, PlacedVariable } from './sections.ts'
import type { OutputTypes } from './types.ts'

/** A symbol of the output. */
export interface OutputSymbol {
  readonly name: string
  value: number
  size: number
  bind: ElfBind
  type: number
  visibility: number
  /** Its section, null when it is extern; for ABS and the like the reserved index. */
  section: OutputSection | number | null
}

/** A symbol that can be seen from other objects, by name. */
export interface GlobalSymbol {
  /** Index into the output's symbols. */
  readonly index: number
  /** Section it belongs to, also when it is an extern of .ksyms or .kconfig. */
  section: OutputSection | null
  isExtern: boolean
  isWeak: boolean
  /** VAR or FUNC in the output's types; 0 before the types of its object were appended. */
  typeId: number
  /** C type of that VAR, prototype of that FUNC. */
  underlyingTypeId: number
  /** The definition was met: its C type replaces that of the declaration. */
  wantsType: boolean
  variable: PlacedVariable | null
}

/** The symbols of the output. */
export class OutputSymbols {
  readonly list: OutputSymbol[] = []
  readonly globals: Map<string, GlobalSymbol> = new Map()
  readonly #types: OutputTypes
  readonly #budget: CompareBudget = { left: MAX_COMPARISONS }

  constructor(types: OutputTypes) {
    this.#types = types
  }

  /**
   * Appends the symbols of an input. Of several global symbols with one name, the strong definition wins, else the first
   * weak one; their types must match.
   * @returns indices into {@link list} by the input's symbol indices; null for symbols of sections that are left out
   * @throws BpfError `malformed` for two strong definitions, `type-mismatch`, `not-found` for symbols without BTF
   */
  append(input: InputObject, placements: ReadonlyMap<InputSection, Placement>): (number | null)[] {
    const types = input.btf === null ? null : new GlobalTypes(input.btf)
    return input.elf.symbols.map((symbol) => {
      if (symbol.index === 0) return null
      const isDefined = symbol.section > 0 && symbol.section < 0xff00
      const source = isDefined ? input.sections[symbol.section] : undefined
      if (source?.skipped === true) return null
      const placement = source === undefined ? null : (placements.get(source) ?? null)
      if (symbol.bind === 'local') return this.#addLocal(symbol, placement)
      return this.#addGlobal(input, symbol, placement, typeOf(types, symbol), placements)
    })
  }

  #addLocal(symbol: ElfSymbol, placement: Placement | null): number {
    const section = placement?.section ?? null
    if (symbol.type !== SymbolType.SECTION || section === null) return this.#add(symbol, placement)
    section.sectionSymbol ??= this.#add({ ...symbol, value: 0 }, { section, offset: 0 })
    return section.sectionSymbol
  }

  #add(symbol: ElfSymbol, placement: Placement | null): number {
    const { name, size, bind, type, visibility } = symbol
    const section = placement?.section ?? (symbol.section === 0 ? null : symbol.section)
    const value = symbol.value + (placement?.offset ?? 0)
    return this.list.push({ name, value, size, bind, type, visibility, section }) - 1
  }

  #addGlobal(
    input: InputObject,
    symbol: ElfSymbol,
    placement: Placement | null,
    type: GlobalType,
    placements: ReadonlyMap<InputSection, Placement>,
  ): number {
    const isExtern = symbol.section === 0
    const known = this.globals.get(symbol.name)
    if (known === undefined) {
      const index = this.#add(symbol, placement)
      this.globals.set(symbol.name, {
        index,
        section: isExtern ? externSection(input, type, placements) : (placement?.section ?? null),
        isExtern,
        isWeak: symbol.bind === 'weak',
        typeId: 0,
        underlyingTypeId: 0,
        wantsType: true,
        variable: null,
      })
      return index
    }
    if (!isExtern && !known.isExtern && !known.isWeak && symbol.bind !== 'weak') {
      throw new BpfError('malformed', `'${symbol.name}' is defined in more than one object`, {
        where: { symbol: symbol.name },
      })
    }
    this.#checkTypes(input, symbol.name, known, type)
    this.#merge(symbol, known)
    const losesToKnown = isExtern || (!known.isExtern && symbol.bind === 'weak')
    if (!losesToKnown) this.#define(input, symbol, placement, known, type)
    return known.index
  }

  /** The stricter visibility and the stronger binding of all declarations hold. */
  #merge(symbol: ElfSymbol, known: GlobalSymbol): void {
    const output = this.list[known.index] as OutputSymbol
    if (symbol.bind === 'global') {
      output.bind = 'global'
      known.isWeak = false
    }
    output.visibility = Math.max(output.visibility, symbol.visibility)
  }

  #define(
    input: InputObject,
    symbol: ElfSymbol,
    placement: Placement | null,
    known: GlobalSymbol,
    type: GlobalType,
  ): void {
    const output = this.list[known.index] as OutputSymbol
    output.type = symbol.type
    output.section = placement?.section ?? symbol.section
    output.value = symbol.value + (placement?.offset ?? 0)
    output.size = symbol.size
    known.section = placement?.section ?? null
    known.isExtern = false
    known.wantsType = true
    if (input.btf !== null) this.#types.define(known.typeId, input.btf, type.typeId)
  }

  #checkTypes(input: InputObject, name: string, known: GlobalSymbol, type: GlobalType): void {
    if (known.typeId === 0 || input.btf === null) {
      throw new BpfError('not-found', `global '${name}' has no type in the BTF`, { where: { symbol: name } })
    }
    const before = { btf: this.#types.btf(), id: known.typeId }
    const here = { btf: input.btf, id: type.typeId }
    const isMap = known.section?.name === '.maps'
    const difference = isMap
      ? mapDifference(name, before, here, this.#budget)
      : typeDifference(before, here, this.#budget)
    if (difference === null) return
    throw new BpfError('type-mismatch', `'${name}' does not match its declaration in an object before: ${difference}`, {
      where: { symbol: name },
    })
  }
}

function typeOf(types: GlobalTypes | null, symbol: ElfSymbol): GlobalType {
  if (types !== null) return types.of(symbol.name)
  throw new BpfError('not-found', `the object has no BTF, which global symbols such as '${symbol.name}' need`, {
    where: { symbol: symbol.name },
  })
}

/** Section of an extern that is in one: .ksyms, .kconfig, .maps. */
function externSection(
  input: InputObject,
  type: GlobalType,
  placements: ReadonlyMap<InputSection, Placement>,
): OutputSection | null {
  if (type.section === null || type.section === EXTERN_SECTION) return null
  const source = input.byName.get(type.section)
  return source === undefined ? null : (placements.get(source)?.section ?? null)
}
