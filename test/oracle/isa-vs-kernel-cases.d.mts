import type { ProgramKind } from './fuzz-programs-generate.mts'

/** One program of many fragments, with the operands of its runs. */
export interface Batch {
  readonly name: string
  readonly type: ProgramKind
  readonly text: string
  readonly fragments: number
  readonly runs: readonly (readonly [bigint, bigint])[]
}
export function batches(): Batch[]
export function context(batch: Batch, operands: readonly [bigint, bigint]): Uint8Array
export function testPacket(): Uint8Array
