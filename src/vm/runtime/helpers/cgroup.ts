import { encodeUtf8 } from '../../../bytes/index.ts'
import { Errno, HelperId } from '../../../uapi/index.ts'
import type { Runtime } from '../runtime.ts'
import type { Helper, HelperGroup } from './helper.ts'
import { structOf } from './sockets.ts'

/** bpf_sysctl_get_name: only the last part of the path (BPF_F_SYSCTL_BASE_NAME). */
const BASE_NAME = 1
/** The most that the kernel takes as return value of a cgroup program's caller. */
const MAX_ERRNO = 4095

function textOf(rt: Runtime, name: string): string | null {
  const value = structOf(rt).extras.get(name)
  return typeof value === 'string' ? value : null
}

/** Copies text with its zero byte: its length, or -E2BIG when only a part of it fits. */
function copyText(rt: Runtime, buffer: number, size: number, text: string): number {
  if (size === 0) return -Errno.E2BIG
  const bytes = encodeUtf8(text)
  const kept = bytes.subarray(0, size - 1)
  rt.memory.fill(buffer, 0, size)
  rt.memory.write(buffer, kept)
  return kept.length < bytes.length ? -Errno.E2BIG : bytes.length
}

const getName: Helper = (rt, _ctx, _buffer, size) => {
  const buffer = rt.pointer(2, size, 'a buffer')
  const flags = rt.flags(4)
  if ((flags & ~BASE_NAME) !== 0) return -Errno.EINVAL
  const path = textOf(rt, 'name') ?? ''
  return copyText(rt, buffer, size, flags === BASE_NAME ? path.slice(path.lastIndexOf('/') + 1) : path)
}

const getCurrent: Helper = (rt, _ctx, _buffer, size) => {
  const buffer = rt.pointer(2, size, 'a buffer')
  const value = textOf(rt, 'value')
  if (value === null) {
    rt.memory.fill(buffer, 0, size)
    return -Errno.EINVAL
  }
  return copyText(rt, buffer, size, value)
}

const getNew: Helper = (rt, _ctx, _buffer, size) => {
  const buffer = rt.pointer(2, size, 'a buffer')
  const value = structOf(rt).get('write') === 0n ? null : textOf(rt, 'newValue')
  if (value === null) {
    rt.memory.fill(buffer, 0, size)
    return -Errno.EINVAL
  }
  return copyText(rt, buffer, size, value)
}

const setNew: Helper = (rt, _ctx, _buffer, size) => {
  const buffer = rt.pointer(2, size, 'a buffer')
  const context = structOf(rt)
  if (context.get('write') === 0n || size === 0) return -Errno.EINVAL
  const bytes = rt.memory.cString(buffer, size) ?? new Uint8Array(0)
  context.extras.set('newValue', String.fromCharCode(...bytes))
  return 0
}

/** Programs that are attached to cgroups. */
export const CGROUP_HELPERS: HelperGroup = {
  [HelperId.sysctl_get_name]: getName,
  [HelperId.sysctl_get_current_value]: getCurrent,
  [HelperId.sysctl_get_new_value]: getNew,
  [HelperId.sysctl_set_new_value]: setNew,
  [HelperId.get_retval]: (rt) => rt.run?.callerResult ?? 0,
  [HelperId.set_retval]: (rt, value) => {
    const signed = value | 0
    if (signed !== 0 && (signed > 0 || signed < -MAX_ERRNO)) return -Errno.EINVAL
    if (rt.run !== null) rt.run.callerResult = signed
    rt.effect('bpf_set_retval', { retval: signed })
    return 0
  },
}
