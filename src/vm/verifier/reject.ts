/** Errno of a refusal; `UNSUPPORTED` when the kernel may accept but this verifier does not know the feature. */
export type RejectErrno =
  | 'EACCES'
  | 'EINVAL'
  | 'E2BIG'
  | 'EPERM'
  | 'ENOTSUPP'
  | 'EOPNOTSUPP'
  | 'EFAULT'
  | 'ENOENT'
  | 'EEXIST'
  | 'ESRCH'
  | 'ERANGE'
  | 'ENOMEM'
  | 'UNSUPPORTED'

/**
 * Thrown by a check to refuse the program; the words are the kernel's. The last line is the message, lines before it are
 * only in the log. Caught in verify().
 */
export class Reject extends Error {
  readonly errno: RejectErrno
  /** The log has the message already, with more lines after it. */
  readonly logged: boolean

  /** All lines. */
  readonly text: string

  constructor(errno: RejectErrno, text: string, logged: boolean = false) {
    super(text.slice(text.lastIndexOf('\n') + 1))
    this.errno = errno
    this.text = text
    this.logged = logged
  }
}

export function deny(text: string): never {
  throw new Reject('EACCES', text)
}

export function invalid(text: string, logged: boolean = false): never {
  throw new Reject('EINVAL', text, logged)
}

/** The program uses something whose rules are not known here: it must not be accepted. */
export function unsupported(what: string): never {
  throw new Reject('UNSUPPORTED', `elfbee's verifier does not know ${what} yet`)
}
