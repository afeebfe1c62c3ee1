import { closeSync, openSync } from 'node:fs'
import { BpfError } from '../../bytes/index.ts'
import { native, syscallError } from '../syscall.ts'

const CLONE_NEWNET = 0x4000_0000
/** The namespace of the calling thread, which setns() moves alone. */
const OWN = '/proc/thread-self/ns/net'

/** Opens the network namespace at a path, ours without one; gives its descriptor to `work`. @throws BpfError `not-found` */
export function withNetns<T>(path: string | undefined, work: (fd: number) => T): T {
  const fd = openNamespace(path ?? OWN)
  try {
    return work(fd)
  } finally {
    closeSync(fd)
  }
}

/**
 * Does `work` in the network namespace at a path, where interface names and indices are those of that namespace. The
 * thread is back in its own when this returns, so `work` must not wait.
 * @throws BpfError `not-found`, `syscall` (EPERM without CAP_SYS_ADMIN)
 */
export function inNetns<T>(path: string | undefined, work: () => T): T {
  if (path === undefined) return work()
  return withNetns(undefined, (own) => {
    withNetns(path, enter)
    try {
      return work()
    } finally {
      enter(own)
    }
  })
}

/** Index of an interface of the current namespace. @throws BpfError `not-found`, `usage` */
export function interfaceIndex(nameOrIndex: string | number): number {
  if (typeof nameOrIndex === 'number') {
    if (Number.isInteger(nameOrIndex) && nameOrIndex > 0 && nameOrIndex < 2 ** 31) return nameOrIndex
    throw new BpfError('usage', `${nameOrIndex} is no index of a network interface`)
  }
  const index = native().ifNameToIndex(nameOrIndex)
  if (index < 0) throw new BpfError('not-found', `there is no network interface "${nameOrIndex}" in this namespace`)
  return index
}

function enter(fd: number): void {
  const result = native().setns(fd, CLONE_NEWNET)
  if (result < 0) throw syscallError('setns', result, {}, 'entering a network namespace needs CAP_SYS_ADMIN')
}

function openNamespace(path: string): number {
  try {
    return openSync(path, 'r')
  } catch (cause) {
    throw new BpfError('not-found', `the network namespace ${path} cannot be opened`, { where: { file: path }, cause })
  }
}
