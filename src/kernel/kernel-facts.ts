import { readFileSync } from 'node:fs'
import { release, version } from 'node:os'
import { gunzipSync } from 'node:zlib'
import type { KconfigFacts } from '../loader/index.ts'
import { Cmd, HelperId, ProgType } from '../uapi/index.ts'
import { Attr } from './attr.ts'
import { hasKernelSymbol } from './late-references.ts'
import { closeFd, tryBpf } from './syscall.ts'

let facts: KconfigFacts | undefined

/** What .kconfig externs may ask of the running kernel; looked up once in a process. */
export function kernelFacts(): KconfigFacts {
  facts ??= {
    text: configText(),
    kernelVersion: versionCode(release(), version(), readText('/proc/version_signature')),
    bpfCookie: loads(ProgType.TRACEPOINT, callOf(HelperId.get_attach_cookie)),
    syscallWrapper: hasKernelSymbol(`__${process.arch === 'x64' ? 'x64' : process.arch}_sys_bpf`),
  }
  return facts
}

/**
 * LINUX_VERSION_CODE from `uname -r` ("6.18.44-fc"), where a third number above 255 counts as 255. Debian and Ubuntu
 * name their ABI there and the real version elsewhere: in `uname -v` ("Debian 6.1.20-1") or /proc/version_signature
 * ("Ubuntu 5.4.0-12.15-generic 5.4.8").
 * @internal
 */
export function versionCode(uname: string, details: string, signature: string | null): number | null {
  const texts = [signature?.trim().split(' ').at(-1), /Debian (\S+)/.exec(details)?.[1], uname]
  for (const text of texts) {
    const match = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(text ?? '')
    if (match === null) continue
    const [major, minor, patch] = match.slice(1).map((part) => Number(part ?? 0)) as [number, number, number]
    return major * 65536 + minor * 256 + Math.min(patch || 0, 255)
  }
  return null
}

function configText(): string | null {
  for (const path of [`/boot/config-${release()}`, '/proc/config.gz']) {
    try {
      const bytes = readFileSync(path)
      return (bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes).toString('utf8')
    } catch {
      continue
    }
  }
  return null
}

/** `call helper; exit`. */
function callOf(helper: number): Uint8Array {
  const insns = new Uint8Array(16)
  insns[0] = 0x85
  insns[4] = helper
  insns[8] = 0x95
  return insns
}

function loads(type: number, insns: Uint8Array): boolean {
  const fd = tryBpf(
    Cmd.PROG_LOAD,
    new Attr('PROG_LOAD', { prog_type: type, insns, insn_cnt: insns.length / 8, license: 'GPL' }),
  )
  if (fd >= 0) closeFd(fd)
  return fd >= 0
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return null
  }
}
