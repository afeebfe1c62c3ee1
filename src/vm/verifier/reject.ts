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
  | 'ESRCH'
  | 'ERANGE'
  | 'ENOMEM'
  | 'UNSUPPORTED'

/** Thrown by a check to refuse the program; the message is the kernel's. Caught in verify(). */
export class Reject extends Error {
  readonly errno: RejectErrno

  constructor(errno: RejectErrno, message: string) {
    super(message)
    this.errno = errno
  }
}

export function deny(message: string): never {
  throw new Reject('EACCES', message)
}

export function invalid(message: string): never {
  throw new Reject('EINVAL', message)
}

/** The program uses something whose rules are not implemented: it must not be accepted. */
export function unsupported(what: string): never {
  throw new Reject('UNSUPPORTED', `elfbee's verifier does not know ${what} yet`)
}
