import { Flag, type Kind } from '../state/register.ts'

/**
 * Sizes in which a field may be accessed: exactly, or any smaller power of two as well (`start4`: only from its first
 * byte on; `half4`: but not single bytes).
 */
export type Sizes = 4 | 8 | 1 | 'narrow4' | 'narrow8' | 'narrow2' | 'start4' | 'half4' | 'any'

/** A range of a context structure with the same rules. Offsets in bytes, `end` exclusive. */
export interface ContextField {
  readonly at: number
  readonly end: number
  readonly read: Sizes | null
  readonly write: Sizes | null
  /** Pointer that a load gives; a plain number otherwise. */
  readonly gives?: Kind
  readonly flags?: number
  /** Kernel structure of a `ptr_`. */
  readonly struct?: string
  /** Attach types for which the field exists, all when absent. */
  readonly attach?: readonly number[]
  /** Attach types for which it may be written, all when absent. */
  readonly writeAttach?: readonly number[]
  /** Eight-byte accesses of two words are allowed as well. */
  readonly wide?: boolean
  /** What needs CAP_BPF. */
  readonly needBpf?: 'all' | 'write'
}

export const OR_NULL: number = Flag.MAYBE_NULL

/** A readable field of `size` bytes. */
export function ro(at: number, size: number = 4, sizes: Sizes = 'narrow4'): ContextField {
  return { at, end: at + size, read: sizes, write: null }
}

export function rw(at: number, size: number = 4, read: Sizes = 'narrow4', write: Sizes = 4): ContextField {
  return { at, end: at + size, read, write }
}

/** A field whose value is a pointer. */
export function ptr(at: number, size: 4 | 8, gives: Kind, flags: number = 0): ContextField {
  return { at, end: at + size, read: size, write: null, gives, flags }
}

/** @param at offset in the field */
export function fits(sizes: Sizes, size: number, at: number): boolean {
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- all others are treated alike below
  switch (sizes) {
    case 'any':
      return true
    case 'narrow2':
      return size <= 2
    case 'narrow4':
      return size <= 4
    case 'start4':
      return size <= 4 && at === 0
    case 'half4':
      return size === 2 || size === 4
    case 'narrow8':
      return size <= 8
    default:
      return size === sizes
  }
}
