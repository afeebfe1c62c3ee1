import { Btf, BtfKind, parseBtfExt, type BtfExt } from '../../btf/index.ts'
import { BpfError, isBpfError } from '../../bytes/index.ts'
import { SymbolType, SymbolVisibility, type ElfSymbol } from '../../elf/index.ts'
import type { ExternSpec } from '../spec.ts'
import type { ObjectFile } from './symbols.ts'

/** What an object says about its types. */
export interface ObjectBtf {
  readonly btf: Btf | null
  readonly ext: BtfExt | null
}

/**
 * Reads .BTF and .BTF.ext. clang leaves the sizes of data sections and the offsets of global variables 0, for the
 * loader to take from the symbol table; they are filled in here, in a copy of the bytes.
 * A broken .BTF is fatal only when maps, externs or struct_ops need it, a broken .BTF.ext never (as in libbpf).
 * @throws BpfError of the BTF parser
 */
export function readObjectBtf(file: ObjectFile, isNeeded: boolean, warnings: BpfError[]): ObjectBtf {
  const { elf } = file
  const section = elf.sectionByName('.BTF')
  if (section === undefined || section.data.length === 0) return { btf: null, ext: null }
  let btf: Btf
  try {
    const asCompiled = Btf.parse(section.data, { name: '.BTF', baseOffset: section.offset })
    btf = withSectionLayout(asCompiled, file, section.offset)
  } catch (error) {
    if (!isBpfError(error) || isNeeded) throw error
    warnings.push(error)
    return { btf: null, ext: null }
  }
  const extSection = elf.sectionByName('.BTF.ext')
  if (extSection === undefined || extSection.data.length === 0) return { btf, ext: null }
  try {
    const ext = parseBtfExt(extSection.data, btf, { baseOffset: extSection.offset })
    return { btf, ext }
  } catch (error) {
    if (!isBpfError(error)) throw error
    warnings.push(error)
    return { btf, ext: null }
  }
}

/** Byte offset of a type's record in a BTF blob. */
export function recordOffset(btf: Btf, id: number): number {
  const bytes = btf.bytes()
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const headerLength = view.getUint32(4, btf.littleEndian)
  const typesOffset = view.getUint32(8, btf.littleEndian)
  return headerLength + typesOffset + (btf.offsets[id - btf.firstId] as number) * 4
}

function withSectionLayout(btf: Btf, file: ObjectFile, baseOffset: number): Btf {
  const bytes = btf.bytes().slice()
  const view = new DataView(bytes.buffer)
  const variables = new Map<string, ElfSymbol>()
  const hiddenFunctions = new Set<string>()
  for (const symbol of file.elf.symbols) {
    if (symbol.bind === 'local') continue
    if (symbol.type === SymbolType.OBJECT) variables.set(symbol.name, symbol)
    const isSubprogram = symbol.type === SymbolType.FUNC && file.roles[symbol.section] === 'text'
    if (isSubprogram && isHidden(symbol)) hiddenFunctions.add(symbol.name)
  }
  const changedStatic: { offset: number }[] = []
  for (const id of btf.ids()) {
    if (btf.kind(id) !== BtfKind.DATASEC) continue
    const type = btf.type(id)
    if (type.kind !== BtfKind.DATASEC) continue
    const section = file.elf.sectionByName(type.name)
    const fill = type.size === 0 && section !== undefined
    const vars = type.vars.map((entry) => {
      const variable = btf.type(entry.type)
      if (variable.kind !== BtfKind.VAR || variable.linkage === 2) return { ...entry }
      const symbol = variables.get(variable.name)
      if (symbol === undefined || variable.linkage === 0) return { ...entry }
      // The verifier may only then see the variable's value, so hidden ones count as static for it.
      if (isHidden(symbol)) {
        changedStatic.push({ offset: recordOffset(btf, entry.type) + 12 })
      }
      return { ...entry, offset: fill ? symbol.value : entry.offset }
    })
    vars.sort((a, b) => a.offset - b.offset)
    const at = recordOffset(btf, id)
    if (fill) view.setUint32(at + 8, section.size, btf.littleEndian)
    vars.forEach((entry, i) => {
      view.setUint32(at + 12 + i * 12, entry.type, btf.littleEndian)
      view.setUint32(at + 16 + i * 12, entry.offset, btf.littleEndian)
      view.setUint32(at + 20 + i * 12, entry.size, btf.littleEndian)
    })
  }
  for (const { offset } of changedStatic) view.setUint32(offset, 0, btf.littleEndian)
  for (const name of hiddenFunctions) {
    for (const id of btf.findAllByName(name)) {
      if (btf.kind(id) !== BtfKind.FUNC || btf.vlen(id) !== 1) continue
      // A static function is verified where it is called, a global one for any argument.
      view.setUint32(recordOffset(btf, id) + 4, BtfKind.FUNC << 24, btf.littleEndian)
    }
  }
  return Btf.parse(bytes, { name: '.BTF', baseOffset })
}

function isHidden(symbol: ElfSymbol): boolean {
  return symbol.visibility === SymbolVisibility.INTERNAL || symbol.visibility === SymbolVisibility.HIDDEN
}

/** Places the values of section .kconfig where the loader lays them out, in order. */
export function withKconfigLayout(btf: Btf | null, externs: readonly ExternSpec[]): Btf | null {
  const id = btf?.findByName('.kconfig', BtfKind.DATASEC)
  if (btf === null || id === undefined) return btf
  const type = btf.type(id)
  if (type.kind !== BtfKind.DATASEC) return btf
  const offsets = new Map(externs.filter((extern) => extern.kind === 'kconfig').map((e) => [e.name, e.offset]))
  const vars = type.vars.map((entry) => ({ ...entry, offset: offsets.get(btf.name(entry.type)) ?? entry.offset }))
  vars.sort((a, b) => a.offset - b.offset)
  const last = vars.at(-1)
  const bytes = btf.bytes().slice()
  const view = new DataView(bytes.buffer)
  const at = recordOffset(btf, id)
  view.setUint32(at + 8, last === undefined ? 0 : last.offset + last.size, btf.littleEndian)
  vars.forEach((entry, i) => {
    view.setUint32(at + 12 + i * 12, entry.type, btf.littleEndian)
    view.setUint32(at + 16 + i * 12, entry.offset, btf.littleEndian)
    view.setUint32(at + 20 + i * 12, entry.size, btf.littleEndian)
  })
  return Btf.parse(bytes, { name: '.BTF' })
}
