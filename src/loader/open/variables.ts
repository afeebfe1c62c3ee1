import { BtfKind, type Btf } from '../../btf/index.ts'
import { BpfError } from '../../bytes/index.ts'
import { SymbolType } from '../../elf/index.ts'
import type { MapSpec, VariableSpec } from '../spec.ts'
import { readVariable, writeVariable } from '../values.ts'
import type { PlacedMap } from './maps-btf.ts'
import type { ObjectFile } from './symbols.ts'

/** A variable of a data section; reads and writes the contents of the section's map. */
export class Variable implements VariableSpec {
  readonly name: string
  readonly map: string
  readonly offset: number
  readonly size: number
  readonly typeId: number
  readonly readonly: boolean
  readonly #spec: MapSpec
  readonly #btf: Btf | null

  constructor(name: string, spec: MapSpec, offset: number, size: number, btf: Btf | null, typeId: number) {
    this.name = name
    this.map = spec.name
    this.offset = offset
    this.size = size
    this.typeId = typeId
    this.readonly = spec.frozen
    this.#spec = spec
    this.#btf = btf
  }

  get(): unknown {
    return readVariable(this.#btf, this.typeId, this.#bytes())
  }

  set(value: unknown): void {
    writeVariable(this.#btf, this.typeId, value, this.#bytes(), this.name)
  }

  #bytes(): Uint8Array {
    const bytes = (this.#spec.contents ?? new Uint8Array(0)).subarray(this.offset, this.offset + this.size)
    if (bytes.length < this.size) {
      throw new BpfError('malformed', `variable '${this.name}' ends at ${this.offset + this.size}, beyond the data`, {
        where: { section: this.map, symbol: this.name },
      })
    }
    return bytes
  }
}

/**
 * The variables of all data maps: from the BTF, or without BTF from the symbols. Of several with one name (static ones
 * of different files) the first is listed.
 */
export function collectVariables(
  file: ObjectFile,
  btf: Btf | null,
  maps: readonly PlacedMap[],
): Record<string, VariableSpec> {
  const variables = Object.create(null) as Record<string, VariableSpec>
  const add = (name: string, map: PlacedMap, offset: number, size: number, typeId: number): void => {
    if (name === '' || offset + size > map.size || name in variables) return
    variables[name] = new Variable(name, map.spec, offset, size, btf, typeId)
  }
  for (const map of maps) {
    const datasecId = map.datasecId ?? map.spec.valueTypeId
    const datasec = btf !== null && datasecId !== 0 ? btf.type(datasecId) : null
    if (btf !== null && datasec?.kind === BtfKind.DATASEC) {
      for (const entry of datasec.vars) {
        const variable = btf.type(entry.type)
        if (variable.kind === BtfKind.VAR) add(variable.name, map, entry.offset, entry.size, variable.type)
      }
      continue
    }
    for (const symbol of file.symbolsOf(map.section)) {
      if (symbol.type === SymbolType.OBJECT && symbol.size > 0) add(symbol.name, map, symbol.value, symbol.size, 0)
    }
  }
  return variables
}
