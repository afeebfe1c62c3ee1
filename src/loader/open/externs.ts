import { BtfKind, type Btf, type BtfType } from '../../btf/index.ts'
import { BpfError } from '../../bytes/index.ts'
import type { ElfSymbol } from '../../elf/index.ts'
import type { ExternSpec } from '../spec.ts'
import { kconfigTypeOf } from '../kconfig-type.ts'
import { isExtern, type ObjectFile } from './symbols.ts'

/** Externs by name in libbpf's order (kconfig values first), and the symbols that name them. */
export interface Externs {
  readonly list: readonly ExternSpec[]
  readonly byName: ReadonlyMap<string, ExternSpec>
  /** Why an extern cannot be used; it is reported by the programs that need it. */
  readonly problems: ReadonlyMap<string, BpfError>
  /** Bytes of all kconfig values, 0 without any. */
  readonly kconfigSize: number
}

interface Found {
  readonly spec: ExternSpec
  readonly align: number
}

/** Collects undefined symbols; their BTF tells whether they are values, variables or functions of the kernel. */
export function collectExterns(file: ObjectFile, btf: Btf | null): Externs {
  const problems = new Map<string, BpfError>()
  const found = new Map<string, Found>()
  const sections = btf === null ? new Map<number, string>() : externSections(btf)
  for (const symbol of file.elf.symbols) {
    if (!isExtern(symbol) || symbol.name === '' || found.has(symbol.name)) continue
    const result = describeExtern(symbol, btf, sections)
    if (result instanceof BpfError) problems.set(symbol.name, result)
    else found.set(symbol.name, result)
  }
  const order = [...found.values()].sort(compareExterns)
  let end = 0
  const list = order.map(({ spec, align }): ExternSpec => {
    if (spec.kind !== 'kconfig') return spec
    const offset = Math.ceil(end / align) * align
    end = offset + spec.size
    return { ...spec, offset }
  })
  return { list, byName: new Map(list.map((spec) => [spec.name, spec])), problems, kconfigSize: end }
}

/** kconfig values first, by alignment, size and name; then the others by name (libbpf.c, cmp_externs). */
function compareExterns(a: Found, b: Found): number {
  const isValueA = a.spec.kind === 'kconfig'
  const isValueB = b.spec.kind === 'kconfig'
  if (isValueA !== isValueB) return isValueA ? -1 : 1
  if (isValueA && a.align !== b.align) return b.align - a.align
  if (isValueA && a.spec.size !== b.spec.size) return a.spec.size - b.spec.size
  return a.spec.name < b.spec.name ? -1 : 1
}

function describeExtern(symbol: ElfSymbol, btf: Btf | null, sections: ReadonlyMap<number, string>): Found | BpfError {
  const { name } = symbol
  const where = { symbol: name }
  if (btf === null) return new BpfError('unsupported', `extern '${name}' has no BTF that says what it is`, { where })
  const id = btf.findAllByName(name).find((candidate) => isExternType(btf.type(candidate)))
  const type = id === undefined ? undefined : btf.type(id)
  if (id === undefined || type === undefined || (type.kind !== BtfKind.VAR && type.kind !== BtfKind.FUNC)) {
    return new BpfError('not-found', `extern '${name}' is not in the BTF`, { where })
  }
  const weak = symbol.bind === 'weak'
  const section = sections.get(id)
  if (section === '.ksyms') {
    const isFunction = type.kind === BtfKind.FUNC
    const typeId = isFunction ? id : btf.skipModifiersAndTypedefs(type.type)
    return { spec: { name, kind: isFunction ? 'kfunc' : 'ksym', weak, typeId, offset: 0, size: 0 }, align: 1 }
  }
  if (section === '.kconfig' && type.kind === BtfKind.VAR) {
    if (kconfigTypeOf(btf, type.type) === null) {
      return new BpfError('unsupported', `kconfig extern '${name}' is of no type that a kconfig value can have`, {
        where,
      })
    }
    const size = btf.sizeOf(type.type)
    return { spec: { name, kind: 'kconfig', weak, typeId: type.type, offset: 0, size }, align: btf.alignOf(type.type) }
  }
  const place = section === undefined ? 'in no section' : `in section '${section}'`
  return new BpfError('unsupported', `extern '${name}' is ${place}, not in .kconfig or .ksyms; does it need linking?`, {
    where,
  })
}

function isExternType(type: BtfType): boolean {
  return (type.kind === BtfKind.VAR || type.kind === BtfKind.FUNC) && type.linkage === 2
}

/** DATASEC name by id of the variables and functions in it. */
function externSections(btf: Btf): Map<number, string> {
  const sections = new Map<number, string>()
  for (const id of btf.ids()) {
    if (btf.kind(id) !== BtfKind.DATASEC) continue
    const type = btf.type(id)
    if (type.kind !== BtfKind.DATASEC) continue
    for (const entry of type.vars) sections.set(entry.type, type.name)
  }
  return sections
}
