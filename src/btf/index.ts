export { BtfKind } from './types.ts'
export type * from './types.ts'
/** Placeholder until the class lands. */
export interface Btf {
  readonly typeCount: number
}
