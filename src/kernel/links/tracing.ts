import { close as closeFile, read, readSync } from 'node:fs'
import { promisify } from 'node:util'
import type { IteratorLink, IteratorTarget, Link } from '../../loader/index.ts'
import { AttachType, Cmd, Errno } from '../../uapi/index.ts'
import { Attr } from '../attr.ts'
import { bpf, closeFd, syscallError, tryBpf } from '../syscall.ts'
import { KernelLink, mapFd, tryLink } from './link.ts'
import { withDirectory } from './net.ts'
import type { AttachSite, Hints } from './site.ts'

/** The kernel writes at most one page multiple of its own buffer; 8 pages hold what most iterators give at once. */
const CHUNK = 32 * 1024
/** enum bpf_cgroup_iter_order. */
const ORDER = { self: 1, 'descendants-pre': 2, 'descendants-post': 3, 'ancestors-up': 4, children: 5 } as const

const RAW: Hints = {
  [Errno.ENOENT]: 'the kernel has no such tracepoint',
  [Errno.EINVAL]: 'the program reads more arguments than the tracepoint has, or is of another type',
}

/** Raw tracepoints, by BPF_RAW_TRACEPOINT_OPEN (Linux 4.17; cookies 6.10). */
export function attachRawTracepoint(site: AttachSite): Link {
  site.allow('a raw tracepoint', ['target', 'cookie'])
  const { target } = site
  if (target === null) throw site.usage('the section names no raw tracepoint: give the option target')
  // "raw_tp/sched/sched_switch" may name the category, which the kernel does not want.
  const name = target.slice(target.lastIndexOf('/') + 1)
  const attr = new Attr('RAW_TRACEPOINT_OPEN', { name, prog_fd: site.fd, cookie: site.cookie })
  const fd = tryBpf(Cmd.RAW_TRACEPOINT_OPEN, attr)
  if (fd < 0) throw site.failed(Cmd.RAW_TRACEPOINT_OPEN, fd, { ...RAW, [Errno.ENOENT]: `no raw tracepoint "${name}"` })
  return new KernelLink(fd, site.what)
}

/** tp_btf, fentry, fexit, fmod_ret, freplace and lsm: the target was chosen at load. */
export function attachTrace(site: AttachSite): Link {
  site.allow('a traced function', ['cookie'])
  const fd = tryLink({
    prog_fd: site.fd,
    attach_type: site.attachType ?? 0,
    'tracing.cookie': site.cookie,
  })
  if (fd >= 0) return new KernelLink(fd, site.what)
  if (fd !== -Errno.EINVAL || site.cookie !== 0n) throw site.failed(Cmd.LINK_CREATE, fd, TRACE)
  // Before Linux 5.17 this was the only way.
  const old = tryBpf(Cmd.RAW_TRACEPOINT_OPEN, new Attr('RAW_TRACEPOINT_OPEN', { prog_fd: site.fd }))
  if (old < 0) throw site.failed(Cmd.RAW_TRACEPOINT_OPEN, old, TRACE)
  return new KernelLink(old, site.what)
}

const TRACE: Hints = {
  [Errno.EINVAL]: 'the kernel does not attach this kind of program, or knows no cookies for it (before Linux 6.0)',
  [Errno.EBUSY]: 'the function has a program that changes its result already',
  [Errno.EOPNOTSUPP]: 'the kernel cannot change this function (no ftrace, or no BPF trampolines)',
  [Errno.ENOTSUPP]: 'the kernel cannot change this function (no ftrace, or no BPF trampolines)',
  [Errno.EPERM]: 'the kernel, or its lockdown, forbids to attach to functions',
}

/** Iterators (Linux 5.8); the link makes a new walk for every read. */
export function attachIterator(site: AttachSite): IteratorLink {
  site.allow('an iterator', ['iterator', 'flags'])
  const target = site.options.iterator ?? {}
  return withIteratorInfo(target, (info) => {
    const fd = site.linkFd(
      {
        attach_type: AttachType.TRACE_ITER,
        flags: site.options.flags,
        iter_info: info ?? undefined,
        iter_info_len: info?.length,
      },
      {
        [Errno.EINVAL]: 'this iterator does not take these parameters, or needs some (a map, a cgroup)',
        [Errno.EBADF]: 'this iterator needs a map: give iterator: { map }',
        [Errno.EPERM]: 'no access to that map or cgroup',
      },
    )
    return new KernelIteratorLink(fd, site.what)
  })
}

/** union bpf_iter_link_info, null when nothing is chosen. */
function withIteratorInfo<T>(target: IteratorTarget, work: (info: Uint8Array | null) => T): T {
  const info = new Uint8Array(16)
  const view = new DataView(info.buffer)
  if (target.map !== undefined) {
    view.setUint32(0, mapFd(target.map), true)
    return work(info)
  }
  if (target.cgroup !== undefined || target.order !== undefined) {
    view.setUint32(0, ORDER[target.order ?? 'descendants-pre'], true)
    if (target.cgroup === undefined) return work(info)
    return withDirectory(target.cgroup, (fd) => {
      view.setUint32(4, fd, true)
      return work(info)
    })
  }
  if (target.tid === undefined && target.pid === undefined) return work(null)
  view.setUint32(0, target.tid ?? 0, true)
  view.setUint32(4, target.pid ?? 0, true)
  return work(info)
}

/** Link of an iterator program. */
export class KernelIteratorLink extends KernelLink implements IteratorLink {
  async *chunks(options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<Uint8Array, void, undefined> {
    const { signal } = options
    signal?.throwIfAborted()
    const fd = this.#walk()
    try {
      for (;;) {
        const buffer = new Uint8Array(CHUNK)
        const count = await readAgain(fd, buffer)
        signal?.throwIfAborted()
        if (count === 0) return
        yield buffer.subarray(0, count)
      }
    } finally {
      closeFile(fd, () => {})
    }
  }

  async text(options: { readonly signal?: AbortSignal } = {}): Promise<string> {
    const decoder = new TextDecoder()
    let text = ''
    for await (const chunk of this.chunks(options)) text += decoder.decode(chunk, { stream: true })
    return text + decoder.decode()
  }

  readSync(): Uint8Array {
    const fd = this.#walk()
    const chunks: Uint8Array[] = []
    try {
      for (;;) {
        const buffer = new Uint8Array(CHUNK)
        const count = readOnce(fd, buffer)
        if (count === 0) break
        chunks.push(buffer.subarray(0, count))
      }
    } finally {
      closeFd(fd)
    }
    return new Uint8Array(Buffer.concat(chunks))
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string, void, undefined> {
    const decoder = new TextDecoder()
    let rest = ''
    for await (const chunk of this.chunks()) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
      rest = lines.pop() ?? ''
      yield* lines
    }
    rest += decoder.decode()
    if (rest !== '') yield rest
  }

  #walk(): number {
    return bpf(Cmd.ITER_CREATE, new Attr('ITER_CREATE', { link_fd: this.fd }))
  }
}

const readAsync = promisify(read)

/** The kernel gives EAGAIN when it stops to let others run in the middle of a long walk. */
async function readAgain(fd: number, buffer: Uint8Array): Promise<number> {
  for (;;) {
    try {
      return (await readAsync(fd, buffer, 0, buffer.length, null)).bytesRead
    } catch (error) {
      checkAgain(error)
    }
  }
}

function readOnce(fd: number, buffer: Uint8Array): number {
  for (;;) {
    try {
      return readSync(fd, buffer, 0, buffer.length, null)
    } catch (error) {
      checkAgain(error)
    }
  }
}

function checkAgain(error: unknown): void {
  if (!(error instanceof Error && 'errno' in error && typeof error.errno === 'number')) throw error
  if (error.errno === -Errno.EAGAIN) return
  throw syscallError('read', error.errno, {}, error.errno === -Errno.E2BIG ? 'the iterator wrote too much at once' : '')
}
