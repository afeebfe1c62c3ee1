import { BtfBuilder, BtfKind, remapTypeIds, type Btf, type BtfType, type BtfTypeSpec } from '../../btf/index.ts'
import { BpfError } from '../../bytes/index.ts'
import { isVisible, type InputObject, type InputSection } from './input.ts'
import type { OutputSection, Placement } from './sections.ts'
import type { GlobalSymbol } from './symbols.ts'

/** The types of the output: those of all inputs, one after the other. */
export class OutputTypes {
  readonly builder: BtfBuilder
  #snapshot: Btf | null = null

  constructor(littleEndian: boolean) {
    this.builder = new BtfBuilder({ littleEndian })
  }

  /** What there is now, parsed. */
  btf(): Btf {
    this.#snapshot ??= this.builder.toBtf()
    return this.#snapshot
  }

  get isEmpty(): boolean {
    return this.builder.typeCount === 1
  }

  /**
   * Appends the types of an input but its DATASECs. Of global variables and functions that are there already, the known
   * type is used; where the input has the definition, that gets its C type.
   * @returns new ids by old one; 0 for variables of sections that were left out
   */
  append(btf: Btf, globals: ReadonlyMap<string, GlobalSymbol>): Uint32Array {
    const { builder } = this
    const firstId = builder.typeCount
    const newIds = new Uint32Array(btf.typeCount)
    const added: BtfType[] = []
    const redefined: { readonly global: GlobalSymbol; readonly type: number }[] = []
    for (const type of btf.types()) {
      if (type.kind === BtfKind.DATASEC) continue
      const isGlobal = (type.kind === BtfKind.VAR || type.kind === BtfKind.FUNC) && isVisible(type)
      const global = isGlobal ? globals.get(type.name) : undefined
      if (isGlobal) {
        if (global === undefined) continue
        if (global.typeId === 0 || global.wantsType) redefined.push({ global, type: type.type })
        global.wantsType = false
        if (global.typeId !== 0) {
          newIds[type.id] = global.typeId
          continue
        }
      }
      newIds[type.id] = firstId + added.length
      if (global !== undefined) global.typeId = firstId + added.length
      added.push(type)
    }
    const remap = (old: number): number => {
      const id = newIds[old] as number
      if (id !== 0 || old === 0) return id
      throw new BpfError('malformed', `type [${old}] ${btf.name(old)} has no symbol, but other types refer to it`)
    }
    for (const type of added) builder.add(remapTypeIds(type, remap))
    for (const { global, type } of redefined) {
      global.underlyingTypeId = newIds[type] as number
      const known = builder.get(global.typeId)
      if (known.kind === BtfKind.VAR || known.kind === BtfKind.FUNC) {
        builder.replace(global.typeId, { ...known, type: global.underlyingTypeId })
      }
    }
    this.#snapshot = null
    return newIds
  }

  /** Turns the known extern declaration of a symbol into a definition, and names parameters that had no name. */
  define(typeId: number, btf: Btf, definitionId: number): void {
    const { builder } = this
    const known = builder.get(typeId)
    if (known.kind === BtfKind.VAR) builder.replace(typeId, { ...known, linkage: 1 })
    if (known.kind !== BtfKind.FUNC) return
    builder.replace(typeId, { ...known, linkage: 1 })
    const proto = builder.get(known.type)
    const definition = btf.type(btf.word(definitionId, 2))
    if (proto.kind !== BtfKind.FUNC_PROTO || definition.kind !== BtfKind.FUNC_PROTO) return
    const params = proto.params.map((param, i) => ({ ...param, name: definition.params[i]?.name || param.name }))
    builder.replace(known.type, { ...proto, params })
  }

  /** Appends the variables of an input's DATASECs to those of the output's sections. */
  placeVariables(
    input: InputObject,
    newIds: Uint32Array,
    placements: ReadonlyMap<InputSection, Placement>,
    globals: ReadonlyMap<string, GlobalSymbol>,
  ): void {
    for (const source of input.sections) {
      const placement = placements.get(source)
      if (source.datasec === null || source.skipped || placement === undefined) continue
      const { section, offset } = placement
      section.hasDatasec = true
      for (const entry of source.datasec.vars) {
        const type = newIds[entry.type] as number
        const global = type === 0 ? undefined : this.#globalOf(type, section, globals)
        const known = global?.variable ?? null
        if (global !== undefined && known !== null) {
          // The definition may be larger than the declaration was (arrays without a length).
          known.size = this.btf().sizeOf(global.underlyingTypeId)
          continue
        }
        const variable = { type, offset: offset + entry.offset, size: entry.size }
        section.variables.push(variable)
        if (global !== undefined) global.variable = variable
      }
    }
  }

  #globalOf(
    typeId: number,
    section: OutputSection,
    globals: ReadonlyMap<string, GlobalSymbol>,
  ): GlobalSymbol | undefined {
    const type = this.builder.get(typeId)
    if (type.kind !== BtfKind.VAR && type.kind !== BtfKind.FUNC) return undefined
    if (type.linkage === 0) return undefined
    const name = type.name ?? ''
    const global = globals.get(name)
    if (global === undefined || global.section !== section) {
      const there = global?.section?.name ?? 'no section'
      throw new BpfError('type-mismatch', `global '${name}' is in ${section.name} here and in ${there} before`, {
        where: { symbol: name },
      })
    }
    return global
  }

  /** All types, and a DATASEC for each section that has one. */
  finish(sections: readonly OutputSection[]): Btf {
    for (const section of sections) {
      if (!section.hasDatasec) continue
      const datasec: BtfTypeSpec = {
        kind: BtfKind.DATASEC,
        name: section.name,
        size: section.size,
        vars: section.variables,
      }
      this.builder.add(datasec)
    }
    return this.builder.toBtf()
  }
}
