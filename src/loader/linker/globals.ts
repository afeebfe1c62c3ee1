import { BtfKind, type Btf, type BtfDatasec } from '../../btf/index.ts'
import { BpfError } from '../../bytes/index.ts'
import { isVisible } from './input.ts'

/** The type of a global symbol in one object. */
export interface GlobalType {
  /** VAR or FUNC. */
  readonly typeId: number
  /** DATASEC that lists it, null when none does. */
  readonly section: string | null
}

/** Types of the global and extern variables and functions of one object, by name. */
export class GlobalTypes {
  readonly #floating = new Map<string, number[]>()
  readonly #placed = new Map<
    string,
    { readonly typeId: number; readonly datasecId: number; readonly section: string }
  >()
  readonly #found = new Map<string, GlobalType>()

  constructor(btf: Btf) {
    for (const id of btf.ids()) {
      const kind = btf.kind(id)
      if (kind === BtfKind.DATASEC) this.#addSection(btf, id)
      else if ((kind === BtfKind.VAR || kind === BtfKind.FUNC) && isVisible(btf.type(id))) {
        const name = btf.name(id)
        const ids = this.#floating.get(name)
        if (ids === undefined) this.#floating.set(name, [id])
        else ids.push(id)
      }
    }
  }

  #addSection(btf: Btf, datasecId: number): void {
    const { name: section, vars } = btf.type(datasecId) as BtfDatasec
    for (const { type: typeId } of vars) {
      const type = btf.type(typeId)
      if ((type.kind === BtfKind.VAR || type.kind === BtfKind.FUNC) && type.linkage === 0) continue
      if (!this.#placed.has(type.name)) this.#placed.set(type.name, { typeId, datasecId, section })
    }
  }

  /** @throws BpfError `not-found`, `ambiguous` */
  of(name: string): GlobalType {
    const known = this.#found.get(name)
    if (known !== undefined) return known
    const type = this.#find(name)
    this.#found.set(name, type)
    return type
  }

  #find(name: string): GlobalType {
    const floating = this.#floating.get(name) ?? []
    const placed = this.#placed.get(name)
    if (placed !== undefined) {
      const other = floating.findLast((id) => id < placed.datasecId)
      if (other !== undefined && other !== placed.typeId) {
        throw new BpfError('ambiguous', `types [${other}] and [${placed.typeId}] are both called '${name}'`, {
          where: { symbol: name },
        })
      }
      return placed
    }
    const typeId = floating.at(-1)
    if (typeId !== undefined) return { typeId, section: null }
    throw new BpfError('not-found', `global symbol '${name}' has no type in the BTF`, { where: { symbol: name } })
  }
}
