import { BtfKind, type BtfType } from './types.ts'

/** A type with each type id in it replaced. */
export function remapTypeIds(type: BtfType, newId: (id: number) => number): BtfType {
  switch (type.kind) {
    case BtfKind.PTR:
    case BtfKind.TYPEDEF:
    case BtfKind.VOLATILE:
    case BtfKind.CONST:
    case BtfKind.RESTRICT:
    case BtfKind.TYPE_TAG:
    case BtfKind.FUNC:
    case BtfKind.VAR:
    case BtfKind.DECL_TAG:
      return { ...type, type: newId(type.type) }
    case BtfKind.ARRAY:
      return { ...type, elementType: newId(type.elementType), indexType: newId(type.indexType) }
    case BtfKind.STRUCT:
    case BtfKind.UNION:
      return { ...type, members: type.members.map((member) => ({ ...member, type: newId(member.type) })) }
    case BtfKind.FUNC_PROTO:
      return {
        ...type,
        returnType: newId(type.returnType),
        params: type.params.map((param) => ({ ...param, type: newId(param.type) })),
      }
    case BtfKind.DATASEC:
      return { ...type, vars: type.vars.map((entry) => ({ ...entry, type: newId(entry.type) })) }
    case BtfKind.VOID:
    case BtfKind.INT:
    case BtfKind.ENUM:
    case BtfKind.ENUM64:
    case BtfKind.FWD:
    case BtfKind.FLOAT:
    default:
      return type
  }
}
