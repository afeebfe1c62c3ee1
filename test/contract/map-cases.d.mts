import type { MapSpec } from '../../src/loader/index.ts'

/** One map and what is done with it. */
export interface MapCase {
  readonly name: string
  readonly type: number
  readonly shape: Pick<MapSpec, 'keySize' | 'valueSize' | 'maxEntries' | 'flags'>
}
export function mapCases(): Iterable<MapCase>
export function runMapCase(environment: object, each: MapCase, reference?: readonly string[]): string[]
export function packed(results: readonly string[]): string
export function unpacked(text: string): string[]
export function isRecorded(each: MapCase): boolean
