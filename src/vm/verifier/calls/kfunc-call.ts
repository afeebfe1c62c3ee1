import type { Btf, BtfFuncProto, BtfParam } from '../../../btf/index.ts'
import type { GraphRoot } from '../facts/fields.ts'
import type { KfuncFlag, KfuncRow } from '../facts/kfuncs.ts'
import type { MapFacts } from '../facts/maps.ts'
import type { Reg } from '../state/register.ts'
import type { IterPlace } from './iterator.ts'

/** A kernel function that is called, with what its arguments have told. */
export interface KfuncCall {
  readonly name: string
  readonly row: KfuncRow
  readonly btf: Btf
  readonly proto: BtfFuncProto
  readonly params: readonly BtfParam[]
  /** Reference of an argument. */
  refId: number
  /** Register that is released, 0 for none. */
  releases: number
  place: IterPlace | null
  dynptr: Reg | null
  /** Value of the constant argument, -1 without one. */
  constant: number
  map: MapFacts | null
  mapUid: number
  callback: number
  /** List or tree among the arguments. */
  root: GraphRoot | null
  /** Type of the allocated object among the arguments, and whether the program owns it. */
  objectId: number
  owned: boolean
}

export function hasFlag(call: KfuncCall, flag: KfuncFlag): boolean {
  return call.row.flags.includes(flag)
}
