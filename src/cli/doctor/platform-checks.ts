import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { arch, endianness, release } from 'node:os'
import { delimiter, join } from 'node:path'
import { missing, note, ok, type Check } from './check.ts'

/** First Node that can import this package's modules from CommonJS, too. */
const NODE_NEEDED = [20, 19] as const
const TOOL_TIMEOUT_MS = 5000
/** The smallest module: magic and version. */
const EMPTY_WASM = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)

/** What every part of elfbee stands on. */
export function platformChecks(): Check[] {
  return [platform(), node(), webAssembly()]
}

/** What is good to have. */
export function toolChecks(): Check[] {
  return [clang()]
}

function platform(): Check {
  const detail = `${process.platform} ${release()}, ${arch()}`
  if (endianness() !== 'LE') return missing('platform', `${detail}: big-endian`, 'use a little-endian machine')
  if (process.platform !== 'linux') {
    return note('platform', `${detail}: no BPF in this kernel, programs run in the vm`, null)
  }
  return ok('platform', detail)
}

function node(): Check {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const isEnough = major > NODE_NEEDED[0] || (major === NODE_NEEDED[0] && minor >= NODE_NEEDED[1])
  const detail = `Node ${process.versions.node}`
  if (isEnough) return ok('node', detail)
  const needed = NODE_NEEDED.join('.')
  return missing('node', `${detail}: ${needed} or newer is needed`, `install Node ${needed} or newer`)
}

function webAssembly(): Check {
  try {
    void new WebAssembly.Instance(new WebAssembly.Module(EMPTY_WASM))
    return ok('webassembly', 'works: programs run in the vm')
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    return missing(
      'webassembly',
      `cannot be compiled: ${why}`,
      'start Node without --jitless and without code generation limits',
    )
  }
}

function clang(): Check {
  const fix = 'install clang 12 or newer (Debian, Ubuntu: apt install clang); only needed to compile BPF programs'
  const found = findClang()
  if (found === null) return note('clang', 'not in PATH', fix)
  try {
    const targets = execFileSync(found, ['--print-targets'], toolOptions())
    const version = /version (\S+)/.exec(execFileSync(found, ['--version'], toolOptions()))?.[1] ?? 'of unknown version'
    if (!/^\s*bpf\b/m.test(targets)) return note('clang', `${found} ${version} has no BPF target`, fix)
    return ok('clang', `${found} ${version}, with the BPF target`)
  } catch {
    return note('clang', `${found} does not run`, fix)
  }
}

function toolOptions(): { encoding: 'utf8'; timeout: number; stdio: ['ignore', 'pipe', 'ignore'] } {
  return { encoding: 'utf8', timeout: TOOL_TIMEOUT_MS, stdio: ['ignore', 'pipe', 'ignore'] }
}

/** `clang` in PATH, or else the newest `clang-N`. */
function findClang(): string | null {
  let newest = 0
  let path: string | null = null
  for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
    for (const name of namesIn(directory)) {
      const version = /^clang(?:-(\d+))?(?:\.exe)?$/.exec(name)
      if (version === null) continue
      if (version[1] === undefined) return join(directory, name)
      if (Number(version[1]) <= newest) continue
      newest = Number(version[1])
      path = join(directory, name)
    }
  }
  return path
}

function namesIn(directory: string): string[] {
  try {
    return directory === '' ? [] : readdirSync(directory)
  } catch {
    return []
  }
}
