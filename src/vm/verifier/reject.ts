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
  | 'ERANGE'
  | 'ENOMEM'
  | 'UNSUPPORTED'

/** Thrown by a check to refuse the program; the message is the kernel's. Caught in verify(). */
export class Reject extends Error {
  readonly errno: RejectErrno
  /** The log has the message already, with more lines after it. */
  readonly logged: boolean

  constructor(errno: RejectErrno, message: string, logged: boolean = false) {
    super(message)
    this.errno = errno
    this.logged = logged
  }
}

export function deny(message: string): never {
  throw new Reject('EACCES', message)
}

export function invalid(message: string, logged: boolean = false): never {
  throw new Reject('EINVAL', message, logged)
}

/** The program uses something whose rules are not implemented: it must not be accepted. */
export function unsupported(what: string): never {
  throw new Reject('UNSUPPORTED', `elfbee's verifier does not know ${what} yet`)
}
