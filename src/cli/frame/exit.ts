/**
 * Exit codes of every command.
 *
 * - `ok`: the work is done (also when the program dropped the packet, or `doctor` found things missing)
 * - `failure`: it could not be done: a file that cannot be read, a broken object, a system call that failed, a trap
 * - `usage`: the command line is wrong
 * - `refused`: the object is fine as a file, but one of its programs did not load; the others did their part
 * - `interrupted`: Ctrl-C
 */
export const ExitCode = { ok: 0, failure: 1, usage: 2, refused: 3, interrupted: 130 } as const
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]

/** The same for people: end of every --help. */
export const EXIT_CODES_HELP = `
Exit codes:
  0    done
  1    failed: unreadable file, broken object, system call error, trap
  2    wrong command line
  3    a program of the object did not load (verifier, CO-RE, extern); what could be done was done
  130  interrupted`
