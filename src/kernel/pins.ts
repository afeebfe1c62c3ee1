import { mkdirSync, rmdirSync, unlinkSync } from 'node:fs'
import { dirname } from 'node:path'
import { BpfError } from '../bytes/index.ts'
import { pinObject } from './objects.ts'

/**
 * Pins the object behind a descriptor, and makes the directory when only that is missing (as libbpf does).
 * @throws BpfError `syscall`
 */
export function pinAt(fd: number, path: string): void {
  const made = makeDirectory(dirname(path))
  try {
    pinObject(fd, path)
  } catch (error) {
    if (made) rmdirSync(dirname(path))
    throw error
  }
}

/** Removes a pin; the object lives on while something uses it. @throws BpfError `syscall` */
export function unpinAt(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    const errno = (error as { code?: string }).code ?? 'EIO'
    throw new BpfError('syscall', `the pin cannot be removed: ${errno}`, { errno, where: { file: path } })
  }
}

function makeDirectory(path: string): boolean {
  try {
    mkdirSync(path, { mode: 0o700 })
    return true
  } catch {
    // It is there, or pinning says what is wrong with it.
    return false
  }
}
