import { BpfError, isBpfError } from '../../../bytes/index.ts'
import { Errno, errnoName } from '../../../uapi/index.ts'

/** Result of `work`, or -ENOMEM when the vm's memory is used up. */
export function orNoMemory(work: () => number): number {
  try {
    return work()
  } catch (error) {
    if (isBpfError(error) && error.code === 'limit' && error.errno === 'ENOMEM') return -Errno.ENOMEM
    throw error
  }
}

/** Failure of an operation on a map, with the kernel's errno. */
export function mapError(operation: string, name: string, errno: number): BpfError {
  const word = errnoName(errno) ?? String(errno)
  return new BpfError('syscall', `${operation} in map ${name}: ${word}`, { errno: word, where: { map: name } })
}
