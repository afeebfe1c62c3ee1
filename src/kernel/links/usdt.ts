import { readFileSync, realpathSync } from 'node:fs'
import type { Link } from '../../loader/index.ts'
import { AttachType } from '../../uapi/index.ts'
import { hasFeature } from '../features/index.ts'
import { findBinary, readBinary, splitArchive } from './binary.ts'
import { LinkGroup } from './group.ts'
import { linkUprobes } from './multi.ts'
import { attachProbe } from './probe-event.ts'
import type { AttachSite } from './site.ts'
import { parseUsdtArgs, type UsdtArch } from './usdt-args.ts'
import { usdtProbes, type UsdtProbe } from './usdt-notes.ts'
import { UsdtSpecs } from './usdt-specs.ts'

/**
 * USDT probes: "binary:provider:name", or the options. All places of the probe at once, by one multi uprobe where the
 * kernel has it; the program reads arguments and cookie by usdt.bpf.h.
 */
export function attachUsdt(site: AttachSite): Link {
  site.allow('a USDT probe', ['target', 'binary', 'probe', 'pid', 'cookie'])
  const { binary, provider, name } = placeOf(site)
  const path = findBinary(binary)
  const arch = process.arch
  if (arch !== 'x64' && arch !== 'arm64') throw site.unsupported(`USDT probes are not understood on ${arch}`)
  const { bytes, base } = readBinary(path)
  const all = usdtProbes(path, bytes)
  const probes = all.filter((probe) => probe.provider === provider && probe.name === name)
  if (probes.length === 0) {
    const names = [...new Set(all.map((probe) => `${probe.provider}:${probe.name}`))]
    const has = names.length === 0 ? 'no USDT probes' : `the USDT probes ${names.slice(0, 20).join(', ')}`
    throw site.notFound(`${path} has no USDT probe "${provider}:${name}"; it has ${has}`)
  }
  const specs = new UsdtSpecs(site, site.object)
  try {
    const links = attachAll(site, { path: splitArchive(path)[0], base, probes, arch, specs })
    return new LinkGroup(links, site.what, () => {
      specs.release()
    })
  } catch (error) {
    specs.release()
    throw error
  }
}

function placeOf(site: AttachSite): { readonly binary: string; readonly provider: string; readonly name: string } {
  const { options } = site
  const named = /^(?:(.+):)?([^:]+):([^:]+)$/.exec(options.probe ?? site.target ?? '')
  const binary = options.binary ?? named?.[1]
  if (named === null || binary === undefined) {
    throw site.usage('the section names no "binary:provider:name": give the options binary and probe ("provider:name")')
  }
  return { binary, provider: named[2] as string, name: named[3] as string }
}

interface Places {
  readonly path: string
  /** Where the binary starts in the file at `path`, which may be an archive. */
  readonly base: number
  readonly probes: readonly UsdtProbe[]
  readonly arch: UsdtArch
  readonly specs: UsdtSpecs
}

function attachAll(site: AttachSite, { path, base, probes, arch, specs }: Places): [Link, ...Link[]] {
  // Places with the same arguments share a spec.
  const numbers = new Map<string, number>()
  const places = probes.map((probe) => {
    let number = numbers.get(probe.args)
    if (number === undefined) {
      number = specs.add(parseUsdtArgs(probe.args, arch), site.cookie)
      numbers.set(probe.args, number)
    }
    return { probe, number }
  })
  const { pid } = site.options
  if (site.spec.attachType === AttachType.TRACE_UPROBE_MULTI || usesMultiUprobes(site)) {
    const link = linkUprobes(site, AttachType.TRACE_UPROBE_MULTI, {
      path,
      pid,
      offsets: places.map(({ probe }) => base + probe.offset),
      cookies: places.map(({ number }) => number),
      semaphores: probes.some(({ semaphore }) => semaphore !== 0)
        ? probes.map(({ semaphore }) => (semaphore === 0 ? 0 : base + semaphore))
        : undefined,
    })
    return [link]
  }
  const hasCookies = hasFeature('bpfCookie')
  const links: Link[] = []
  try {
    for (const { probe, number } of places) {
      if (!hasCookies) specs.addAddress(addressOf(site, path, probe), number)
      const semaphore = probe.semaphore === 0 ? 0 : base + probe.semaphore
      const place = { name: path, offset: base + probe.offset, retprobe: false, pid, semaphore }
      links.push(attachProbe(site, { source: 'uprobe', ...place }, hasCookies ? BigInt(number) : 0n))
    }
  } catch (error) {
    for (const link of links) link.close()
    throw error
  }
  return links as [Link, ...Link[]]
}

/** Whether a program of a USDT section was loaded for multi uprobes. */
export function usesMultiUprobes({ section }: Pick<AttachSite, 'section'>): boolean {
  return section?.autoAttach === 'usdt' && hasFeature('uprobeMultiLink')
}

/** Where a probe is in memory, which without cookies is the only way for a program to know which one it is in. */
function addressOf(site: AttachSite, path: string, probe: UsdtProbe): bigint {
  if (probe.address !== null) return probe.address
  const { pid } = site.options
  if (pid === undefined) {
    throw site.unsupported('this kernel has no cookies (Linux 5.15), so USDT probes of relocated binaries need a pid')
  }
  const file = realpathSync(path)
  for (const line of readFileSync(`/proc/${pid}/maps`, 'latin1').split('\n')) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) ..x. ([0-9a-f]+) \S+ \d+\s+(.*)$/.exec(line)
    if (match === null || match[4] !== file) continue
    const [start, end, offset] = match.slice(1, 4).map((hex) => Number.parseInt(hex, 16)) as [number, number, number]
    if (probe.offset >= offset && probe.offset < offset + (end - start)) return BigInt(start + probe.offset - offset)
  }
  throw site.notFound(`process ${pid} does not run ${file}`)
}
