import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import { runCli } from '../../src/cli/run-cli.ts'

/** What a command line did. */
export interface CliResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Path of a file of the repository. */
export function repositoryPath(path: string): string {
  return fileURLToPath(new URL(`../../${path}`, import.meta.url))
}

/** Runs the command line interface in this process; `isTTY` as if a person looked at it. */
export async function cli(
  argv: readonly string[],
  options: { isTTY?: boolean; env?: Record<string, string> } = {},
): Promise<CliResult> {
  let stdout = ''
  let stderr = ''
  const isTTY = options.isTTY ?? false
  const code = await runCli(argv, {
    stdout: { isTTY, write: (text) => (stdout += text) },
    stderr: { isTTY, write: (text) => (stderr += text) },
    env: options.env ?? {},
    onInterrupt: () => () => undefined,
  })
  return { code, stdout, stderr }
}

/** Compares text with `test/cli/golden/NAME`; BLESS=1 writes it instead. */
export function expectGolden(name: string, text: string): void {
  const path = repositoryPath(`test/cli/golden/${name}`)
  if (process.env['BLESS'] === '1') {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
    return
  }
  if (!existsSync(path)) throw new Error(`${path} does not exist: run with BLESS=1 and look at what it writes`)
  expect(text).toBe(readFileSync(path, 'utf8'))
}

let built: string | undefined

/** Path of the command line interface as it is packed; built first when it is out of date. */
export function builtCli(): string {
  if (built === undefined) {
    const tsc = repositoryPath('node_modules/typescript/bin/tsc')
    execFileSync(process.execPath, [tsc, '-b'], { cwd: repositoryPath('.'), stdio: 'inherit' })
    built = repositoryPath('dist/cli/main.js')
  }
  return built
}

/** JSON that a command printed. */
export function parsed(result: CliResult): any {
  return JSON.parse(result.stdout)
}
