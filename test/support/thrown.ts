import { isBpfError, type BpfError } from '../../src/bytes/index.ts'

/** The BpfError that `work` throws; anything else fails the test. */
export function thrown(work: () => unknown): BpfError {
  try {
    work()
  } catch (error) {
    if (isBpfError(error)) return error
    throw error
  }
  throw new Error('nothing was thrown')
}
