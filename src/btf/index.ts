export { Btf, type BtfParseOptions } from './btf.ts'
export { BtfKind } from './types.ts'
export type {
  BtfArray,
  BtfComposite,
  BtfDatasec,
  BtfDeclTag,
  BtfEnum,
  BtfEnumerator,
  BtfFloat,
  BtfFunc,
  BtfFuncProto,
  BtfFwd,
  BtfInt,
  BtfLinkage,
  BtfMember,
  BtfParam,
  BtfRef,
  BtfSectionVar,
  BtfType,
  BtfVar,
  BtfVoid,
} from './types.ts'
export { kindName as btfKindName } from './layout.ts'
