import { BtfKind, type Btf, type BtfComposite, type BtfEnum } from '../../btf/index.ts'
import { isCharType, resolveType } from '../../btf/value/types.ts'
import { BpfError } from '../../bytes/index.ts'
import { commentText, propertyName, quoted, TypeNames } from './names.ts'

/** Anonymous structs in structs, and members altogether, after which BTF is not of a compiler. */
const MAX_DEPTH = 64
const MAX_PARTS = 1 << 18

/** Type of values without a C type. */
export const BYTES = 'Uint8Array'

/**
 * TypeScript types for the values that readValue gives for C types. Structs, unions and enums with names are declared
 * once; everything else is written where it is used.
 */
export class TypeWriter {
  readonly #btf: Btf | null
  readonly #names: TypeNames
  /** By type id: the name that it is declared under. */
  readonly #declared = new Map<number, string>()
  readonly #declarations: string[] = []
  #parts = 0

  constructor(btf: Btf | null, names: TypeNames) {
    this.#btf = btf
    this.#names = names
  }

  /** Declarations of what was named until now, in the order of use. */
  get declarations(): readonly string[] {
    return this.#declarations
  }

  /** The type of a value: bytes where there is no C type, `never` for what has no values. */
  of(typeId: number): string {
    return this.#btf === null || typeId === 0 ? BYTES : this.#value(this.#btf, typeId, '', 0)
  }

  #value(btf: Btf, typeId: number, typedefName: string, depth: number): string {
    if (depth > MAX_DEPTH || ++this.#parts > MAX_PARTS) {
      throw new BpfError('limit', `type [${typeId}] is nested too deep or has too many parts`)
    }
    const type = btf.type(resolveType(btf, typeId).id)
    switch (type.kind) {
      case BtfKind.INT:
        return integerType(type.size, type.bits, type.bool)
      case BtfKind.PTR:
        return 'bigint'
      case BtfKind.FLOAT:
        return 'number'
      case BtfKind.ENUM:
      case BtfKind.ENUM64:
        return this.#enumType(btf, type, typedefName || typedefOf(btf, typeId))
      case BtfKind.ARRAY: {
        if (isCharType(btf, type.elementType)) return 'string'
        const item = this.#value(btf, type.elementType, '', depth + 1)
        return /^\w+$/.test(item) ? `${item}[]` : `(${item})[]`
      }
      case BtfKind.STRUCT:
      case BtfKind.UNION:
        return this.#compositeType(btf, type, typedefOf(btf, typeId), depth)
      case BtfKind.VOID:
      case BtfKind.FWD:
      case BtfKind.FUNC:
      case BtfKind.FUNC_PROTO:
      case BtfKind.TYPEDEF:
      case BtfKind.VOLATILE:
      case BtfKind.CONST:
      case BtfKind.RESTRICT:
      case BtfKind.TYPE_TAG:
      case BtfKind.VAR:
      case BtfKind.DATASEC:
      case BtfKind.DECL_TAG:
      default:
        return 'never'
    }
  }

  #compositeType(btf: Btf, type: BtfComposite, typedefName: string, depth: number): string {
    const known = this.#declared.get(type.id)
    if (known !== undefined) return known
    const cName = type.name || typedefName
    if (cName === '') return `{ ${this.#members(btf, type, depth).join('; ')} }`
    const name = this.#names.take(cName)
    this.#declared.set(type.id, name)
    const at = this.#declarations.push('') - 1
    const word = type.kind === BtfKind.STRUCT ? 'struct' : 'union'
    const head = `/** ${word} ${commentText(cName)}, ${type.size} bytes */\nexport interface ${name} {`
    const members = this.#members(btf, type, depth).map((member) => `  ${member}\n`)
    this.#declarations[at] = members.length === 0 ? `${head}}\n` : `${head}\n${members.join('')}}\n`
    return name
  }

  /** Members, those of anonymous structs and unions included, as readValue gives them. */
  #members(btf: Btf, type: BtfComposite, depth: number): string[] {
    const into = new Map<string, string>()
    this.#collectMembers(btf, type, depth, into)
    return [...into].map(([name, text]) => `${propertyName(name)}: ${text}`)
  }

  /** C forbids the same name twice, BTF does not: the first one counts. */
  #collectMembers(btf: Btf, type: BtfComposite, depth: number, into: Map<string, string>): void {
    for (const member of type.members) {
      const inner = btf.type(resolveType(btf, member.type).id)
      if (member.name === '') {
        if (inner.kind !== BtfKind.STRUCT && inner.kind !== BtfKind.UNION) continue
        if (depth >= MAX_DEPTH || ++this.#parts > MAX_PARTS) {
          throw new BpfError('limit', `type [${type.id}] is nested too deep or has too many parts`)
        }
        this.#collectMembers(btf, inner, depth + 1, into)
        continue
      }
      const isBitField = member.bitSize > 0 && inner.kind === BtfKind.INT
      const text = isBitField
        ? integerType(inner.size, member.bitSize, inner.bool)
        : this.#value(btf, member.type, '', depth + 1)
      if (!into.has(member.name)) into.set(member.name, text)
    }
  }

  #enumType(btf: Btf, type: BtfEnum, typedefName: string): string {
    const number = type.size > 4 ? 'bigint' : 'number'
    const known = this.#declared.get(type.id)
    if (known !== undefined) return `${known} | ${number}`
    if (type.values.length === 0) return number
    const cName = type.name || typedefName
    const values = uniqueValues(type)
    const names = values.map(([name]) => quoted(name))
    if (cName === '') return `${names.join(' | ')} | ${number}`
    const name = this.#names.take(cName)
    this.#declared.set(type.id, name)
    const suffix = number === 'bigint' ? 'n' : ''
    const entries = values.map(([entry, value]) => `  ${propertyName(entry)}: ${value}${suffix},\n`).join('')
    this.#declarations.push(
      `/** enum ${commentText(cName)} */\nexport const ${name} = {\n${entries}} as const\n` +
        `export type ${name} = keyof typeof ${name}\n`,
    )
    return `${name} | ${number}`
  }
}

function integerType(size: number, bits: number, isBool: boolean): string {
  if (isBool) return 'boolean'
  return size > 4 && bits > 32 ? 'bigint' : 'number'
}

function uniqueValues(type: BtfEnum): [name: string, value: bigint][] {
  return [...new Map(type.values.map(({ name, value }) => [name, value])).entries()]
}

/** Name of the typedef nearest to what a type is; empty when there is none. */
function typedefOf(btf: Btf, typeId: number): string {
  let name = ''
  const { id: end } = resolveType(btf, typeId)
  for (let id = typeId; id !== end; id = btf.word(id, 2)) {
    if (btf.kind(id) === BtfKind.TYPEDEF) name = btf.name(id)
  }
  return name
}
