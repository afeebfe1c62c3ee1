import { mkdirSync, rmdirSync, unlinkSync } from 'node:fs'
import { dirname } from 'node:path'
import { BpfError } from '../bytes/index.ts'
import { Cmd } from '../uapi/index.ts'
import { cstring } from './attr.ts'
import { pinObject } from './objects.ts'
import { bpfError, native } from './syscall.ts'

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

/** What is to be pinned, and where. */
export interface PinRequest {
  readonly fd: number
  readonly path: string
}

/**
 * Pins all objects, or none when one fails or the process is killed meanwhile. Makes directories as pinAt().
 * @throws BpfError `syscall`
 */
export function pinAllAt(pins: readonly PinRequest[]): void {
  const made = [...new Set(pins.map(({ path }) => dirname(path)))].filter(makeDirectory)
  const fds = pins.map(({ fd }) => fd)
  const result = native().pinAll(
    fds,
    pins.map(({ path }) => cstring(path)),
    Cmd.OBJ_PIN,
  )
  if (result >= 0) return
  for (const directory of made) rmdirSync(directory)
  const failed = pins[-result >> 12]
  throw bpfError(Cmd.OBJ_PIN, -result & 4095, failed === undefined ? {} : { file: failed.path })
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
