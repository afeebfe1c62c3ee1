export type Form = 'load' | 'number' | 'signed' | 'store' | 'constant'
export const LARGEST_CONTEXT: number
export const SIZES: readonly number[]
export const FORMS: readonly Form[]
export function place(size: number, at: number): string
export function accessText(form: Form, size: number, at: number, retval: number): string | null
export const HELPERS_TRIED: number
export const NOT_OFFERED: RegExp
