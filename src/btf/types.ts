/** Kinds of BTF types (include/uapi/linux/btf.h). */
export const BtfKind = {
  VOID: 0,
  INT: 1,
  PTR: 2,
  ARRAY: 3,
  STRUCT: 4,
  UNION: 5,
  ENUM: 6,
  FWD: 7,
  TYPEDEF: 8,
  VOLATILE: 9,
  CONST: 10,
  RESTRICT: 11,
  FUNC: 12,
  FUNC_PROTO: 13,
  VAR: 14,
  DATASEC: 15,
  FLOAT: 16,
  DECL_TAG: 17,
  TYPE_TAG: 18,
  ENUM64: 19,
} as const
export type BtfKind = (typeof BtfKind)[keyof typeof BtfKind]

/** What every decoded type has. */
interface BtfTypeCommon {
  /** Type id; 0 is void, ids of a split BTF go on after its base's. */
  readonly id: number
  /** Empty for anonymous types. */
  readonly name: string
}

export interface BtfVoid extends BtfTypeCommon {
  readonly kind: typeof BtfKind.VOID
}
export interface BtfInt extends BtfTypeCommon {
  readonly kind: typeof BtfKind.INT
  /** Bytes. */
  readonly size: number
  /** Bits, and where they start: old compilers put bit-fields in here. */
  readonly bits: number
  readonly bitOffset: number
  readonly signed: boolean
  readonly char: boolean
  readonly bool: boolean
}
/** ptr, typedef, volatile, const, restrict, type_tag: one referred type. */
export interface BtfRef extends BtfTypeCommon {
  readonly kind:
    | typeof BtfKind.PTR
    | typeof BtfKind.TYPEDEF
    | typeof BtfKind.VOLATILE
    | typeof BtfKind.CONST
    | typeof BtfKind.RESTRICT
    | typeof BtfKind.TYPE_TAG
  readonly type: number
  /** kind_flag of a type tag: an attribute of another name than btf_type_tag (Linux 6.15). */
  readonly kindFlag: boolean
}
export interface BtfArray extends BtfTypeCommon {
  readonly kind: typeof BtfKind.ARRAY
  readonly elementType: number
  readonly indexType: number
  readonly length: number
}
export interface BtfMember {
  readonly name: string
  readonly type: number
  /** Bits from the start of the struct. */
  readonly bitOffset: number
  /** Bits of a bit-field, 0 for an ordinary member. */
  readonly bitSize: number
}
export interface BtfComposite extends BtfTypeCommon {
  readonly kind: typeof BtfKind.STRUCT | typeof BtfKind.UNION
  readonly size: number
  readonly kindFlag: boolean
  readonly members: readonly BtfMember[]
}
export interface BtfEnumerator {
  readonly name: string
  /** Sign-extended or zero-extended as the enum says. */
  readonly value: bigint
}
export interface BtfEnum extends BtfTypeCommon {
  readonly kind: typeof BtfKind.ENUM | typeof BtfKind.ENUM64
  readonly size: number
  readonly signed: boolean
  readonly values: readonly BtfEnumerator[]
}
export interface BtfFwd extends BtfTypeCommon {
  readonly kind: typeof BtfKind.FWD
  readonly union: boolean
}
/** Linkage of functions and variables: 0 static, 1 global, 2 extern. */
export type BtfLinkage = 0 | 1 | 2
export interface BtfFunc extends BtfTypeCommon {
  readonly kind: typeof BtfKind.FUNC
  /** Its FUNC_PROTO. */
  readonly type: number
  readonly linkage: BtfLinkage
}
export interface BtfParam {
  readonly name: string
  /** 0 as the last one means variadic. */
  readonly type: number
}
export interface BtfFuncProto extends BtfTypeCommon {
  readonly kind: typeof BtfKind.FUNC_PROTO
  readonly returnType: number
  readonly params: readonly BtfParam[]
}
export interface BtfVar extends BtfTypeCommon {
  readonly kind: typeof BtfKind.VAR
  readonly type: number
  readonly linkage: BtfLinkage
}
export interface BtfSectionVar {
  /** Id of a VAR (or FUNC, in .ksyms). */
  readonly type: number
  /** Bytes from the start of the section. */
  readonly offset: number
  readonly size: number
}
export interface BtfDatasec extends BtfTypeCommon {
  readonly kind: typeof BtfKind.DATASEC
  readonly size: number
  readonly vars: readonly BtfSectionVar[]
}
export interface BtfFloat extends BtfTypeCommon {
  readonly kind: typeof BtfKind.FLOAT
  readonly size: number
}
export interface BtfDeclTag extends BtfTypeCommon {
  readonly kind: typeof BtfKind.DECL_TAG
  readonly type: number
  /** Member or parameter index, -1 for the type itself. */
  readonly componentIndex: number
  readonly kindFlag: boolean
}

/** A decoded BTF type. Narrow by `kind`. */
export type BtfType =
  | BtfVoid
  | BtfInt
  | BtfRef
  | BtfArray
  | BtfComposite
  | BtfEnum
  | BtfFwd
  | BtfFunc
  | BtfFuncProto
  | BtfVar
  | BtfDatasec
  | BtfFloat
  | BtfDeclTag
