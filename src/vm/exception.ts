import { BtfKind, type Btf } from '../btf/index.ts'
import type { ProgramFunction } from '../loader/index.ts'

const PREFIX = 'exception_callback:'

/** What is known of a program's exceptions. */
export interface ExceptionFacts {
  /** It calls bpf_throw. */
  readonly throws: boolean
  /** Index of its exception callback, see exceptionHandler(). */
  readonly handler: number | null
}

/** Thrown by bpf_throw: ends the program, whose exception callback makes the result of the cookie. */
export class ProgramException extends Error {
  readonly cookie: bigint

  constructor(cookie: bigint) {
    super('bpf_throw')
    this.cookie = cookie
  }
}

/**
 * Index of the function that the entry's decl tag `exception_callback:NAME` names (__exception_cb() in C); null for none,
 * where the cookie itself is the result.
 */
export function exceptionHandler(btf: Btf | null, functions: readonly ProgramFunction[]): number | null {
  const entry = functions[0]?.btfId ?? 0
  if (btf === null || entry === 0) return null
  for (const id of btf.ids()) {
    const type = btf.type(id)
    if (type.kind !== BtfKind.DECL_TAG || type.type !== entry || !type.name.startsWith(PREFIX)) continue
    const index = functions.findIndex(({ name }) => name === type.name.slice(PREFIX.length))
    if (index > 0) return index
  }
  return null
}
