/**
 * What went wrong, as a word that programs can test.
 *
 * - `truncated`: the input ends before what it promised
 * - `malformed`: the input breaks a rule of its format
 * - `unsupported`: valid, but elfbee does not do it (yet, or by design)
 * - `limit`: a size or count over a stated limit
 * - `not-found`, `ambiguous`: a name that resolves to nothing, or to several different things
 * - `type-mismatch`: a value that does not fit its BTF or declared type
 * - `relocation`: an ELF relocation that cannot be applied
 * - `core`: a CO-RE relocation that cannot be applied
 * - `verifier`: the kernel's (or elfbee's) verifier refused a program
 * - `syscall`: a system call failed; `errno` has its symbolic name
 * - `trap`: a running program was stopped (bad memory access, fuel, missing helper)
 * - `usage`: an argument of a call or of the command line is wrong
 * - `closed`: the handle was closed before
 */
export type BpfErrorCode =
  | 'truncated'
  | 'malformed'
  | 'unsupported'
  | 'limit'
  | 'not-found'
  | 'ambiguous'
  | 'type-mismatch'
  | 'relocation'
  | 'core'
  | 'verifier'
  | 'syscall'
  | 'trap'
  | 'usage'
  | 'closed'

/** Where an error happened; every field that is known is set. */
export interface BpfErrorWhere {
  /** File name as the caller gave it. */
  readonly file?: string
  /** ELF section, or the part of a file ("BTF header"). */
  readonly section?: string
  /** ELF symbol, or BTF type name. */
  readonly symbol?: string
  readonly program?: string
  readonly map?: string
  /** Instruction index (8-byte slots) in the section or program named beside it. */
  readonly insn?: number
  /** Absolute offset in the file, in bytes. */
  readonly offset?: number
  /** C source line from .BTF.ext, "file:line: text". */
  readonly sourceLine?: string
}

/** Options of {@link BpfError}'s constructor. */
export interface BpfErrorOptions {
  readonly where?: BpfErrorWhere
  readonly cause?: unknown
  /** Symbolic errno of a failed system call, such as `EPERM`. */
  readonly errno?: string
  /** Full verifier log, when the kernel gave one. */
  readonly log?: string
}

/** The one error class of elfbee. The message names the wrong value and what was expected. */
export class BpfError extends Error {
  override readonly name: string = 'BpfError'
  readonly code: BpfErrorCode
  readonly where: BpfErrorWhere
  readonly errno: string | undefined
  readonly log: string | undefined

  constructor(code: BpfErrorCode, message: string, options: BpfErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.where = options.where ?? {}
    this.errno = options.errno
    this.log = options.log
  }

  /** The same error with more context: fields of `where` that are already known are kept. */
  within(where: BpfErrorWhere): BpfError {
    const error = new BpfError(this.code, this.message, {
      where: { ...where, ...this.where },
      cause: this.cause,
      ...(this.errno === undefined ? {} : { errno: this.errno }),
      ...(this.log === undefined ? {} : { log: this.log }),
    })
    if (this.stack !== undefined) error.stack = this.stack
    return error
  }
}

/** Whether `value` is a BpfError, also one from another copy of this package. */
export function isBpfError(value: unknown): value is BpfError {
  return value instanceof Error && value.name === 'BpfError' && 'code' in value && 'where' in value
}

/** Runs `work`; a BpfError that it throws gains `where`. */
export function within<T>(where: BpfErrorWhere, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (isBpfError(error)) throw error.within(where)
    throw error
  }
}

/** One line for people: "file: section: message (at offset 0x40)". */
export function formatError(error: BpfError): string {
  const w = error.where
  const parts: string[] = []
  if (w.file !== undefined) parts.push(w.file)
  if (w.section !== undefined) parts.push(`section ${w.section}`)
  if (w.program !== undefined) parts.push(`program ${w.program}`)
  if (w.map !== undefined) parts.push(`map ${w.map}`)
  if (w.symbol !== undefined) parts.push(`symbol ${w.symbol}`)
  if (w.insn !== undefined) parts.push(`insn ${w.insn}`)
  parts.push(error.message)
  let line = parts.join(': ')
  if (w.offset !== undefined) line += ` (at offset 0x${w.offset.toString(16)})`
  if (w.sourceLine !== undefined) line += `\n  ${w.sourceLine}`
  return line
}
