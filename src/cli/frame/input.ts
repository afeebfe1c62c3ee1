import { readFileSync } from 'node:fs'
import { BpfError } from '../../bytes/index.ts'

/** Larger files are no BPF objects, captures or type information. */
const MAX_FILE_SIZE = 1 << 30

/** Contents of a file named on the command line. @throws the system's error, with the path */
export function readInput(path: string): Uint8Array {
  let bytes: Buffer
  try {
    bytes = readFileSync(path)
  } catch (error) {
    // Of a directory, the error does not say which.
    if (error instanceof Error && !('path' in error)) Object.assign(error, { path })
    throw error
  }
  if (bytes.length > MAX_FILE_SIZE)
    throw new BpfError('limit', `more than ${MAX_FILE_SIZE} bytes`, { where: { file: path } })
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
