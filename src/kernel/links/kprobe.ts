import type { Link } from '../../loader/index.ts'
import { hasFeature } from '../features/index.ts'
import { attachProbe } from './probe-event.ts'
import type { AttachSite } from './site.ts'

/** kprobes and kretprobes: "function+offset", or the options. */
export function attachKprobe(site: AttachSite): Link {
  site.allow('a kprobe', ['target', 'symbol', 'offset', 'retprobe', 'cookie', 'attachMode'])
  return attachKernelFunction(site, site.options.symbol ?? site.target)
}

/** ksyscall and kretsyscall: the function behind a system call. */
export function attachKsyscall(site: AttachSite): Link {
  site.allow('a system call', ['target', 'symbol', 'retprobe', 'cookie', 'attachMode'])
  const name = site.options.symbol ?? site.target
  if (name === null) throw site.usage('the section names no system call: give the option symbol')
  // Kernels with wrappers (since 4.17) name the functions by machine.
  const machine = process.arch === 'arm64' ? '__arm64_sys_' : '__x64_sys_'
  const prefix = hasFeature('syscallWrapper') ? machine : '__se_sys_'
  return attachKernelFunction(site, prefix + name)
}

function attachKernelFunction(site: AttachSite, target: string | null): Link {
  if (target === null) throw site.usage('the section names no kernel function: give the option symbol')
  const match = /^(.+?)(?:\+(0x[0-9a-f]+|\d+))?$/i.exec(target)
  const symbol = match?.[1] ?? target
  const offset = Number(match?.[2] ?? 0) + (site.options.offset ?? 0)
  return attachProbe(site, { source: 'kprobe', name: symbol, offset, retprobe: site.retprobe })
}
