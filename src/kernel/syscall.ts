import { BpfError, type BpfErrorWhere } from '../bytes/index.ts'
import { Cmd, commandName, errnoName } from '../uapi/index.ts'
import type { Attr, AttrPart } from './attr.ts'
import { loadBinding, type NativeBinding } from './binding.ts'
import { errnoHint } from './hints.ts'
import { addToken } from './token.ts'

/**
 * The addon.
 * @throws BpfError `unsupported` with the reasons when there is none
 */
export function native(): NativeBinding {
  const result = loadBinding()
  if (!result.ok) throw new BpfError('unsupported', `the kernel cannot be used: ${result.reasons.join('; ')}`)
  return result.binding
}

/** bpf(2). Returns its result, or -errno; `attr` holds what the kernel wrote back. */
export function tryBpf<P extends AttrPart>(cmd: number, attr: Attr<P>): number {
  const binding = native()
  addToken(binding, cmd, attr.bytes)
  return binding.bpf(cmd, attr.bytes, attr.pointers)
}

/**
 * bpf(2). Returns its result.
 * @throws BpfError `syscall`
 */
export function bpf<P extends AttrPart>(cmd: number, attr: Attr<P>, where?: BpfErrorWhere): number {
  const result = tryBpf(cmd, attr)
  if (result < 0) throw bpfError(cmd, result, where)
  return result
}

/** Makes the calls of bpf(2) that a generator yields the attributes of, and hands it their results. */
export function makeCalls<P extends AttrPart, T>(cmd: number, calls: Generator<Attr<P>, T, number>): T {
  let step = calls.next()
  while (step.done !== true) step = calls.next(tryBpf(cmd, step.value))
  return step.value
}

/** The same on a thread of libuv's pool, so that long calls do not block the event loop. */
export async function makeCallsAsync<P extends AttrPart, T>(
  cmd: number,
  calls: Generator<Attr<P>, T, number>,
): Promise<T> {
  let step = calls.next()
  while (step.done !== true) {
    const { bytes, pointers } = step.value
    const binding = native()
    addToken(binding, cmd, bytes)
    step = calls.next(await binding.bpfAsync(cmd, bytes, pointers))
  }
  return step.value
}

/** The error of a failed bpf(2); `errno` may have either sign. */
export function bpfError(cmd: number, errno: number, where: BpfErrorWhere = {}, detail: string = ''): BpfError {
  return syscallError(`bpf(BPF_${commandName(cmd).toUpperCase()})`, errno, where, detail || errnoHint(cmd, errno))
}

/** The error of a failed system call. */
export function syscallError(call: string, errno: number, where: BpfErrorWhere = {}, detail: string = ''): BpfError {
  const name = errnoName(errno)
  return new BpfError('syscall', `${call} failed with ${name}${detail === '' ? '' : `: ${detail}`}`, {
    errno: name,
    where,
  })
}

/** Closes a descriptor; errors of close(2) mean nothing to a caller and are ignored. */
export function closeFd(fd: number): void {
  native().close(fd)
}

/** Whether the result of tryBpf() is this error. */
export function isErrno(result: number, errno: number): boolean {
  return result === -errno
}

export { Cmd }
