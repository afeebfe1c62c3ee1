import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { builtCli, cli, repositoryPath } from './support.ts'

const cases = repositoryPath('test/conformance')
let folder = ''

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'elfbee-conformance-'))
  writeFileSync(join(folder, 'wrong.data'), '-- asm\nmov r0, 1\nexit\n-- result\n0x2\n')
  writeFileSync(join(folder, 'broken.data'), '-- asm\nfrob r0\nexit\n-- result\n0x2\n')
})
afterAll(() => {
  rmSync(folder, { recursive: true })
})

describe('elfbee conformance', () => {
  test.each([[['conformance', cases]], [['conformance', '--interpreter', cases]]])(
    '%j passes all of our own',
    async (argv) => {
      const { code, stdout } = await cli(argv)
      expect(stdout.split('\n').filter((line) => line.startsWith('FAIL'))).toEqual([])
      expect(stdout).toMatch(/^\d{3} passed, 0 failed, 0 skipped$/m)
      expect(code).toBe(0)
    },
  )

  test('says what went wrong', async () => {
    const { code, stdout } = await cli(['conformance', folder])
    expect(stdout).toContain(`FAIL  ${join(folder, 'wrong.data')}: 0x1, expected 0x2\n`)
    expect(stdout).toContain('line 2: unknown instruction frob')
    expect(stdout).toContain('0 passed, 2 failed, 0 skipped\n')
    expect(code).toBe(1)
  })

  test('leaves out what a version or a group does not have, as JSON', async () => {
    const argv = ['conformance', cases, '--json', '--cpu-version', 'v3', '--exclude-groups', 'atomic32,atomic64']
    const { tests, skipped } = JSON.parse((await cli(argv)).stdout) as {
      skipped: number
      tests: { name: string; outcome: string; reason: string | null }[]
    }
    const reasons = new Set(tests.filter(({ outcome }) => outcome === 'skipped').map(({ reason }) => reason))
    expect(reasons).toEqual(new Set(['needs atomic32', 'needs atomic64', 'needs v4', 'needs what no version has']))
    expect(skipped).toBeGreaterThan(30)
  })

  test.each([
    [['--cpu-version', 'v9'], "--cpu-version is v1 to v4, not 'v9'"],
    [['--include-groups', 'base16'], "there is no group 'base16'"],
  ])('refuses %j', async (options, message) => {
    const { code, stderr } = await cli(['conformance', cases, ...options])
    expect(stderr).toContain(message)
    expect(code).toBe(2)
  })

  test('a path that is not there', async () => {
    const { code, stderr } = await cli(['conformance', join(folder, 'none')])
    expect(stderr).toContain('cannot read')
    expect(code).toBe(1)
  })
})

describe('elfbee conformance-plugin', () => {
  const plugin = (input: string, ...argv: string[]): string =>
    execFileSync(process.execPath, [builtCli(), 'conformance-plugin', ...argv], { input, encoding: 'utf8' })

  test('a program from standard input, memory and options as the runner gives them', () => {
    // r0 = *(u64 *)(r1 + 0); r0 += r2; exit
    const program = '79 10 00 00 00 00 00 00  0f 20 00 00 00 00 00 00  95 00 00 00 00 00 00 00 \n'
    expect(plugin(program, '01  00  00  00  00  00  00  80  ', '--cpu_version v3')).toBe('8000000000000009\n')
    expect(plugin('b7 00 00 00 2a 00 00 00 95 00 00 00 00 00 00 00', '', '')).toBe('2a\n')
    expect(plugin('b7 00 00 00 2a 00 00 00 95 00 00 00 00 00 00 00')).toBe('2a\n')
  })

  test('callx', () => {
    expect(plugin('b7 02 00 00 08 00 00 00 8d 20 00 00 00 00 00 00 95 00 00 00 00 00 00 00', '')).toBe('0\n')
  })

  test('what cannot be run is a message and an exit code', () => {
    const run = spawnSync(process.execPath, [builtCli(), 'conformance-plugin', ''], {
      input: 'ff 00 00 00 00 00 00 00',
      encoding: 'utf8',
    })
    expect(run.stdout).toBe('')
    expect(run.stderr).toContain('0xff')
    expect(run.status).toBe(1)
  })
})
