import type { Link } from '../../loader/index.ts'
import { AttachType, Errno } from '../../uapi/index.ts'
import { cstring } from '../attr.ts'
import type { Pointer } from '../binding.ts'
import { findBinary, globPattern, splitArchive, UserBinary } from './binary.ts'
import type { AttachSite } from './site.ts'
import { readTracefs } from './tracefs.ts'

/** BPF_F_KPROBE_MULTI_RETURN and BPF_F_UPROBE_MULTI_RETURN. */
const RETURN = 1

/** kprobe.multi, kretprobe.multi and kprobe.session: many kernel functions at once (Linux 5.18; sessions 6.10). */
export function attachKprobeMulti(site: AttachSite): Link {
  site.allow('a multi kprobe', ['target', 'symbols', 'cookies', 'retprobe'])
  const symbols = site.options.symbols ?? kernelFunctions(site)
  if (symbols.length === 0) throw site.usage('a multi kprobe needs at least one function')
  const pointers = new Uint8Array(symbols.length * 8)
  const nested = symbols.map((symbol, index): Pointer => [index * 8, cstring(symbol)])
  const session = site.attachType === AttachType.TRACE_KPROBE_SESSION
  return site.link(
    {
      attach_type: session ? AttachType.TRACE_KPROBE_SESSION : AttachType.TRACE_KPROBE_MULTI,
      'kprobe_multi.flags': site.retprobe && !session ? RETURN : 0,
      'kprobe_multi.cnt': symbols.length,
      'kprobe_multi.syms': pointers,
      'kprobe_multi.cookies': cookiesOf(site, site.options.cookies, symbols.length),
    },
    {
      [Errno.ESRCH]: 'one of the functions is not in the kernel, or cannot be traced',
      [Errno.EINVAL]:
        'the kernel has no multi kprobes (5.18) or no sessions (6.10), or the program was loaded for others',
      [Errno.EOPNOTSUPP]: 'the kernel has no multi kprobes (CONFIG_FPROBE)',
    },
    { 'kprobe_multi.syms': nested },
  )
}

/** uprobe.multi, uretprobe.multi and uprobe.session: many functions of one binary (Linux 6.6; sessions 6.13). */
export function attachUprobeMulti(site: AttachSite): Link {
  site.allow('a multi uprobe', ['target', 'binary', 'symbols', 'offsets', 'cookies', 'pid', 'retprobe'])
  const { options } = site
  const colon = site.target?.lastIndexOf(':') ?? -1
  const binary = options.binary ?? (colon > 0 ? site.target?.slice(0, colon) : undefined)
  if (binary === undefined)
    throw site.usage('the section names no "binary:functions": give the options binary and symbols')
  const path = findBinary(binary)
  const offsets = options.offsets ?? userFunctions(site, path, colon > 0 ? site.target?.slice(colon + 1) : undefined)
  if (offsets.length === 0) throw site.usage('a multi uprobe needs at least one place')
  const session = site.attachType === AttachType.TRACE_UPROBE_SESSION
  return linkUprobes(site, session ? AttachType.TRACE_UPROBE_SESSION : AttachType.TRACE_UPROBE_MULTI, {
    path: splitArchive(path)[0],
    offsets,
    cookies: options.cookies,
    semaphores: undefined,
    pid: options.pid,
    retprobe: site.retprobe && !session,
  })
}

/** Places in one file; cookies and semaphores are given for each of them, or for none. */
export interface UprobePlaces {
  readonly path: string
  readonly offsets: readonly number[]
  readonly cookies: readonly (number | bigint)[] | undefined
  /** Offsets of USDT semaphores, 0 for none. */
  readonly semaphores: readonly number[] | undefined
  readonly pid: number | undefined
  readonly retprobe?: boolean
}

/** One link for many uprobes. @throws BpfError `usage`, `syscall` */
export function linkUprobes(site: AttachSite, attachType: AttachType, places: UprobePlaces): Link {
  const { path, offsets, semaphores } = places
  return site.link(
    {
      attach_type: attachType,
      'uprobe_multi.path': path,
      'uprobe_multi.offsets': words(offsets),
      'uprobe_multi.ref_ctr_offsets': semaphores === undefined ? undefined : words(semaphores),
      'uprobe_multi.cookies': cookiesOf(site, places.cookies, offsets.length),
      'uprobe_multi.cnt': offsets.length,
      'uprobe_multi.flags': places.retprobe === true ? RETURN : 0,
      'uprobe_multi.pid': places.pid,
    },
    {
      [Errno.ENOENT]: `there is no file ${path}`,
      [Errno.ESRCH]: 'there is no such process',
      [Errno.EBADF]: `${path} is no regular file`,
      [Errno.EINVAL]:
        'the kernel has no multi uprobes (6.6) or no sessions (6.13), or the program was loaded for others',
    },
  )
}

function words(values: readonly (number | bigint)[]): Uint8Array {
  return new Uint8Array(BigUint64Array.from(values, (value) => BigInt.asUintN(64, BigInt(value))).buffer)
}

/** Cookies as the kernel wants them, undefined without any. @throws BpfError `usage` for another number of them */
export function cookiesOf(
  site: AttachSite,
  cookies: readonly (number | bigint)[] | undefined,
  count: number,
): Uint8Array | undefined {
  if (cookies === undefined) return undefined
  if (cookies.length !== count) throw site.usage(`${cookies.length} cookies were given for ${count} places`)
  return words(cookies)
}

function userFunctions(site: AttachSite, path: string, glob: string | undefined): readonly number[] {
  const binary = new UserBinary(path)
  if (site.options.symbols !== undefined) return site.options.symbols.map((symbol) => binary.offsetOf(symbol))
  if (glob === undefined) throw site.usage('a multi uprobe needs symbols, offsets or a glob')
  return /[*?]/.test(glob) ? binary.matching(glob).map((fn) => fn.offset) : [binary.offsetOf(glob)]
}

function kernelFunctions(site: AttachSite): readonly string[] {
  const glob = site.target
  if (glob === null) throw site.usage('the section names no kernel functions: give the option symbols')
  if (!/[*?]/.test(glob)) return [glob]
  const list = readTracefs('available_filter_functions')
  if (list === null) throw site.unsupported('the list of traceable functions needs tracefs (mount -t tracefs …)')
  const pattern = globPattern(glob)
  const found = new Set<string>()
  for (const line of list.split('\n')) {
    const name = line.split(/\s/, 1)[0] ?? ''
    // Compilers' copies ("name.isra.0") and weak leftovers cannot be named alone.
    if (pattern.test(name) && !name.includes('.') && !name.startsWith('__ftrace_invalid_address__')) found.add(name)
  }
  if (found.size === 0) throw site.usage(`no traceable function of the kernel is like "${glob}"`)
  return [...found]
}
