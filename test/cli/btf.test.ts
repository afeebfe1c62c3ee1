import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Btf, dumpC, dumpRaw } from '../../src/btf/index.ts'
import { parseElf } from '../../src/elf/index.ts'
import { cli, expectGolden, parsed, repositoryPath } from './support.ts'

const OBJECT = repositoryPath('fixtures/clang19/packet_counter.bpf.o')
let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'elfbee-cli-'))
})
afterAll(() => rmSync(directory, { recursive: true }))

describe('btf dump', () => {
  it('prints raw types of an object', async () => {
    const { code, stdout, stderr } = await cli(['btf', 'dump', 'file', OBJECT])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expectGolden('btf-dump-raw.txt', stdout)
  })

  it('prints C', async () => {
    const { code, stdout } = await cli(['btf', 'dump', 'file', OBJECT, 'format', 'c'])
    expect(code).toBe(0)
    expectGolden('btf-dump-c.txt', stdout)
  })

  it('prints C in the order of ids', async () => {
    const { stdout } = await cli(['btf', 'dump', 'file', OBJECT, 'format', 'c', 'unsorted'])
    expect(stdout).toBe(dumpC(sectionBtf(), { sort: false }))
  })

  it('takes abbreviated words, as bpftool does', async () => {
    const long = await cli(['btf', 'dump', 'file', OBJECT, 'format', 'raw'])
    expect(await cli(['b', 'd', 'f', OBJECT, 'f', 'r'])).toEqual(long)
  })

  it('prints JSON, compact and indented', async () => {
    const compact = await cli(['-j', 'btf', 'dump', 'file', OBJECT])
    const pretty = await cli(['-p', 'btf', 'dump', 'file', OBJECT])
    expect(parsed(compact).types).toHaveLength(sectionBtf().typeCount - 1)
    expect(parsed(pretty)).toEqual(parsed(compact))
    expect(compact.stdout.trimEnd()).not.toContain('\n')
    expect(pretty.stdout).toContain('\n    ')
  })

  it('prints chosen types only', async () => {
    const { stdout } = await cli(['btf', 'dump', 'file', OBJECT, 'root_id', '2', 'root_id', '1'])
    expect(stdout).toBe(dumpRaw(sectionBtf(), { ids: [2, 1] }))
  })

  it('reads raw BTF, and split BTF with its base', async () => {
    const raw = join(directory, 'raw.btf')
    writeFileSync(raw, sectionBtf().bytes())
    expect((await cli(['btf', 'dump', 'file', raw])).stdout).toBe(dumpRaw(sectionBtf()))
    const split = await cli(['btf', '-B', raw, 'dump', 'file', raw])
    expect(split.code).toBe(0)
    expect(split.stdout).toMatch(new RegExp(`^\\[${sectionBtf().typeCount}\\] `))
  })

  it.each([
    ['no file', ['btf', 'dump', 'file'], 2, 'a file expected'],
    ['no such source', ['btf', 'dump', 'fle', 'x'], 2, "'fle' is no source"],
    ['no such format', ['btf', 'dump', 'file', OBJECT, 'format', 'yaml'], 2, "'yaml' is no format: expected raw, c"],
    [
      'an id that is no number',
      ['btf', 'dump', 'file', OBJECT, 'root_id', 'x'],
      2,
      "a type id must be a number, not 'x'",
    ],
    [
      'an id that does not exist',
      ['btf', 'dump', 'file', OBJECT, 'root_id', '99999'],
      1,
      'type id 99999 is not between',
    ],
    ['C as JSON', ['-j', 'btf', 'dump', 'file', OBJECT, 'format', 'c'], 2, 'JSON output for C-syntax dump'],
    ['a directory', ['btf', 'dump', 'file', '.'], 1, 'directory'],
    [
      'another file',
      ['btf', 'dump', 'file', repositoryPath('LICENSE')],
      1,
      'magic 0x494d is not 0xeb9f (at offset 0x0)',
    ],
  ])('refuses %s', async (_what, argv, expectedCode, message) => {
    const { code, stdout, stderr } = await cli(argv)
    expect(code).toBe(expectedCode)
    expect(stdout + stderr).toContain(message)
  })

  it('says when an object has no BTF', async () => {
    const { code, stderr } = await cli(['btf', 'dump', 'file', repositoryPath('fixtures/clang19/notype.bpf.o')])
    expect(code).toBe(1)
    expect(stderr).toContain('no .BTF section')
  })
})

function sectionBtf(): Btf {
  return Btf.parse(parseElf(new Uint8Array(readFileSync(OBJECT))).sectionByName('.BTF')?.data as Uint8Array)
}
