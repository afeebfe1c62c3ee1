import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

/** A buffer whose address goes to `offset` in the attribute; `nested` pointers are written into the buffer first. */
export type Pointer = readonly [offset: number, buffer: Uint8Array, nested?: readonly Pointer[]]

/** Calls back when a descriptor is readable. */
export interface NativePoller {
  /** Watches again after stop(); a new poller watches already. */
  start(): void
  stop(): void
  close(): void
  ref(): void
  unref(): void
}

/**
 * What the addon in native/ exports. It has no policy: results are the kernel's, or -errno. Buffers are used where
 * they are, so an attribute that the kernel writes to is changed in place.
 */
export interface NativeBinding {
  /** bpf(2); the last two are struct bpf_common_attr (see BPF_COMMON_ATTRS), which older kernels ignore. */
  bpf(
    cmd: number,
    attr: Uint8Array,
    pointers: readonly Pointer[],
    common?: Uint8Array,
    commonPointers?: readonly Pointer[],
  ): number
  /** The same on a thread of libuv's pool; leave all buffers alone until it resolves. */
  bpfAsync(
    cmd: number,
    attr: Uint8Array,
    pointers: readonly Pointer[],
    common?: Uint8Array,
    commonPointers?: readonly Pointer[],
  ): Promise<number>
  /**
   * OBJ_PIN of each descriptor at its path (zero-terminated), all or none, also when this process is killed meanwhile.
   * 0, or -(errno + 4096 * number of the one that failed).
   */
  pinAll(fds: readonly number[], paths: readonly Uint8Array[], cmd: number): number
  /** Closes a descriptor with this thread's environment, unless close() does before: for workers that are terminated. */
  own(fd: number): void
  close(fd: number): number
  /**
   * mmap(2), with MAP_SHARED unless flags are given, or -errno. A write to a read-only mapping ends the process: never
   * hand it out.
   */
  mmap(
    fd: number,
    length: number,
    protection: number,
    offset: number,
    flags?: number,
    address?: bigint,
  ): ArrayBuffer | number
  /** Detaches the buffer of mmap() and unmaps its memory. */
  detach(buffer: ArrayBuffer): void
  perfEventOpen(
    attr: Uint8Array,
    pid: number,
    cpu: number,
    groupFd: number,
    flags: number,
    pointers?: readonly Pointer[],
  ): number
  ioctl(fd: number, request: number, argument: number): number
  /** setns(2) of the calling thread; every other thread stays where it is. */
  setns(fd: number, namespaceType: number): number
  /** Index of a network interface in the calling thread's network namespace. */
  ifNameToIndex(name: string): number
  /**
   * Sends one request to rtnetlink in the calling thread's network namespace; its answers up to the acknowledgement or
   * the end of a dump, or -errno of the socket.
   */
  netlink(request: Uint8Array): Uint8Array | number
  /** setrlimit(2): no limit of locked memory for this process. */
  unlimitMemlock(): number
  readonly pageSize: number
  readonly Poller: new (fd: number, callback: (status: number) => void) => NativePoller
}

/** Everything of NativeBinding: an addon that lacks one of them was built from another version. */
const EXPORTS: Readonly<Record<keyof NativeBinding, true>> = {
  bpf: true,
  bpfAsync: true,
  pinAll: true,
  own: true,
  close: true,
  mmap: true,
  detach: true,
  perfEventOpen: true,
  ioctl: true,
  setns: true,
  ifNameToIndex: true,
  netlink: true,
  unlimitMemlock: true,
  pageSize: true,
  Poller: true,
}

/** The addon, or why there is none. */
export type BindingResult =
  | { readonly ok: true; readonly binding: NativeBinding; readonly path: string }
  | { readonly ok: false; readonly reasons: readonly string[] }

let cached: BindingResult | undefined

/**
 * Finds the addon: the file that ELFBEE_NATIVE names, then native/build/Release of a checkout, then the package
 * `@elfbee/native-linux-<arch>-<libc>`. Looks once in a process and never throws.
 */
export function loadBinding(): BindingResult {
  cached ??= findBinding(process.platform, process.env['ELFBEE_NATIVE'])
  return cached
}

/** What loadBinding() does, without its memory. @internal */
export function findBinding(platform: string, override: string | undefined): BindingResult {
  if (platform !== 'linux') {
    return { ok: false, reasons: [`this is ${platform}: bpf(2) exists on Linux only; the vm backend runs here`] }
  }
  const require = createRequire(import.meta.url)
  const reasons: string[] = []
  const attempt = (path: string): BindingResult | null => {
    try {
      const binding = require(path) as NativeBinding
      const missing = Object.keys(EXPORTS).find((name) => !(name in binding))
      if (missing === undefined) return { ok: true, binding, path }
      reasons.push(
        'bpf' in binding
          ? `${path} is of another version, without ${missing}: build it again (npm run build:native)`
          : `${path} is not elfbee's addon: it exports no function bpf`,
      )
    } catch (error) {
      reasons.push(`${path} does not load: ${firstLine(error)}`)
    }
    return null
  }

  if (override !== undefined && override !== '') {
    return attempt(override) ?? { ok: false, reasons: [...reasons, 'ELFBEE_NATIVE names it'] }
  }
  // Both src/kernel and dist/kernel are two levels below the root of the checkout.
  const built = fileURLToPath(new URL('../../native/build/Release/elfbee.node', import.meta.url))
  if (existsSync(built)) {
    const found = attempt(built)
    if (found !== null) return found
  }
  const packages = ['gnu', 'musl'].map((libc) => `@elfbee/native-linux-${process.arch}-${libc}`)
  for (const name of packages) {
    try {
      require.resolve(name)
    } catch {
      continue
    }
    const found = attempt(name)
    if (found !== null) return found
  }
  if (reasons.length === 0) {
    const hint = existsSync(fileURLToPath(new URL('../../native/binding.gyp', import.meta.url)))
      ? 'build it with `npm run build:native` (needs g++, make and Python 3)'
      : `install ${packages[0]}, or set ELFBEE_NATIVE to a built elfbee.node`
    reasons.push(`the native addon is absent: ${hint}`)
  }
  return { ok: false, reasons }
}

function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  return text.split('\n', 1)[0] ?? text
}
