import type { Link } from '../../loader/index.ts'
import { BtfKind } from '../../btf/index.ts'
import { Errno } from '../../uapi/index.ts'
import { vmlinuxBtf } from '../kernel-btf.ts'
import { globPattern } from './binary.ts'
import { cookiesOf } from './multi.ts'
import type { AttachSite } from './site.ts'
import { readTracefs } from './tracefs.ts'

/** fentry.multi, fexit.multi and fsession.multi: many functions of the kernel by one link (Linux 7.2). */
export function attachTracingMulti(site: AttachSite): Link {
  site.allow('a multi trace', ['target', 'symbols', 'cookies'])
  const ids = functionIds(site)
  return site.link(
    {
      attach_type: site.attachType ?? 0,
      'tracing_multi.ids': new Uint8Array(Uint32Array.from(ids).buffer),
      'tracing_multi.cookies': cookiesOf(site, site.options.cookies, ids.length),
      'tracing_multi.cnt': ids.length,
    },
    {
      [Errno.EINVAL]: 'the kernel has no multi traces (7.2), or the program was loaded for others',
      [Errno.EOPNOTSUPP]: 'the kernel has no multi traces (CONFIG_HAVE_SINGLE_FTRACE_DIRECT_OPS)',
      [Errno.ENOENT]: 'one of the functions cannot be traced',
    },
  )
}

function functionIds(site: AttachSite): readonly number[] {
  const btf = vmlinuxBtf()
  if (btf === null) throw site.unsupported('the kernel has no BTF to look its functions up in')
  const idOf = (name: string): number => {
    const id = btf.findByName(name, BtfKind.FUNC)
    if (id === undefined) throw site.notFound(`the kernel has no function "${name}" in its BTF`)
    return id
  }
  const { symbols } = site.options
  if (symbols !== undefined) return symbols.map(idOf)
  const glob = site.target
  if (glob === null) throw site.usage('the section names no functions of the kernel: give the option symbols')
  if (!/[*?]/.test(glob)) return [idOf(glob)]
  const list = readTracefs('available_filter_functions')
  if (list === null) throw site.unsupported('the list of traceable functions needs tracefs (mount -t tracefs …)')
  const pattern = globPattern(glob)
  const names = new Set(list.split('\n').map((line) => line.split(/\s/, 1)[0] ?? ''))
  const ids = [...names]
    .filter((name) => pattern.test(name))
    .map((name) => btf.findByName(name, BtfKind.FUNC))
    .filter((id) => id !== undefined)
  if (ids.length === 0) throw site.notFound(`no traceable function of the kernel is like "${glob}"`)
  // Copies of inlined functions share a name, and the kernel wants each once.
  return [...new Set(ids)]
}
