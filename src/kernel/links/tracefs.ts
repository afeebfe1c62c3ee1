import { appendFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { BpfError } from '../../bytes/index.ts'

const USUAL = ['/sys/kernel/tracing', '/sys/kernel/debug/tracing']

/** Folders where the kernel's tracing files may be: the usual ones, then wherever tracefs is mounted. */
function* tracefsFolders(): Generator<string, void> {
  yield* USUAL
  const mounts = readText('/proc/self/mounts') ?? ''
  for (const line of mounts.split('\n')) {
    const [, folder, type] = line.split(' ')
    if (type === 'tracefs' && folder !== undefined) {
      yield folder.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
    }
  }
}

/** Contents of a file of tracefs, null when it is nowhere. */
export function readTracefs(path: string): string | null {
  for (const folder of tracefsFolders()) {
    const text = readText(join(folder, path))
    if (text !== null) return text
  }
  return null
}

/** Number of a tracepoint. @throws BpfError `not-found`, `unsupported` */
export function tracepointId(category: string, name: string): number {
  const text = readTracefs(join('events', category, name, 'id'))
  if (text !== null) return Number(text)
  if (readTracefs('available_events') === null && readTracefs('README') === null) {
    throw new BpfError(
      'unsupported',
      `the number of tracepoint ${category}/${name} is unknown: tracefs is not mounted (mount -t tracefs tracefs /sys/kernel/tracing), or not readable`,
    )
  }
  throw new BpfError('not-found', `the kernel has no tracepoint ${category}/${name}`)
}

/** Writes a line to a file of tracefs. Null when that went well, otherwise why not. */
export function appendTracefs(path: string, line: string): string | null {
  let reason = 'tracefs is not mounted'
  for (const folder of tracefsFolders()) {
    try {
      appendFileSync(join(folder, path), `${line}\n`)
      return null
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
      if (code !== 'ENOENT') return code
      reason = `there is no ${path}`
    }
  }
  return reason
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return null
  }
}
