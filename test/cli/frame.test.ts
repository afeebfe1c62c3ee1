import { describe, expect, it } from 'vitest'
import { cli, parsed, repositoryPath } from './support.ts'

describe('the frame', () => {
  it('prints help with commands, examples and exit codes', async () => {
    const { code, stdout } = await cli(['--help'])
    expect(code).toBe(0)
    expect(stdout).toContain('Commands:')
    expect(stdout).toContain('Examples:')
    expect(stdout).toContain('Exit codes:')
  })

  it('answers no command at all with the help and exit code 2', async () => {
    const { code, stdout, stderr } = await cli([])
    expect(code).toBe(2)
    expect(stdout + stderr).toContain('Usage: elfbee')
  })

  it('has examples in the help of every command', async () => {
    const { stdout } = await cli(['--help'])
    const names = [...stdout.matchAll(/^ {2}([a-z]+) {2,}/gm)].map((match) => match[1] as string)
    expect(names).toContain('btf')
    for (const name of names) {
      const { code, stdout: help } = await cli([name, '--help'])
      expect(code).toBe(0)
      expect(help).toContain('Examples:')
    }
  })

  it('prints the version of the package', async () => {
    const { code, stdout } = await cli(['--version'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  })

  it('suggests a command for a misspelt one', async () => {
    const { code, stderr } = await cli(['dokter'])
    expect(code).toBe(2)
    expect(stderr).toContain("unknown command 'dokter'")
    expect(stderr).toContain('doctor')
  })

  it('refuses an unknown option with exit code 2', async () => {
    const { code, stderr } = await cli(['btf', '--frobnicate'])
    expect(code).toBe(2)
    expect(stderr).toContain("unknown option '--frobnicate'")
  })

  it('prints errors as JSON to standard output when asked for JSON', async () => {
    const result = await cli(['--json', 'btf', 'dump', 'file', 'does-not-exist'])
    expect(result.code).toBe(1)
    expect(result.stderr).toBe('')
    expect(parsed(result)).toEqual({ error: 'does-not-exist: no such file or directory' })
  })

  it('prints complaints about the command line as JSON, too', async () => {
    const result = await cli(['-j', 'show', '--frobnicate'])
    expect({ code: result.code, stderr: result.stderr }).toEqual({ code: 2, stderr: '' })
    expect(parsed(result)).toEqual({ error: "unknown option '--frobnicate'", code: 'usage' })
  })

  it('escapes control characters in messages', async () => {
    const { stderr } = await cli(['btf', 'dump', 'file', 'a\u001b]0;title\u0007b'])
    expect(stderr).toBe('error: a\\x1b]0;title\\x07b: no such file or directory\n')
  })

  it('shows stack traces with ELFBEE_DEBUG=1 only', async () => {
    const argv = ['btf', 'dump', 'file', repositoryPath('LICENSE')]
    expect((await cli(argv)).stderr).not.toContain('    at ')
    expect((await cli(argv, { env: { ELFBEE_DEBUG: '1' } })).stderr).toContain('    at ')
  })

  it('colours only what goes to a terminal, and not with NO_COLOR', async () => {
    const argv = ['doctor']
    expect((await cli(argv)).stdout).not.toContain('\u001b[')
    expect((await cli(argv, { isTTY: true })).stdout).toContain('\u001b[')
    expect((await cli(argv, { isTTY: true, env: { NO_COLOR: '1' } })).stdout).not.toContain('\u001b[')
    expect((await cli(['--no-color', ...argv], { isTTY: true })).stdout).not.toContain('\u001b[')
  })
})
