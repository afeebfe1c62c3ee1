/** Seeded numbers. */
export interface Generator {
  below(n: number): number
  chance(percent: number): boolean
  pick<T>(list: readonly T[]): T
  bytes(n: number): Uint8Array
  u32(): number
}
export function generator(seed: number): Generator
export function packet(r: Generator): Uint8Array
export function xdpContext(r: Generator, data: Uint8Array): Uint8Array
export function skbContext(r: Generator, data: Uint8Array): Uint8Array
export function words(r: Generator, count: number): Uint8Array
