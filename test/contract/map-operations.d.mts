import type { LoadedObject } from '../../src/loader/index.ts'

export const OPS: number
export const OWN_RESULTS: ReadonlySet<string>
export function operations(seed: number): Uint8Array
export interface Performed {
  readonly retval: number
  readonly results: number[]
  readonly records: string[]
}
export function performed(object: LoadedObject, program: string, packet: Uint8Array): Performed
export function comparable(program: string, packet: Uint8Array, results: readonly number[]): readonly (number | null)[]
export function contentsFor(object: LoadedObject, program: string): string[]
