import { spawn, spawnSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { builtCli, repositoryPath } from './support.ts'

const OBJECT = repositoryPath('fixtures/clang19/packet_counter.bpf.o')
const main = builtCli()

function run(argv: readonly string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [main, ...argv], { encoding: 'utf8' })
}

describe('the process', () => {
  it('writes results to standard output and ends with 0', () => {
    const { status, stdout, stderr } = run(['btf', 'dump', 'file', OBJECT])
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    expect(stdout).toMatch(/^\[1\] /)
  })

  it.each([
    [['btf', 'dump', 'file', 'nope'], 1],
    [['frobnicate'], 2],
    [['run', OBJECT, '--data', 'zz'], 2],
  ])('ends %j with %i', (argv, status) => {
    const result = run(argv)
    expect(result.status).toBe(status)
    expect(result.stdout).toBe('')
    expect(result.stderr).toMatch(/^error: /)
    expect(result.stderr).not.toContain('    at ')
  })

  it('ends quietly when nobody reads any more', async () => {
    const dump = spawn(process.execPath, [main, 'btf', 'dump', 'file', OBJECT, 'format', 'c'])
    dump.stdout.destroy()
    let stderr = ''
    dump.stderr.on('data', (data) => (stderr += String(data)))
    const status = await new Promise((resolve) => dump.on('exit', resolve))
    expect(stderr).toBe('')
    expect(status).toBe(0)
  })

  it('can be interrupted in the middle of a long run', async () => {
    const long = spawn(process.execPath, [main, 'run', OBJECT, '--repeat', '2000000000', '--interpreter'])
    setTimeout(() => long.kill('SIGINT'), 1500)
    const end = await new Promise((resolve) => long.on('exit', (code, signal) => resolve(code ?? signal)))
    // A shell says 130 for both.
    expect([130, 'SIGINT']).toContain(end)
  })
})
