import type { Link } from '../../loader/index.ts'
import { findBinary, splitArchive, UserBinary } from './binary.ts'
import { attachProbe } from './probe-event.ts'
import type { AttachSite } from './site.ts'

/** uprobes and uretprobes: "binary:function+offset", or the options. */
export function attachUprobe(site: AttachSite): Link {
  site.allow('a uprobe', [
    'target',
    'binary',
    'symbol',
    'offset',
    'pid',
    'retprobe',
    'semaphore',
    'cookie',
    'attachMode',
  ])
  const { options } = site
  const colon = site.target?.lastIndexOf(':') ?? -1
  const named = colon > 0 ? (site.target as string) : null
  const binary = options.binary ?? named?.slice(0, colon)
  const symbol = options.symbol ?? (options.offset === undefined ? named?.slice(colon + 1) : undefined)
  if (binary === undefined)
    throw site.usage('the section names no "binary:function": give the options binary and symbol')
  const path = findBinary(binary)
  const isAddress = symbol !== undefined && /^(0x[0-9a-f]+|\d+)$/i.test(symbol)
  const base = symbol === undefined ? 0 : isAddress ? Number(symbol) : new UserBinary(path).offsetOf(symbol)
  if (symbol === undefined && options.offset === undefined) throw site.usage('a uprobe needs a symbol or an offset')
  const offset = base + (options.offset ?? 0)
  const { pid, semaphore } = options
  return attachProbe(site, {
    source: 'uprobe',
    name: splitArchive(path)[0],
    offset,
    retprobe: site.retprobe,
    pid,
    semaphore,
  })
}
