export { Btf, type BtfParseOptions } from './btf.ts'
export { BtfKind } from './types.ts'
export type * from './types.ts'
export { kindName as btfKindName } from './layout.ts'
