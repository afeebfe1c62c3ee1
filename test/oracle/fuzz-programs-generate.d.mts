/** Maps that programs refer to by number. */
export const MAPS: readonly {
  readonly name: string
  readonly type: number
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
}[]
export type ProgramKind = 'xdp' | 'tc' | 'syscall'
export const TYPES: Readonly<Record<ProgramKind, number>>
export function generateProgram(seed: number): { type: ProgramKind; text: string }
export function generateInput(seed: number, index: number, type: ProgramKind): { data?: Uint8Array; ctx?: Uint8Array }
