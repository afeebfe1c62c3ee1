import { formatError, isBpfError } from '../../bytes/index.ts'
import { escapeLines } from './escape.ts'
import type { Style } from './style.ts'

/** Lines of a verifier log that are shown; the rest is behind --verbose of `prog load`, or in --json. */
const LOG_LINES = 12
const MAX_CAUSES = 8

/** An error and what caused it, as text for people. No stack traces. */
export function errorText(error: unknown, style: Style): string {
  const lines = [`${style.red('error:')} ${escapeLines(oneError(error))}`]
  for (const cause of causesOf(error)) lines.push(`  caused by: ${escapeLines(oneError(cause))}`)
  const log = isBpfError(error) ? error.log : undefined
  if (log !== undefined && log.trim() !== '') lines.push(...logTail(log, LOG_LINES).map((line) => `  | ${line}`))
  return lines.join('\n') + '\n'
}

/** An error as JSON value. */
export function errorJson(error: unknown): Record<string, unknown> {
  const json: Record<string, unknown> = { error: oneError(error) }
  if (isBpfError(error)) {
    json['code'] = error.code
    json['where'] = error.where
    if (error.errno !== undefined) json['errno'] = error.errno
    if (error.log !== undefined) json['log'] = error.log
  }
  const causes = causesOf(error).map(oneError)
  if (causes.length > 0) json['causes'] = causes
  return json
}

/** The last lines of a log, escaped, preceded by how many were left out. */
export function logTail(log: string, count: number): string[] {
  const lines = log.trimEnd().split('\n')
  const tail = lines.slice(-count).map(escapeLines)
  return lines.length > count ? [`... ${lines.length - count} lines before`, ...tail] : tail
}

/** The error on one line, with where it happened. */
export function oneError(error: unknown): string {
  if (isBpfError(error)) return formatError(error)
  if (!(error instanceof Error)) return String(error)
  const { code, path } = error as NodeJS.ErrnoException
  if (code !== undefined && path !== undefined) return `${path}: ${SYSTEM_ERRORS[code] ?? code}`
  return error.message
}

const SYSTEM_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  EISDIR: 'is a directory, not a file',
  ENOTDIR: 'a part of the path is not a directory',
  EMFILE: 'too many open files',
  ENAMETOOLONG: 'the file name is too long',
  ELOOP: 'too many symbolic links',
}

function causesOf(error: unknown): unknown[] {
  const causes: unknown[] = []
  let current = error instanceof Error ? error.cause : undefined
  let last = error instanceof Error ? error.message : ''
  while (current !== undefined && current !== null && causes.length < MAX_CAUSES) {
    const message = current instanceof Error ? current.message : oneError(current)
    // Layers that add where it happened repeat what happened.
    if (message !== last) causes.push(current)
    last = message
    current = current instanceof Error ? current.cause : undefined
  }
  return causes
}
